"""Tiles of a map into Winograd's domain and back, in blocks and chunks that stay in the cache.

A *block* is some rows and columns of tiles of some images: so many that the products of its values have
enough columns, and no more, so that values and products stay in the cache. Within a block the transforms go
over *chunks* of channels, each of which is cut, gathered and transformed in two buffers of the L2 cache.

Both transforms are two small matrix products, one an axis, over rows of all channels, tiles and images of a
chunk. On two cores with AVX2 and AVX-512 that was as fast as the factored additions of F(2, 3) with `np.add`,
and faster than one product with the 36 x 36 Kronecker matrix of F(4, 3); it asks nothing of the points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product as pairs
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.layers import Shape, product
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Finish,
    Run,
    adding,
    along,
    copying_images,
    in_turn,
    leave,
    nothing,
)

CHUNK: Final = 1 << 17
"""Elements of each of the two buffers of a chunk: 512 KiB of float32."""
BLOCK: Final = 1 << 20
"""Elements of the values and products of a block: 4 MiB of float32, where that gives columns enough."""
FEWEST_COLUMNS: Final = 128
"""Columns that a product has if there are so many: with fewer, reading its left side costs too much."""
MOST_COLUMNS: Final = 1024


def block_columns(rows: int) -> int:
    """Tiles and images of a block, for so many rows of values and products, all multiplications together."""
    return min(max(BLOCK // rows, FEWEST_COLUMNS), MOST_COLUMNS)


@dataclass(frozen=True, slots=True)
class Block:
    """The tiles of some rows and columns, of some images."""

    rows: slice
    columns: slice
    images: slice

    @property
    def shape(self) -> Shape:
        """How many rows, columns and images."""
        return tuple(part.stop - part.start for part in (self.rows, self.columns, self.images))


def blocks(down: slice, along: int, n: int, most: int) -> list[Block]:
    """Divide the tiles of some rows and `along` columns, of `n` images, into blocks of at most so many.

    The images are divided last.
    """
    images = list(_parts(n, most))
    room = most // _length(images[0])
    columns = list(_parts(along, room))
    rows = _parts(_length(down), room // _length(columns[0]))
    shifted = [slice(part.start + down.start, part.stop + down.start) for part in rows]
    return [Block(*parts) for parts in pairs(shifted, columns, images)]


def _parts(length: int, most: int) -> Iterator[slice]:
    """Parts of at most so many, as even as may be."""
    each = math.ceil(length / math.ceil(length / max(most, 1)))
    return (slice(start, min(start + each, length)) for start in range(0, length, each))


def _length(part: slice) -> int:
    return int(part.stop - part.start)


class Plane(NamedTuple):
    """Elements of a map at one place of its tiles: positions `first + step * i` along each axis."""

    array: Array
    first: Shape
    step: Shape


@dataclass(frozen=True)
class Map:
    """A map `C x H x W x N`, or the same in tiles: `th x tw x C x H/th x W/tw x N`."""

    array: Array
    tile: Shape = ()

    @property
    def channels(self) -> int:
        """C."""
        return int(self.array.shape[-4])

    @property
    def sizes(self) -> Shape:
        """H and W."""
        pairs = zip(self.array.shape[-3:-1], self.tile or (1, 1), strict=True)
        return tuple(n * side for n, side in pairs)

    @property
    def images(self) -> int:
        """N."""
        return int(self.array.shape[-1])

    def of_channels(self, some: slice) -> Map:
        """Some channels of it."""
        return Map(self.array[..., some, :, :, :], self.tile)

    def planes(self, channels: slice, images: slice) -> Iterator[Plane]:
        """Some channels of some images, place by place of the tiles."""
        tile = self.tile or (1, 1)
        places = self.array if self.tile else self.array[None, None]
        for first in pairs(*map(range, tile)):
            yield Plane(places[first][channels, ..., images], first, tile)


@dataclass(frozen=True)
class Cut:
    """From a map to the values of its tiles: `B d B^T` for `s x s` pixels `d`, with B, `k x s`, the matrix.

    Tiles are `step` apart, and the first begins `before` rows and columns before the map; there and behind
    its end are zeros.
    """

    matrix: Array
    step: int
    before: Shape

    def run(self, x: Map, block: Block, values: Array, chunks: Array) -> Run:
        """Bind filling values `(k, k, C, T)` from a map; chunks is `(2, CHUNK)`."""
        runs = []
        for channels in _chunks(values):
            shape = (*self.matrix.shape[1:] * 2, _length(channels), *block.shape)  # (s, s, C, th, tw, N)
            pixels = _view(chunks[0], shape)
            pad, padded = self._padded(x, channels, block, chunks[1])
            between = _view(chunks[1], (*self.matrix.shape, product(shape[2:])))
            gather = copying_images(self._windows(padded, shape), pixels)
            runs += [pad, gather, nested(self.matrix, _rows(pixels), between, _rows(values[:, :, channels]))]
        return in_turn(runs)

    def _padded(self, x: Map, channels: slice, block: Block, memory: Array) -> tuple[Run, Array]:
        """The part of the map that the tiles see, with zeros where they see beyond it; a copy if need be."""
        sides = self.matrix.shape[1]
        seen = []
        for part, before in zip((block.rows, block.columns), self.before, strict=True):
            start = part.start * self.step - before
            seen.append(range(start, start + (_length(part) - 1) * self.step + sides))
        if not x.tile and all(p.start >= 0 and p.stop <= n for p, n in zip(seen, x.sizes, strict=True)):
            rows, columns = (slice(positions.start, positions.stop) for positions in seen)
            return nothing, x.array[channels, rows, columns, block.images]
        padded = _view(memory, (_length(channels), *map(len, seen), block.shape[2]))
        runs = [_zeroing(border) for border in _borders(padded, seen, x.sizes)]
        for plane in x.planes(channels, block.images):
            sources, targets = zip(*map(_met, seen, plane.first, plane.step, x.sizes), strict=True)
            runs.append(copying_images(plane.array[:, *sources], padded[:, *targets]))
        return in_turn(runs), padded

    def _windows(self, padded: Array, shape: Shape) -> Array:
        """The pixels of every tile, seen as `(s, s, C, th, tw, N)`."""
        channel, row, column, image = padded.strides
        strides = (row, column, channel, row * self.step, column * self.step, image)
        return as_strided(padded, shape, strides, writeable=False)


def _borders(padded: Array, seen: list[range], sizes: Shape) -> Iterator[Array]:
    """The parts of the seen positions of every axis that lie beyond the map."""
    for axis, (positions, n) in enumerate(zip(seen, sizes, strict=True), start=1):
        before, behind = max(-positions.start, 0), max(positions.stop - n, 0)
        length = padded.shape[axis]
        for part in (slice(0, min(before, length)), slice(max(length - behind, 0), length)):
            if part.start < part.stop:
                yield padded[along(axis, part)]


def _zeroing(array: Array) -> Run:
    return lambda: array.fill(0)


def _met(seen: range, first: int, step: int, n: int) -> tuple[slice, slice]:
    """Of the positions `first + step * i` of an axis of `n`: which `i` are seen, and where among the seen."""
    begin = max(-(-(seen.start - first) // step), 0)
    end = max(-(-(min(seen.stop, n) - first) // step), begin)
    target = begin * step + first - seen.start
    return slice(begin, end), slice(target, target + (end - begin) * step, step)


@dataclass(frozen=True)
class Lay:
    """From products to tiles of a map: `A m A^T` for `k x k` products `m`, with A, `s x k`, the matrix.

    Tiles lie side by side, the first at the corner; what reaches beyond the map is dropped. A bias is added,
    and the outputs are finished.
    """

    matrix: Array
    bias: Array | None = None
    finish: Finish = leave

    def run(self, products: Array, block: Block, y: Map, chunks: Array) -> Run:
        """Bind writing tiles of a map from products `(k, k, C, T)`; chunks is `(2, CHUNK)`."""
        runs = []
        for channels in _chunks(products):
            source = products[:, :, channels]
            pixels = _view(chunks[0], (*self.matrix.shape[:1] * 2, *source.shape[2:]))  # (s, s, C, T)
            between = _view(chunks[1], (*self.matrix.shape, product(source.shape[2:])))
            runs.append(nested(self.matrix, _rows(source), between, _rows(pixels)))
            if self.bias is not None:
                runs.append(adding(self.bias[channels, None], pixels))
            runs.append(self.finish(pixels))
            runs.append(self._placing(pixels, y, channels, block))
        return in_turn(runs)

    def _placing(self, pixels: Array, y: Map, channels: slice, block: Block) -> Run:
        """Bind copying the places of the tiles to where they lie in the map, whole tiles at once.

        The tiles in which the map lies, if it does, divide those of the products.
        """
        side = self.matrix.shape[0]
        tiles = pixels.reshape(*pixels.shape[:3], *block.shape)
        moves = []
        for plane in y.planes(channels, block.images):
            places = tiles[plane.first[0] :: plane.step[0], plane.first[1] :: plane.step[1]]
            axes = zip((block.rows, block.columns), plane.step, plane.array.shape[1:3], strict=True)
            down, along = ([*_met_by_tiles(part, side // step, n)] for part, step, n in axes)
            for (rows, i, th), (columns, j, tw) in pairs(down, along):
                target = plane.array[:, rows, columns]
                channel, _, _, image = target.shape
                target = target.reshape(channel, _length(th), i, _length(tw), j, image)
                moves.append(copying_images(places[:i, :j, :, th, tw], target.transpose(2, 4, 0, 1, 3, 5)))
        return in_turn(moves)


def _met_by_tiles(part: slice, each: int, n: int) -> Iterator[tuple[slice, int, slice]]:
    """Where `part` of tiles lie on an axis of `n` positions, `each` of which are a tile's.

    First the whole tiles, then what is met of the last one: the positions, how many of a tile, and which
    tiles of the part.
    """
    begin, end = part.start * each, min(part.stop * each, n)
    whole, rest = divmod(end - begin, each)
    if whole:
        yield slice(begin, begin + whole * each), each, slice(0, whole)
    if rest:
        yield slice(end - rest, end), rest, slice(whole, whole + 1)


def nested(matrix: Array, source: Array, between: Array, target: Array) -> Run:
    """Bind `t_ab = sum_ij m_ai m_bj s_ij` for rows of X: `(s, s, X)` to `(k, s, X)` to `(k, k, X)`."""
    columns, out = source.swapaxes(0, 1), between.swapaxes(0, 1)

    def run() -> None:
        np.matmul(matrix, columns, out=out)
        np.matmul(matrix, between, out=target)

    return run


def _chunks(values: Array) -> Iterator[slice]:
    """The channels of values or products `(k, k, C, T)` that go through a chunk together."""
    k, _, channels, columns = values.shape
    return _parts(channels, CHUNK // (k * k * columns))


def _view(memory: Array, shape: Shape) -> Array:
    """An array at the start of memory."""
    return memory.reshape(-1)[: product(shape)].reshape(shape)


def _rows(array: Array) -> Array:
    """`(s, s, C, ...)` as `(s, s, X)`."""
    return array.reshape(*array.shape[:2], -1)
