"""Sliding windows as views: which input positions meet which place of a window."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from cnnspec.layers import AxisSight, AxisWindow


@dataclass(frozen=True, slots=True)
class Reach:
    """Where one place of a window lies inside the map, along one axis.

    Output positions `outputs` meet input positions `inputs`; the others meet padding.
    """

    inputs: slice
    outputs: slice

    def within(self, outputs: slice) -> Reach | None:
        """The part of it that falls on some of the outputs."""
        start, stop = max(self.outputs.start, outputs.start), min(self.outputs.stop, outputs.stop)
        if start >= stop:
            return None
        step = self.inputs.step
        first = self.inputs.start + (start - self.outputs.start) * step
        return Reach(slice(first, first + (stop - start - 1) * step + 1, step), slice(start, stop))


def within(windows: tuple[AxisWindow, ...]) -> bool:
    """Whether windows never look beyond the map: there is no padding."""
    return all(window.before == window.after == 0 for window in windows)


def reaches(sight: AxisSight, n: int, outputs: int) -> list[Reach | None]:
    """For each place of a window, or of each bin of a period, where it lies inside a map of `n`.

    There is none where a place meets nothing but padding. Of the outputs `phase + q * period`, a place meets
    the inputs `position + q * advance`.
    """
    found = []
    for phase in range(min(sight.period, outputs)):
        for position in sight.seen(phase):
            first = max(0, -(position // sight.advance))
            last = min((outputs - 1 - phase) // sight.period, (n - 1 - position) // sight.advance)
            met = Reach(
                _every(position, sight.advance, first, last), _every(phase, sight.period, first, last)
            )
            found.append(met if first <= last else None)
    return found


def _every(start: int, step: int, first: int, last: int) -> slice:
    return slice(start + first * step, start + last * step + 1, step)


@dataclass(frozen=True, slots=True)
class TiledAxis:
    """One axis of a convolution that computes `tile` neighbouring outputs at once from one patch.

    Output `a` of a tile and place `i` of the kernel meet place `a * stride + i * dilation` of the patch.
    """

    n: int
    outputs: int
    window: AxisWindow
    tile: int = 1

    @property
    def offsets(self) -> tuple[int, ...]:
        """The places of the patch that matter, in input positions."""
        w = self.window
        return tuple(
            sorted({a * w.stride + i * w.dilation for a in range(self.tile) for i in range(w.kernel)})
        )

    @property
    def spacing(self) -> int:
        """The distance between neighbouring offsets; 0 where it varies."""
        offsets = self.offsets
        gaps = {b - a for a, b in pairwise(offsets)}
        return gaps.pop() if len(gaps) == 1 else int(not gaps)

    @property
    def tiles(self) -> int:
        """The number of tiles along the axis."""
        return self.outputs // self.tile

    @property
    def step(self) -> int:
        """The distance between the patches of neighbouring tiles, in input positions."""
        return self.tile * self.window.stride

    @property
    def padded(self) -> int:
        """The length of the padded axis."""
        return self.n + self.window.before + self.window.after

    def kernel(self, a: int) -> slice:
        """The places of the patch that the kernel takes for output `a` of the tile."""
        first = a * self.window.stride // self.spacing
        step = max(self.window.dilation // self.spacing, 1)
        return slice(first, first + (self.window.kernel - 1) * step + 1, step)

    def inputs(self, place: int) -> slice:
        """The padded input positions that one place of the patch takes, tile by tile."""
        start = self.offsets[place]
        return slice(start, start + (self.tiles - 1) * self.step + 1, self.step)

    # --- phases: the padded positions of one remainder by `step` ------------------------------------------

    @property
    def dense(self) -> bool:
        """Whether a patch leaves nothing out between its first position and its last."""
        return self.spacing == 1 and self.offsets[0] == 0

    @property
    def rounds(self) -> int:
        """The steps that a patch is long, the last perhaps not whole."""
        return -(-len(self.offsets) // self.step)

    @property
    def strides(self) -> int:
        """The positions of one phase: enough for all patches, and for all of the padded axis."""
        reached = (self.tiles - 1) * self.step + len(self.offsets)
        return -(-max(reached, self.padded) // self.step)

    def phase(self, p: int) -> tuple[slice, slice]:
        """The input positions of phase `p`, and the places where that phase has them."""
        first = max(0, -(-(self.window.before - p) // self.step))
        start = first * self.step + p - self.window.before
        count = max(0, -(-(self.n - start) // self.step))
        return slice(start, start + count * self.step, self.step), slice(first, first + count)
