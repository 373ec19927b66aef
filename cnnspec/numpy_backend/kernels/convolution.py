"""Kernels of convolution: one matrix product over patches of the map, whatever the layer's options.

A tile of `th x tw` neighbouring outputs shares one patch of the input. With the patches of all tiles and
images as the columns of a matrix, the outputs are

    Y = T P,    P: (C * ph * pw) x (Ho/th * Wo/tw * N),    T: (th * tw * out) x (C * ph * pw)

A tile of one output is the usual im2col, and T the weight. A larger one spends arithmetic on the zeros of T,
saves copying, and gives the product more rows, which it needs where channels are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final

import numpy as np

from cnnspec.layers import Shape, Weight, product
from cnnspec.layers.convolution import Conv
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Layout,
    Margin,
    Member,
    Run,
    Scratch,
    Site,
    Work,
    add_product,
    add_rows,
    computes,
    far,
    in_turn,
    multiplying,
    nothing,
    strided,
)
from cnnspec.numpy_backend.kernels.connected import ConnectedConvKernel
from cnnspec.numpy_backend.kernels.depthwise import DepthwiseKernel
from cnnspec.numpy_backend.kernels.patches import Patches, margin_of
from cnnspec.numpy_backend.kernels.shifts import LARGEST_MATRIX, Shifts
from cnnspec.numpy_backend.kernels.stacks import (
    add_product_of_blocks,
    multiplying_blocks,
    stack_scratch,
)
from cnnspec.numpy_backend.kernels.toeplitz import Toeplitz
from cnnspec.numpy_backend.kernels.windows import TiledAxis, within
from cnnspec.numpy_backend.kernels.winograd import WinogradF2, WinogradF4, WinogradKernel


@computes(Conv)
class ConvKernel(Kernel[Conv]):
    """`y_o(p) = sum_(c,i) W_(o,c,i) x_c(p * stride + i * dilation - before) + b_o`."""

    name = "im2col"
    priced_as = "patches"
    reads_margin = True
    folds = True
    tiled: ClassVar[bool] = False
    """Whether it computes a tile of outputs at once."""

    def __init__(
        self, layer: Conv, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        shape = inputs[0].shape
        axes = tiled_axes(layer, shape, output.tile)
        self.patches = Patches(inputs[0], axes)
        self.matrix = Toeplitz(layer.channels, shape[0] // layer.groups, layer.groups, axes)
        self.direct = not inputs[0].margin and all(map(_is_point, axes))
        self.keeps_patches = not self.direct and len(self.patches.blocks) == 1
        self.keeps_input = not self.keeps_patches
        self.outputs_at_once = output.tile
        self.algorithm, self.why = self._described()

    @classmethod
    def suited(cls, layer: Conv, inputs: tuple[Shape, ...]) -> type[Kernel[Conv]]:
        """Another kernel for a table of connections, and where every channel is convolved apart."""
        if layer.connections is not None:
            return ConnectedConvKernel
        return DepthwiseKernel if layer.groups == inputs[0][0] > 1 else cls

    @classmethod
    def candidates(
        cls, layer: Conv, inputs: tuple[Shape, ...], tile: Shape
    ) -> tuple[type[Kernel[Conv]], ...]:
        """A product of the map where that is all; patches, tiles where the reader asks for them, Winograd."""
        if all(map(_is_point, tiled_axes(layer, inputs[0], ()))):
            return (DirectKernel,)
        tiles = (TilesKernel,) if tile and TilesKernel.writes_tiles(layer, inputs[0], tile) else ()
        shifts = (ShiftsKernel,) if ShiftsKernel.suits(layer, inputs, tile) else ()
        winograd = (WinogradF2, WinogradF4) if WinogradKernel.suits(layer, inputs) else ()
        return (Im2colKernel, *tiles, *shifts, *winograd)

    @classmethod
    def work(cls, layer: Conv, inputs: tuple[Shape, ...], tile: Shape, images: int) -> Work:
        """One product for each group, and the patches."""
        axes = tiled_axes(layer, inputs[0], cls.multiplied(tile) if cls.tiled else ())
        matrix = Toeplitz(layer.channels, inputs[0][0] // layer.groups, layer.groups, axes)
        positions = product(tuple(axis.tiles for axis in axes)) * images
        columns = layer.groups * matrix.columns
        return Work(
            multiplied=positions * matrix.rows * columns,
            cut=positions * columns * (1 if layer.window(*inputs)[-1].stride == 1 else 2),
            laid=positions * layer.groups * matrix.rows,
            short=columns * product(tuple(axis.tiles for axis in axes[:-1])),
            far=far(inputs[0], layer.infer(inputs[0]), images=images),
            weights=matrix.rows * columns / product(matrix.tile),
            strided=strided(layer.infer(inputs[0]), images) if tile and not cls.tiled else 0.0,
        )

    @classmethod
    def multiplied(cls, tile: Shape) -> Shape:
        """The outputs of a tile that one patch gives."""
        return tile

    @classmethod
    def takes_shift(cls, layer: Conv, inputs: tuple[Shape, ...]) -> bool:
        """Where no output sees the zeros around the map."""
        return within(layer.window(*inputs))

    @classmethod
    def margin(cls, layer: Conv, shape: Shape) -> Margin:
        """The padding, so that patches are cut from one array."""
        return margin_of(tiled_axes(layer, shape, ()))

    @classmethod
    def writes_tiles(cls, layer: Conv, shape: Shape, tile: Shape) -> bool:
        """Whether computing such tiles of outputs at once is estimated to be faster than one at a time."""
        if layer.groups > 1 or not all(axis.spacing for axis in tiled_axes(layer, shape, tile)):
            return False
        return estimate(layer, shape, tile) < estimate(layer, shape, ())

    def scratch(self) -> tuple[Scratch, ...]:
        """Patches, which give way to their own gradient, and room for sums."""
        spares = [Scratch("spare", self._sum_shape, "backward", per_image=False)]
        if self.layer.bias:
            rows = self.layer.groups * self.matrix.rows
            spares.append(Scratch("spare rows", (rows,), "backward", per_image=False))
        if self.direct:
            return tuple(spares)
        shape, padded = self.patches.shape, self.patches.padded.stored
        needed = [Scratch("patches", shape, "both" if self.keeps_patches else "forward")]
        if not self.keeps_patches:
            needed.append(Scratch("patches again", shape, "backward"))
            needed.append(Scratch("patches of few", (self.patches.of_few,), "forward", per_image=False))
        if self.patches.copies:
            needed.append(Scratch("padded", padded, "forward"))
        needed += stack_scratch(self.matrix.shape, product(self.patches.shape[-len(self.patches.axes) :]))
        if self.patches.sums:
            needed.append(Scratch("summed", self.patches.sums, "backward"))
        if self.patches.copies and not self.keeps_patches:
            needed.append(Scratch("padded again", padded, "backward"))
        return (*needed, *spares)

    # --- the matrix -------------------------------------------------------------------------------------

    def shared(self) -> dict[str, Shape]:
        """T, unless it is the weight itself."""
        return {} if self.matrix.is_weight else {"matrix": self.matrix.shape}

    def prepare(self, weights: Mapping[str, Array], shared: Mapping[str, Array]) -> Run | None:
        """Fill T from the weight."""
        return self.matrix.spread(weights["weight"], shared["matrix"]) if shared else None

    def sums(self) -> dict[str, Shape]:
        """The gradients of T, transposed, and of the bias for each of its rows."""
        if self.direct:
            return super().sums()
        rows = {"rows": (self.layer.groups * self.matrix.rows,)} if self.layer.bias else {}
        return {"transposed": self.matrix.transposed, **rows}

    def fold(self, sums: Mapping[str, Array], gradients: Mapping[str, Array]) -> Run | None:
        """Sum the gradients of T and of its rows over the outputs of a tile."""
        if self.direct:
            return None
        fold = self.matrix.fold(sums["transposed"], gradients["weight"])
        if not self.layer.bias:
            return fold
        rows, bias = sums["rows"].reshape(-1, self.layer.channels), gradients["bias"]

        def run() -> None:
            fold()
            np.add.reduce(rows, axis=0, out=bias)

        return run

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """Block by block copy the patches and multiply, `Y = T P`; then add the bias."""
        bias = self._adding_bias(at, slice(None))
        if self.direct:
            y, x = self._columns(at.y), self._columns(at.x[0])
            return in_turn([multiplying(self._matrix(at), x, y), bias])
        return in_turn([*self._by_blocks(at, slice(0, self.patches.tiles[0])), bias])

    def _by_blocks(self, at: Site, tiles: slice) -> list[Run]:
        """Bind the products of some rows of tiles."""
        matrix, y = self._matrix(at), self._columns(at.y)
        padded, pad = self.patches.pad(at.x[0], at.whole_x[0], at.scratch.get("padded"))
        runs = [pad]
        memory, together = self._room(at)
        for block in self.patches.blocks_of(tiles, together):
            patches = self.patches.within(memory, block, at.n)
            runs.append(self.patches.gather(padded, block, patches))
            runs.append(multiplying_blocks(matrix, self._columns(patches), self._block(y, block, at.n)))
        return runs

    def _room(self, at: Site) -> tuple[Array, int]:
        """Memory for patches, and how many rows of tiles fit into it: with few images more than with many."""
        memory = at.scratch.get("patches of few")
        of_few = 0 if memory is None else memory.size // (self.patches.row * at.n)
        if memory is None or of_few <= self.patches.together:
            return at.scratch["patches"], self.patches.together
        return memory, of_few

    def _adding_bias(self, at: Site, columns: slice) -> Run:
        if not self.layer.bias:
            return nothing
        bias = at.weights["bias"][:, None]
        outputs = at.y.reshape(product(self.output.tile), len(bias), -1)[..., columns]

        def run() -> None:
            np.add(outputs, bias, out=outputs)

        return run

    # --- forward, in a team -----------------------------------------------------------------------------

    def together(self, at: Site, member: Member) -> list[Run]:
        """Some rows of T, or some columns of P, whichever are more: each reads all of the other matrix."""
        rows, positions = self.matrix.rows, product(self.patches.tiles) * at.n
        by_rows = self.layer.groups == 1 and self.matrix.is_weight and not self.output.tile
        if by_rows and rows >= positions:
            return [self._some_rows(at, member.share(rows))]
        if self.direct:
            return [self._some_columns(at, member.share(positions))]
        return [self._some_tiles(at, member.share(self.patches.tiles[0]))]

    def _some_rows(self, at: Site, some: slice) -> Run:
        """Bind some channels of the output."""
        if some.start == some.stop:
            return nothing
        weights = {name: weight[some] for name, weight in at.weights.items()}
        return self.forward(replace(at, y=at.y[some], weights=weights))

    def _some_columns(self, at: Site, some: slice) -> Run:
        """Bind some positions of a map that is its own patches."""
        if some.start == some.stop:
            return nothing
        y, x = self._columns(at.y)[..., some], self._columns(at.x[0])[..., some]
        return in_turn([multiplying(self._matrix(at), x, y), self._adding_bias(at, some)])

    def _some_tiles(self, at: Site, some: slice) -> Run:
        """Bind the tiles in some rows of them."""
        if some.start == some.stop:
            return nothing
        return in_turn([*self._by_blocks(at, some), self._adding_bias(at, self.patches.columns(some, at.n))])

    # --- backward ---------------------------------------------------------------------------------------
    #
    #   dT = dY P^T    db = sum over positions and images of dY    dP = T^T dY

    def backward(self, at: Site) -> Run:
        """`dT = dY P^T`, `db = sum dY`, `dP = T^T dY`, and `dx` summed from overlapping `dP`."""
        runs = self._backward_directly(at) if self.direct else self._backward_by_blocks(at)
        if self.layer.bias:
            rows = at.dy.reshape(self.layer.groups * self.matrix.rows, -1)
            sums = at.sums["bias" if self.direct else "rows"]
            runs.append(add_rows(rows, sums, at.scratch["spare rows"], at.moment))
        return in_turn(runs)

    def _backward_directly(self, at: Site) -> list[Run]:
        """`dW = dy x^T`, `dx = W^T dy`."""
        x, dy, dx = self._columns(at.x[0]), self._columns(at.dy), at.dx[0]
        total = at.sums["weight"].reshape(self.matrix.shape)
        runs = [add_product(dy, x.swapaxes(-1, -2), total, at.scratch["spare"], at.moment)]
        if dx is not None:
            runs.append(multiplying(self._matrix(at).swapaxes(-1, -2), dy, self._columns(dx)))
        return runs

    def _backward_by_blocks(self, at: Site) -> list[Run]:
        """Copy a block's patches again unless they were kept; put their gradient in their place."""
        cut, memory = self.patches, at.scratch["patches" if self.keeps_patches else "patches again"]
        dy, transposed = self._columns(at.dy), self._matrix(at).swapaxes(-1, -2)
        padded, pad = cut.pad(at.x[0], at.whole_x[0], at.scratch.get("padded again"))
        dx, whole_dx = at.dx[0], at.whole_dx[0]
        wanted = dx is not None and whole_dx is not None
        runs = [] if self.keeps_patches else [pad]
        if dx is not None and whole_dx is not None:
            total, begin, end = cut.summing(dx, whole_dx, at.scratch.get("summed"))
            runs.append(begin)
        for block in cut.blocks:
            patches = cut.within(memory, block, at.n)
            columns, dy_block = self._columns(patches), self._block(dy, block, at.n)
            if not self.keeps_patches:
                runs.append(cut.gather(padded, block, patches))
            runs.append(self._adding_matrix(at, columns, dy_block, block))
            if wanted:
                runs += [multiplying(transposed, dy_block, columns), cut.scatter(total, block, patches)]
        return [*runs, end] if wanted else runs

    def _adding_matrix(self, at: Site, patches: Array, dy: Array, block: slice) -> Run:
        """Bind `dT^T += P dY^T`; the first block of a worker's first piece begins the sum."""
        moment = at.moment if block.start == 0 else None
        total, spare, stack = at.sums["transposed"], at.scratch["spare"], at.scratch.get("stack")
        return add_product_of_blocks(patches, dy, total, spare, stack, moment)

    # --- arrays -----------------------------------------------------------------------------------------

    @property
    def _sum_shape(self) -> Shape:
        return self.matrix.shape if self.direct else self.matrix.transposed

    def _columns(self, array: Array) -> Array:
        """The array as a matrix whose columns are positions and images, group by group."""
        assert array.flags.c_contiguous, "a view would be a copy"
        groups, axes = self.layer.groups, len(self.patches.axes)
        columns = product(array.shape[-axes - 1 :])
        return array.reshape(-1, columns) if groups == 1 else array.reshape(groups, -1, columns)

    def _block(self, matrix: Array, block: slice, n: int) -> Array:
        """The columns of a block."""
        return matrix[..., self.patches.columns(block, n)]

    def _matrix(self, at: Site) -> Array:
        return at.shared["matrix"] if at.shared else self._as_matrix(at.weights["weight"])

    def _as_matrix(self, weight: Array) -> Array:
        """A weight, perhaps of some of the channels, as T."""
        return weight.reshape(*self.matrix.shape[:-2], -1, self.matrix.columns)

    def _described(self) -> tuple[str, str]:
        groups = f"{self.layer.groups} times " if self.layer.groups > 1 else ""
        size = f"{groups}{self.matrix.rows}x{self.matrix.columns}"
        if self.direct:
            return f"matrix product {size}", "a 1x1 kernel needs no patches"
        if self.matrix.is_weight:
            blocks = len(self.patches.blocks)
            return f"im2col {size}", f"patches in {blocks} blocks, for the cache" if blocks > 1 else ""
        shape = self.inputs[0].shape
        gain = estimate(self.layer, shape, ()) / estimate(self.layer, shape, self.output.tile)
        return f"tiles {size}", f"estimated {gain:.1f} times as fast as one output at a time"


