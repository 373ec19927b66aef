"""Kernels of depthwise convolution, which `conv` with as many groups as channels uses too.

Along one or two axes, small matrix products compute some rows of outputs at a time (rows.py). Where these do
not fit, each place of the kernel multiplies a shifted slice of the map by one number a channel, and these
products are added up block by block, so that a block stays in the cache while all places pass over it
(blocks.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

import numpy as np

from cnnspec.layers import AxisWindow, Shape, Weight, product
from cnnspec.layers.convolution import Conv
from cnnspec.layers.depthwise import Depthwise
from cnnspec.numpy_backend.kernels import blocks
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Kernel,
    Layout,
    Member,
    Run,
    Scratch,
    Site,
    add_rows,
    adding,
    computes,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.blocks import Block, Blocks, Part
from cnnspec.numpy_backend.kernels.rows import RowProducts
from cnnspec.numpy_backend.kernels.windows import within

D = TypeVar("D", bound=Depthwise | Conv)


@computes(Depthwise)
class DepthwiseKernel(Kernel[D]):
    """`y_k(p) = sum_i W_(k,i) x_c(q) + b_k` with `k = c * multiplier + j`, `q = p * s + i * d - before`."""

    reads_margin = True
    keeps_input = True
    folds = True
    finishes = True

    def __init__(
        self, layer: D, inputs: tuple[Layout, ...], output: Layout, weights: tuple[Weight, ...]
    ) -> None:
        super().__init__(layer, inputs, output, weights)
        shape, out = inputs[0].shape, output.shape
        self.blocks = Blocks(shape, out, self.windows)
        self.rows = _by_rows(shape[0], shape[1:], out[1:], self.windows)
        apart = all(window.stride == 1 for window in self.windows) and out[0] == shape[0]
        turned = tuple(map(_turned, self.windows))
        self.rows_back = _by_rows(shape[0], out[1:], shape[1:], turned) if apart else None
        self.algorithm = "products of rows" if self.rows else "shifted slices"
        self.why = "small products of many rows beat a pass for each place of the kernel" if self.rows else ""

    @property
    def windows(self) -> tuple[AxisWindow, ...]:
        """The window on every axis."""
        return self.layer.window(self.inputs[0].shape)

    @classmethod
    def takes_shift(cls, layer: D, inputs: tuple[Shape, ...]) -> bool:
        """Where no output sees the zeros around the map."""
        return within(layer.window(*inputs))

    def scratch(self) -> tuple[Scratch, ...]:
        """Copies of some channels and their products, for either way to compute them, and room for sums."""
        found = [Scratch("spare", self.output.shape[:1], "backward", per_image=False)]
        if self.rows is not None:
            found.append(Scratch("copies again", self.rows.scratch, "backward"))
            found.append(Scratch("products", self.rows.products, "backward", per_image=False))
        found += self._of_places("forward", self.rows, "")
        return (*found, *self._of_places("backward", self.rows_back, " back"))

    def _of_places(
        self, during: Literal["forward", "backward"], rows: RowProducts | None, way: str
    ) -> tuple[Scratch, ...]:
        if rows is not None:
            return (Scratch("copies" + way, rows.scratch, during),)
        return (
            Scratch("block" + way, (blocks.BLOCK,), during, per_image=False),
            Scratch("row" + way, (product(self.output.shape[2:]),), during),
        )

    def shared(self) -> dict[str, Shape]:
        """The matrices of the row products."""
        rows = {"rows": self.rows, "rows back": self.rows_back}
        return {name: (self.output.shape[0], *each.matrix) for name, each in rows.items() if each is not None}

    def prepare(self, weights: Mapping[str, Array], shared: Mapping[str, Array]) -> Run | None:
        """Fill the matrices; back to the input, the kernel is turned round."""
        weight = weights["weight"].reshape(self.output.shape[0], *_rows_first(self.weights[0].shape[2:]))
        runs = []
        if self.rows is not None:
            runs.append(self.rows.spread(weight, shared["rows"]))
        if self.rows_back is not None:
            runs.append(self.rows_back.spread(weight[:, ::-1, ::-1], shared["rows back"]))
        return in_turn(runs) if runs else None

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """By rows; or begin each block with one place of the kernel, then add the others and the bias."""
        return self._forward(at, self.rows, self.blocks)

    def _forward(self, at: Site, rows: RowProducts | None, blocks: Blocks) -> Run:
        if rows is not None:
            x, y = _with_rows(at.x[0]), _with_rows(at.y)
            return rows.run(at.shared["rows"], x, y, at.scratch["copies"], partial(self._finishing, at))
        return in_turn(self._block_forward(at, block) for block in blocks.of(at.n))

    def together(self, at: Site, member: Member) -> list[Run]:
        """Some channels, with weights and matrices of their own."""
        channels = self.blocks.input[0]
        some, multiplier = member.share(channels), self.blocks.output[0] // channels
        count = some.stop - some.start
        if not count:
            return [nothing]
        outputs = slice(some.start * multiplier, some.stop * multiplier)
        weights, shared = (
            {name: array[outputs] for name, array in arrays.items()} for arrays in (at.weights, at.shared)
        )
        mine = replace(at, x=(at.x[0][some],), y=at.y[outputs], weights=weights, shared=shared)
        rows = replace(self.rows, channels=count) if self.rows is not None else None
        return [self._forward(mine, rows, self.blocks.of_channels(count))]

    def _places(self, at: Site) -> Array:
        """The weights as `outputs x places`."""
        return at.weights["weight"].reshape(len(at.weights["weight"]), -1)

    def _finishing(self, at: Site, outputs: slice) -> Run:
        """Bind adding the bias to some channels, and what else is done to them."""
        y = at.y[outputs]
        if "bias" not in at.weights:
            return self.finish(y)
        return in_turn([adding(self._per_channel(at.weights["bias"])[outputs], y), self.finish(y)])

    def _block_forward(self, at: Site, block: Block) -> Run:
        x, y = at.x[0][block.inputs], at.y[block.outputs]
        total, parts = y[:, block.rows], self.blocks.parts(block)
        whole = next((part for part in parts if y[part.outputs].shape == total.shape), None)
        begin = self._beginning(at, block, x, total, whole)
        steps = []
        for part in parts:
            if part is not whole:
                target, factor = y[part.outputs], self._factor(at, block, part)
                memory = _room(at.scratch["block"], at.scratch["row"], target.shape)
                steps.append((x[part.inputs], factor, memory, target))
        bias = self._per_channel(at.weights["bias"])[block.outputs] if "bias" in at.weights else None
        finish = self.finish(total)

        def run() -> None:
            begin()
            for seen, factor, products, target in steps:
                np.multiply(seen, factor, out=products)
                np.add(target, products, out=target)
            if bias is not None:
                np.add(total, bias, out=total)
            finish()

        return run

    def _beginning(self, at: Site, block: Block, x: Array, total: Array, whole: Part | None) -> Run:
        """Bind the products of a place that meets every output of a block, or zeros where there is none."""
        if whole is None:
            return lambda: total.fill(0)
        seen, factor = x[whole.inputs], self._factor(at, block, whole)

        def run() -> None:
            np.multiply(seen, factor, out=total)

        return run

    # --- backward ---------------------------------------------------------------------------------------
    #
    #   dW_(k,i) = sum_p dy_k(p) x_c(q)    dx_c(q) += W_(k,i) dy_k(p)

    def backward(self, at: Site) -> Run:
        """Each place adds its products to `dW`, and `dy` times its weight to the slice that it read."""
        runs = [self._adding_weights(at)]
        if at.dx[0] is not None:
            runs.append(self._going_back(at, at.dx[0]))
        if "bias" in at.sums:
            runs.append(add_rows(flat_channels(at.dy), at.sums["bias"], at.scratch["spare"], at.moment))
        return in_turn(runs)

    def _adding_weights(self, at: Site) -> Run:
        total, spare, moment = at.sums["weight"], at.scratch["spare"], at.moment
        if self.rows is not None:
            x, dy, copies = _with_rows(at.x[0]), _with_rows(at.dy), at.scratch["copies again"]
            return self.rows.add_gradient(x, dy, total, copies, at.scratch["products"], moment)
        sums = total.reshape(len(total), -1)
        axes = "cxyzuvw"[: at.dy.ndim - 1] + "n"
        sum_channels = f"{axes},{axes}->c"
        steps = []
        for block in self.blocks.of(at.n):
            x, dy, products = at.x[0][block.inputs], at.dy[block.outputs], spare[block.outputs]
            for part in self.blocks.parts(block):
                steps.append((x[part.inputs], dy[part.outputs], products, sums[block.outputs, part.place]))

        def run() -> None:
            if moment.first:
                total.fill(0)
            for seen, gradient, products, target in steps:
                np.einsum(sum_channels, seen, gradient, out=products)
                np.add(target, products, out=target)

        return run

    def _going_back(self, at: Site, dx: Array) -> Run:
        """With stride 1, `dx` is a convolution of `dy` with the kernel turned round."""
        if self.rows_back is not None:
            copies = at.scratch["copies back"]
            return self.rows_back.run(at.shared["rows back"], _with_rows(at.dy), _with_rows(dx), copies)
        return self._spreading(at, dx)

    def _spreading(self, at: Site, dx: Array) -> Run:
        steps = []
        for block in self.blocks.of(at.n):
            dx_block, dy = dx[block.inputs], at.dy[block.outputs]
            for part in self.blocks.parts(block):
                gradient, factor = dy[part.outputs], self._factor(at, block, part)
                memory = _room(at.scratch["block back"], at.scratch["row back"], gradient.shape)
                steps.append((gradient, factor, memory, dx_block[part.inputs]))

        def run() -> None:
            dx.fill(0)
            for gradient, factor, products, target in steps:
                np.multiply(gradient, factor, out=products)
                np.add(target, products, out=target)

        return run

    # --- parts ------------------------------------------------------------------------------------------

    def _factor(self, at: Site, block: Block, part: Part) -> Array:
        """The weights of one place, one for each channel of a block."""
        return self._per_channel(self._places(at)[:, part.place])[block.outputs]

    def _per_channel(self, numbers: Array) -> Array:
        """One number for each output channel, to be multiplied with `C x H x W x N`."""
        return numbers.reshape(-1, *(1,) * len(self.output.shape))


def _by_rows(
    channels: int, sizes: Shape, outputs: Shape, windows: tuple[AxisWindow, ...]
) -> RowProducts | None:
    """The row products of maps of one or two axes, where they are worth it."""
    if len(sizes) > 2:
        return None
    point = (AxisWindow(1),) * (2 - len(windows))
    down, along = (*point, *windows)
    rows = RowProducts(channels, _rows_first(sizes), _rows_first(outputs), (down, along))
    return rows if rows.fits else None


def _turned(window: AxisWindow) -> AxisWindow:
    """The window of the convolution that goes back to the input, for stride 1."""
    before, after = (window.reach - 1 - pad for pad in (window.before, window.after))
    return AxisWindow(window.kernel, 1, window.dilation, before, after)


def _rows_first(sizes: Shape) -> Shape:
    """The sizes of a signal as those of a map with one row."""
    return (1, *sizes) if len(sizes) == 1 else sizes


def _with_rows(array: Array) -> Array:
    """A signal `C x W x N` as a map `C x 1 x W x N`."""
    return array[:, None] if array.ndim == 3 else array


def flat_channels(array: Array) -> Array:
    """A contiguous array as `channels x everything else`."""
    assert array.flags.c_contiguous, "a view would be a copy"
    return array.reshape(len(array), -1)


def _room(block: Array, row: Array, shape: Shape) -> Array:
    """Memory for products of this shape."""
    size = product(shape)
    memory = block if size <= block.size else row.reshape(-1)
    return memory[:size].reshape(shape)
