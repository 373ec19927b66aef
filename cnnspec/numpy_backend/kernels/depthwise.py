"""Kernels of depthwise convolution, which `conv` with as many groups as channels uses too.

A matrix product for each channel would be tiny. Each place of the kernel instead multiplies a shifted slice
of the map by one number a channel, and these products are added up, block by block: a block of outputs stays
in the cache while all places of the kernel pass over it.
"""

from __future__ import annotations

from itertools import product as places
from typing import Final, NamedTuple, TypeVar

import numpy as np

from cnnspec.layers import AxisWindow, Shape, product
from cnnspec.layers.convolution import Conv
from cnnspec.layers.depthwise import Depthwise
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Index,
    Kernel,
    Run,
    Scratch,
    Site,
    add_rows,
    computes,
    in_turn,
)
from cnnspec.numpy_backend.kernels.windows import reaches

D = TypeVar("D", bound=Depthwise | Conv)

BLOCK: Final = 1 << 15
"""Outputs of a block. With 3x3 kernels over maps from 112x112 to 7x7, 8,192 were up to half as fast (short
calls), and 65,536 were a fifth slower (a block and its products no longer in the L2 cache)."""


class Part(NamedTuple):
    """What one place of the kernel meets in a block: elements of the map, and the outputs they go to."""

    place: int
    inputs: Index
    outputs: Index


class Block(NamedTuple):
    """Outputs that are computed together: some channels, and some positions along the first axis.

    `outputs` are the output channels that the input channels `inputs` lead to.
    """

    inputs: slice
    outputs: slice
    rows: slice