class Im2colKernel(ConvKernel):
    """One output at a time."""

    @classmethod
    def writes_tiles(cls, layer: Conv, shape: Shape, tile: Shape) -> bool:
        """It does not."""
        return False


class DirectKernel(Im2colKernel):
    """A 1x1 kernel: the map is its own patches."""

    name = "direct"


class TilesKernel(ConvKernel):
    """The outputs of a tile at once, where the reader asks for tiles."""

    name = priced_as = "tiles"
    tiled = True

    @classmethod
    def writes_tiles(cls, layer: Conv, shape: Shape, tile: Shape) -> bool:
        """Whether it can."""
        return layer.groups == 1 and all(axis.spacing for axis in tiled_axes(layer, shape, tile))


class ShiftsKernel(TilesKernel):
    """Row after row of outputs, from copies of the map shifted along all axes but the first."""

    name = priced_as = "shifts"
    learns = False

    def __init__(
        self, layer: Conv, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        channels = inputs[0].shape[0]
        axes = tiled_axes(layer, inputs[0].shape, self.multiplied(output.tile))
        self.matrix = Toeplitz(layer.channels, channels // layer.groups, layer.groups, axes, by_rows=True)
        self.shifts = Shifts(channels, layer.groups, axes, output.tile[0] if output.tile else 1)
        self.outputs_at_once = self.multiplied(output.tile)
        size = "x".join(map(str, self.matrix.shape))
        self.algorithm, self.why = f"shifted rows {size}", "rows of outputs share copies of the map"

    @classmethod
    def suits(cls, layer: Conv, inputs: tuple[Shape, ...], tile: Shape) -> bool:
        """Whether what a row of outputs sees can lie behind one another, and T is small."""
        first = layer.window(*inputs)[0]
        written = tile if tile and cls.writes_tiles(layer, inputs[0], tile) else ()
        axes = tiled_axes(layer, inputs[0], cls.multiplied(written))
        matrix = Toeplitz(layer.channels, inputs[0][0] // layer.groups, layer.groups, axes)
        small = layer.groups * matrix.rows * matrix.columns <= LARGEST_MATRIX
        return first.kernel > 1 and first.dilation == 1 and small

    @classmethod
    def multiplied(cls, tile: Shape) -> Shape:
        """One row of a tile."""
        return (1, *tile[1:]) if tile else ()

    @classmethod
    def work(cls, layer: Conv, inputs: tuple[Shape, ...], tile: Shape, images: int) -> Work:
        """A product for each row of outputs, which reads all of T, and the copies."""
        written = tile if tile and cls.writes_tiles(layer, inputs[0], tile) else ()
        work = super().work(layer, inputs, written, images)
        axes = tiled_axes(layer, inputs[0], cls.multiplied(written))
        others = tuple(axis.tiles for axis in axes[1:])
        copied = product(Shifts(inputs[0][0], layer.groups, axes, 1).copies)
        return replace(
            work,
            cut=copied * images,
            short=copied / (others[-1] if others else 1),
            far=far(inputs[0], layer.infer(inputs[0]), images=images),
            weights=work.multiplied / (product(others) * images),
            strided=0.0 if written or not tile else strided(layer.infer(inputs[0]), images),
        )

    def scratch(self) -> tuple[Scratch, ...]:
        """The copies, and a padded map where the map itself has no margin."""
        needed = [
            Scratch("copies", self.shifts.memory, "forward"),
            Scratch("copies of few", (self.shifts.of_few,), "forward", per_image=False),
        ]
        if self.patches.copies:
            needed.append(Scratch("padded", self.patches.padded.stored, "forward"))
        return tuple(needed)

    def forward(self, at: Site) -> Run:
        """Block by block of rows copy, multiply and add the bias."""
        return self._some_tiles(at, slice(0, self.shifts.tiles))

    def together(self, at: Site, member: Member) -> list[Run]:
        """Some rows of tiles."""
        return [self._some_tiles(at, member.share(self.shifts.tiles))]

    def _some_tiles(self, at: Site, some: slice) -> Run:
        """Bind the tiles in some rows of them."""
        if some.start == some.stop:
            return nothing
        shifts, matrix = self.shifts, at.shared["matrix"]
        padded, pad = self.patches.pad(at.x[0], at.whole_x[0], at.scratch.get("padded"))
        memory = max(at.scratch["copies"], at.scratch["copies of few"], key=np.size)
        runs = [pad]
        for block in shifts.blocks(some, memory, at.n):
            copies = shifts.within(memory, block, at.n)
            runs += [shifts.copy(padded, block, copies), shifts.multiply(matrix, copies, block, at.y)]
            runs.append(self._adding_bias(at, self.patches.columns(block, at.n)))
        return in_turn(runs)

    def backward(self, at: Site) -> Run:
        """There is none: it is chosen for prediction alone."""
        raise NotImplementedError


COPY_COST: Final = 12
"""Copying a number into a patch, and adding its gradient back, takes as long as this many
multiply-accumulates in each of the three products of a training step."""
EDGE_COST: Final = 8
"""A product of `r` rows and `c` columns runs as slowly as one of `r + 8` and `c + 8` that wastes nothing."""


def estimate(layer: Conv, shape: Shape, tile: Shape) -> float:
    """The time of one image, in multiply-accumulates at full speed."""
    axes = tiled_axes(layer, shape, tile)
    matrix = Toeplitz(layer.channels, shape[0] // layer.groups, layer.groups, axes)
    positions = product(tuple(axis.tiles for axis in axes))
    one = (matrix.rows + EDGE_COST) * (matrix.columns + EDGE_COST) + COPY_COST * matrix.columns
    return float(positions * layer.groups * one)


def tiled_axes(layer: Conv, shape: Shape, tile: Shape) -> tuple[TiledAxis, ...]:
    """The axes of a convolution that computes such tiles; `()` stands for single outputs."""
    windows = layer.window(shape)
    outputs = layer.infer(shape)[1:]
    sizes = zip(shape[1:], outputs, windows, tile or (1,) * len(windows), strict=True)
    return tuple(TiledAxis(n, out, window, t) for n, out, window, t in sizes)


def _is_point(axis: TiledAxis) -> bool:
    w = axis.window
    return (w.kernel, w.stride, w.before, w.after, axis.tile) == (1, 1, 0, 0, 1)
