"""Outputs of a convolution of single channels in blocks, and what each place of the kernel meets in one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as places
from typing import Final, NamedTuple

from cnnspec.layers import AxisWindow, Shape, product
from cnnspec.numpy_backend.kernels.base import Index
from cnnspec.numpy_backend.kernels.windows import reaches

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


@dataclass(frozen=True)
class Blocks:
    """The blocks of outputs of shape `output`, from an input of shape `input`, both `C x H x W`."""

    input: Shape
    output: Shape
    windows: tuple[AxisWindow, ...]

    def of_channels(self, count: int) -> Blocks:
        """The blocks of so many input channels, and of the outputs they lead to."""
        outputs = self.output[0] // self.input[0] * count
        return Blocks((count, *self.input[1:]), (outputs, *self.output[1:]), self.windows)

    def of(self, n: int) -> list[Block]:
        """Blocks of at most `BLOCK` outputs of `n` images, or of a single row where that has more."""
        channels, rows = self.input[0], self.output[1]
        multiplier = self.output[0] // channels
        row = product(self.output[2:]) * n
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

    def parts(self, block: Block) -> list[Part]:
        """What every place of the kernel meets, row by row; those that meet padding only are left out."""
        axes = list(map(reaches, self.windows, self.input[1:], self.output[1:]))
        axes[0] = [None if r is None else r.within(block.rows) for r in axes[0]]
        found = []
        for place, met in enumerate(places(*axes)):
            inside = [r for r in met if r is not None]
            if len(inside) == len(met):
                inputs: Index = (slice(None), *(r.inputs for r in inside))
                outputs: Index = (slice(None), *(r.outputs for r in inside))
                found.append(Part(place, inputs, outputs))
        return found
