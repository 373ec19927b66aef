"""Convolution of each channel by itself, one row of outputs at a time, as small matrix products.

Rows of the map that lie one after the other in memory are one matrix. With a map cut into strips of `pw`
columns, `kh` rows of a strip hold all that a row of `tw` outputs needs:

    Y_(c,p) = T_c X_(c,p),    X: (kh * pw) x N, a view    T_c: tw x (kh * pw), the kernel at `tw` places

Only the strips are copied, which overlap little. T is mostly zeros, and still its products are about twice as
fast as multiplying and adding slice by slice, and three times where the stride is 2 (3x3 kernels, maps of
112x112 to 7x7, one core).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided

from cnnspec.layers import AxisWindow, Shape, product
from cnnspec.numpy_backend.kernels.base import Array, Run

LONGEST_ROW: Final = 16
"""Outputs of a strip's row, where their number can be divided so."""
MOST_WASTE: Final = 8
"""Columns of a strip for each column of the kernel, beyond which the zeros of T cost more than they save."""
STRIP_BLOCK: Final = 1 << 12
"""Elements of one image's strips that are copied before they are multiplied, to stay in the cache."""


@dataclass(frozen=True)
class RowProducts:
    """The products for maps of `sizes` rows and columns, and outputs likewise."""

    channels: int
    sizes: Shape
    outputs: Shape
    windows: tuple[AxisWindow, AxisWindow]

    @property
    def fits(self) -> bool:
        """Whether it can be done so, and is worth it."""
        down, along = self.windows
        if down.dilation > 1 or down.kernel * along.kernel == 1:
            return False
        return self.tile >= min(4, self.outputs[1]) and self.strip <= MOST_WASTE * along.kernel

    @property
    def tile(self) -> int:
        """Outputs in a row of a strip."""
        wide = self.outputs[1]
        most = max(t for t in range(1, min(wide, LONGEST_ROW) + 1) if wide % t == 0)
        return most if most >= 4 else wide

    @property
    def strip(self) -> int:
        """Columns of a strip."""
        along = self.windows[1]
        return (self.tile - 1) * along.stride + along.reach

    @property
    def together(self) -> int:
        """Channels whose strips are copied at once."""
        return max(min(STRIP_BLOCK // product(self._strips), self.channels), 1)

    @property
    def matrix(self) -> Shape:
        """The shape of T for each output channel."""
        return (self.tile, self.windows[0].kernel * self.strip)

    @property
    def scratch(self) -> Shape:
        """The shape of the strips of some channels of one image."""
        return (self.together, *self._strips)

    def spread(self, weight: Array, matrix: Array) -> Run:
        """Bind filling T from a weight of `channels x kh x kw`; its zeros are set now."""
        down, along = self.windows
        matrix.fill(0)
        places = matrix.reshape(-1, self.tile, down.kernel, self.strip)
        starts = [output * along.stride for output in range(self.tile)]
        targets = [
            places[:, output, :, start : start + along.reach : along.dilation]
            for output, start in enumerate(starts)
        ]

        def run() -> None:
            for target in targets:
                np.copyto(target, weight)

        return run

    def run(self, matrix: Array, x: Array, y: Array, strips: Array) -> Run:
        """Bind `y = T x` for `x` of `channels x H x W x N`; `y` may have several outputs for each channel."""
        steps = []
        matrices = matrix.reshape(self.channels, -1, 1, 1, *self.matrix)
        for first in range(0, self.channels, self.together):
            some = slice(first, min(first + self.together, self.channels))
            copied = strips[: some.stop - some.start]
            copies = self._copies(x[some], copied)
            steps.append((copies, matrices[some], self._rows(copied), self._row_outputs(y)[some]))

        def run() -> None:
            strips.fill(0)  # what lies outside the map stays 0
            for copies, left, right, out in steps:
                for source, target in copies:
                    np.copyto(target, source)
                np.matmul(left, right, out=out)

        return run

    # --- arrays -----------------------------------------------------------------------------------------

    @property
    def _strips(self) -> Shape:
        """The strips of one channel: how many, their rows and columns."""
        down = self.windows[0]
        rows = (self.outputs[0] - 1) * down.stride + down.reach
        return (self.outputs[1] // self.tile, rows, self.strip)

    def _copies(self, x: Array, strips: Array) -> list[tuple[Array, Array]]:
        """What of the map goes where in the strips."""
        down, along = self.windows
        rows, to_rows = _overlap(-down.before, self._strips[1], self.sizes[0])
        pairs = []
        for number in range(self._strips[0]):
            start = number * self.tile * along.stride - along.before
            columns, to_columns = _overlap(start, self.strip, self.sizes[1])
            pairs.append((x[:, rows, columns], strips[:, number, to_rows, to_columns]))
        return pairs

    def _rows(self, strips: Array) -> Array:
        """For every row of outputs the rows of a strip that it needs: `(C, 1, strips, Ho, kh * pw, N)`."""
        channel, strip, row, column, image = strips.strides
        shape = (len(strips), 1, self._strips[0], self.outputs[0], self.matrix[1], strips.shape[-1])
        strides = (channel, 0, strip, row * self.windows[0].stride, column, image)
        return as_strided(strips, shape, strides, writeable=False)

    def _row_outputs(self, y: Array) -> Array:
        """The outputs as `(C, multiplier, strips, Ho, tw, N)`."""
        n = y.shape[-1]
        split = y.reshape(self.channels, -1, self.outputs[0], self._strips[0], self.tile, n)
        return split.swapaxes(2, 3)


def _overlap(start: int, length: int, n: int) -> tuple[slice, slice]:
    """Positions `start` to `start + length` where they are inside a map of `n`, and counted from `start`."""
    first, last = max(start, 0), max(min(start + length, n), max(start, 0))
    return slice(first, last), slice(first - start, last - start)