@computes(Depthwise)
class DepthwiseKernel(Kernel[D]):
    """`y_k(p) = sum_i W_(k,i) x_c(q) + b_k` with `k = c * multiplier + j`, `q = p * s + i * d - before`."""

    reads_margin = True
    keeps_input = True
    algorithm = "shifted slices"
    why = "products of one channel are too small for matrices"

    @property
    def windows(self) -> tuple[AxisWindow, ...]:
        """The window on every axis."""
        return self.layer.window(self.inputs[0].shape)

    def scratch(self) -> tuple[Scratch, ...]:
        """The products of one place of the kernel with a block, or with a row, and room for sums."""
        row = (product(self.output.shape[2:]),)
        return (
            Scratch("block", (BLOCK,), "forward", per_image=False),
            Scratch("row", row, "forward"),
            Scratch("block again", (BLOCK,), "backward", per_image=False),
            Scratch("row again", row, "backward"),
            Scratch("spare", self.output.shape[:1], "backward", per_image=False),
        )

    # --- forward ----------------------------------------------------------------------------------------

    def forward(self, at: Site) -> Run:
        """Begin each block with one place of the kernel, then add the others and the bias."""
        return in_turn(self._block_forward(at, block) for block in self.blocks(at.n))

    def _block_forward(self, at: Site, block: Block) -> Run:
        x, y = at.x[0][block.inputs], at.y[block.outputs]
        total, parts = y[:, block.rows], self._parts(block)
        whole = next((part for part in parts if y[part.outputs].shape == total.shape), None)
        begin = self._beginning(at, block, x, total, whole)
        steps = []
        for part in parts:
            if part is not whole:
                target, factor = y[part.outputs], self._factor(at, block, part)
                memory = _room(at.scratch["block"], at.scratch["row"], target.shape)
                steps.append((x[part.inputs], factor, memory, target))
        bias = self._per_channel(at.weights["bias"])[block.outputs] if "bias" in at.weights else None

        def run() -> None:
            begin()
            for seen, factor, products, target in steps:
                np.multiply(seen, factor, out=products)
                np.add(target, products, out=target)
            if bias is not None:
                np.add(total, bias, out=total)

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
            runs.append(self._spreading(at, at.dx[0]))
        if "bias" in at.sums:
            runs.append(add_rows(flat_channels(at.dy), at.sums["bias"], at.scratch["spare"], at.moment))
        return in_turn(runs)

    def _adding_weights(self, at: Site) -> Run:
        total, spare, moment = at.sums["weight"], at.scratch["spare"], at.moment
        sums = total.reshape(len(total), -1)
        axes = "cxyzuvw"[: at.dy.ndim - 1] + "n"
        sum_channels = f"{axes},{axes}->c"
        steps = []
        for block in self.blocks(at.n):
            x, dy, products = at.x[0][block.inputs], at.dy[block.outputs], spare[block.outputs]
            for part in self._parts(block):
                steps.append((x[part.inputs], dy[part.outputs], products, sums[block.outputs, part.place]))

        def run() -> None:
            if moment.first:
                total.fill(0)
            for seen, gradient, products, target in steps:
                np.einsum(sum_channels, seen, gradient, out=products)
                np.add(target, products, out=target)

        return run

    def _spreading(self, at: Site, dx: Array) -> Run:
        steps = []
        for block in self.blocks(at.n):
            dx_block, dy = dx[block.inputs], at.dy[block.outputs]
            for part in self._parts(block):
                gradient, factor = dy[part.outputs], self._factor(at, block, part)
                memory = _room(at.scratch["block again"], at.scratch["row again"], gradient.shape)
                steps.append((gradient, factor, memory, dx_block[part.inputs]))

        def run() -> None:
            dx.fill(0)
            for gradient, factor, products, target in steps:
                np.multiply(gradient, factor, out=products)
                np.add(target, products, out=target)

        return run

    # --- parts ------------------------------------------------------------------------------------------

    def blocks(self, n: int) -> list[Block]:
        """Blocks of at most `BLOCK` outputs, or of a single row where that has more."""
        channels, rows = self.inputs[0].shape[0], self.output.shape[1]
        multiplier = self.output.shape[0] // channels
        row = product(self.output.shape[2:]) * n
        height = min(max(BLOCK // row, 1), rows)
        together = max(BLOCK // (row * height), 1) if height == rows else 1
        return [
            Block(
                slice(first, min(first + together, channels)),
                slice(first * multiplier + j, min(first + together, channels) * multiplier, multiplier),
                slice(top, min(top + height, rows)),
            )
            for first in range(0, channels, together)
            for j in range(multiplier)
            for top in range(0, rows, height)
        ]

    def _parts(self, block: Block) -> list[Part]:
        """What every place of the kernel meets, row by row; those that meet padding only are left out."""
        sizes = zip(self.inputs[0].shape[1:], self.output.shape[1:], self.windows, strict=True)
        axes = [reaches(window, n, outputs) for n, outputs, window in sizes]
        axes[0] = [None if r is None else r.within(block.rows) for r in axes[0]]
        found = []
        for place, met in enumerate(places(*axes)):
            inside = [r for r in met if r is not None]
            if len(inside) == len(met):
                inputs: Index = (slice(None), *(r.inputs for r in inside))
                outputs: Index = (slice(None), *(r.outputs for r in inside))
                found.append(Part(place, inputs, outputs))
        return found

    def _factor(self, at: Site, block: Block, part: Part) -> Array:
        """The weights of one place, one for each channel of a block."""
        weight = at.weights["weight"].reshape(self.output.shape[0], -1)
        return self._per_channel(weight[:, part.place])[block.outputs]

    def _per_channel(self, numbers: Array) -> Array:
        """One number for each output channel, to be multiplied with `C x H x W x N`."""
        return numbers.reshape(-1, *(1,) * len(self.output.shape))


def flat_channels(array: Array) -> Array:
    """A contiguous array as `channels x everything else`."""
    assert array.flags.c_contiguous, "a view would be a copy"
    return array.reshape(len(array), -1)


def _room(block: Array, row: Array, shape: Shape) -> Array:
    """Memory for products of this shape."""
    size = product(shape)
    memory = block if size <= block.size else row.reshape(-1)
    return memory[:size].reshape(shape)
