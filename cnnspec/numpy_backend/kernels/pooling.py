"""Kernels of pooling. One array operation for each place of the window, over all positions and images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnspec.layers import Shape, product
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample
from cnnspec.numpy_backend.kernels.base import (
    Array,
    Bare,
    Index,
    Margin,
    Run,
    Scratch,
    Site,
    accumulating,
    add_rows,
    along,
    computes,
    in_turn,
    nothing,
)
from cnnspec.numpy_backend.kernels.elementwise import CUT, in_blocks, like
from cnnspec.numpy_backend.kernels.pools import P, PoolKernel, running
from cnnspec.numpy_backend.kernels.windows import Reach, reaches


@computes(MaxPool)
class MaxPoolKernel(PoolKernel[P]):
    """The largest of each window. Padding takes no part, so it never wins."""

    by_channel = True
    keeps_input = True
    keeps_output = True

    @classmethod
    def commutes(cls, layer: P, inputs: tuple[Shape, ...]) -> bool:
        """The largest stays the largest."""
        return True

    @property
    def _by_axes(self) -> bool:
        """Whether the largest is found along one axis after the other: fewer passes, most over whole rows."""
        wide = sum(len(window.seen(0)) > 1 for window in self.windows)
        return wide > 1 and not self.inputs[0].tile

    def forward(self, at: Site) -> Run:
        """`y_o = max_k x_(o,k)`."""
        if self._by_axes:
            return in_turn(self._along_axes(at, some) for some in self._blocks(len(at.y), at.n))
        y = at.y
        parts = self.parts(at.x[0], y)
        lowest = y.dtype.type(-np.inf)
        whole = [part for part in parts if part.pooled.shape == y.shape]
        if len(whole) == len(parts) and len(parts) > 1:
            return running(np.maximum, parts, y)

        def run() -> None:
            y.fill(lowest)
            for part in parts:
                np.maximum(part.pooled, part.map, out=part.pooled)

        return run

    def _along_axes(self, at: Site, some: slice) -> Run:
        """Bind the maxima of some channels, first along the first axis; those between are scratch."""
        values, runs = at.x[0][some], []
        for axis, window in enumerate(self.windows):
            shape = (len(values), *self._between(axis), at.n)
            last = axis == len(self.windows) - 1
            target = (
                at.y[some] if last else self._memory(at, f"between{axis}")[: product(shape)].reshape(shape)
            )
            met = reaches(window, values.shape[axis + 1], target.shape[axis + 1])
            runs.append(_largest(met, axis + 1, values, target))
            values = target
        return in_turn(runs)

    def _between(self, axis: int) -> Shape:
        """The sizes of a map whose maxima have been taken along the axes up to this one."""
        return (*self.output.shape[1 : axis + 2], *self.inputs[0].shape[axis + 2 :])

    # The gradient of an output goes to the first place of its window that holds the maximum:
    #   dx_(o,k) += dy_o [x_(o,k) = y_o] [no k' < k has x_(o,k') = y_o].
    # Once an output's gradient has been given away it is set to 0 in `dy`, which nobody reads afterwards.

    def backward(self, at: Site) -> Run:
        """Give each output's gradient to the first maximum of its window, as PyTorch does."""
        dx = at.dx[0]
        if dx is None:
            return nothing
        return in_turn(self._give(at, dx, some) for some in self._blocks(len(at.y), at.n))

    def _give(self, at: Site, dx: Array, some: slice) -> Run:
        """Bind giving away the gradients of some channels."""
        axis = self._channels
        index: Index = along(axis, some)
        x, y, dx, dy = at.x[0][index], at.y[along(0, some)], dx[index], at.dy[along(0, some)]
        won, given = (like(self._memory(at, name), y) for name in ("won", "given"))
        together = [self.parts(*pair) for pair in ((x, y), (dx, dy), (dx, won), (dx, given))]
        steps = [
            (seen, top, to, of, won_here, given_here)
            for (seen, top), (to, of), (_, won_here), (_, given_here) in zip(*together, strict=True)
        ]
        apart = not self.overlaps and self.covers(together[1])

        def run_apart() -> None:
            for seen, top, to, of, won_here, _ in steps:
                np.equal(seen, top, out=won_here)
                np.multiply(of, won_here, out=to)
                np.subtract(of, to, out=of)

        def run() -> None:
            dx.fill(0)
            for seen, top, to, of, won_here, given_here in steps:
                np.equal(seen, top, out=won_here)
                np.multiply(of, won_here, out=given_here)
                np.add(to, given_here, out=to)
                np.subtract(of, given_here, out=of)

        return run_apart if apart else run

    @property
    def _channels(self) -> int:
        """The axis of the channels in the input."""
        return len(self.inputs[0].tile)

    def _blocks(self, channels: int, n: int) -> Iterator[slice]:
        """Channels whose arrays stay in the cache."""
        sizes = self.output.shape[1:]
        return in_blocks(max(CUT // (product(sizes) * n), 1), channels)

    def _memory(self, at: Site, name: str) -> Array:
        """Memory for a block, or for one channel where that is more."""
        some, one = at.scratch[name], at.scratch[f"{name} of one"].reshape(-1)
        return some if one.size <= some.size else one

    def scratch(self) -> tuple[Scratch, ...]:
        """Which outputs of a block found their maximum, as numbers, and the gradient that they give.

        And maxima along some of the axes.
        """
        one = self.output.shape[1:]
        return (
            *self._scratch_between(),
            Scratch("won", (CUT,), "backward", per_image=False),
            Scratch("given", (CUT,), "backward", per_image=False),
            Scratch("won of one", one, "backward"),
            Scratch("given of one", one, "backward"),
        )

    def _scratch_between(self) -> Iterator[Scratch]:
        for axis in range(len(self.windows) - 1) if self._by_axes else ():
            one = self._between(axis)
            block = CUT * product(one) // product(self.output.shape[1:])
            yield Scratch(f"between{axis}", (block,), "forward", per_image=False)
            yield Scratch(f"between{axis} of one", one, "forward")


def _largest(met: list[Reach | None], axis: int, values: Array, target: Array) -> Run:
    """Bind the largest of each window along one axis. Padding takes no part, so it never wins."""
    pairs = []
    for reach in met:
        if reach is not None:
            pairs.append((values[along(axis, reach.inputs)], target[along(axis, reach.outputs)]))
    if len(pairs) > 1 and all(into.shape == target.shape for _, into in pairs):
        return accumulating(np.maximum, [seen for seen, _ in pairs], target)
    lowest = target.dtype.type(-np.inf)

    def run() -> None:
        target.fill(lowest)
        for seen, into in pairs:
            np.maximum(into, seen, out=into)

    return run


class MeanKernel(PoolKernel[P]):
    """The mean of each window: a sum over its places, divided by the number of them that count."""

    by_channel = True

    def forward(self, at: Site) -> Run:
        """`y_o = r_o sum_k x_(o,k)`, with `r_o` one over the number of elements that count."""
        y = at.y
        add, share = self.summing(at.x[0], y), self.shares(y)

        def run() -> None:
            add()
            np.multiply(y, share, out=y)

        return run

    # dx_i = sum over the windows o that hold i of r_o dy_o.

    def backward(self, at: Site) -> Run:
        """`dx_(o,k) += r_o dy_o`."""
        dx, dy = at.dx[0], at.dy
        if dx is None:
            return nothing
        spread, share = self.spreading(dy, dx), self.shares(dy)

        def run() -> None:
            np.multiply(dy, share, out=dy)
            spread()

        return run

    def shares(self, y: Array) -> Array:
        """One over the number of elements that count, for every output position."""
        count = np.ones((1,) * y.ndim)
        axes = zip(self.windows, self.counted(), self.output.shape[1:], strict=True)
        for axis, (sight, (low, high), outputs) in enumerate(axes, start=1):
            seen = [sight.seen(o) for o in range(outputs)]
            counts = [min(places.stop, high) - max(places.start, low) for places in seen]
            if len(set(counts)) == 1:
                counts = counts[:1]
            count = count * np.reshape(counts, (-1,) + (1,) * (y.ndim - axis - 1))
        return (1 / count).astype(y.dtype)

    def counted(self) -> Margin:
        """The first position that counts along each axis, and the one behind the last."""
        return tuple((0, n) for n in self.inputs[0].shape[1:])


@computes(AvgPool)
class AvgPoolKernel(MeanKernel[AvgPool]):
    """The mean of each window, in which padding counts or not; what `ceil` adds behind it never does."""

    @classmethod
    def commutes(cls, layer: AvgPool, inputs: tuple[Shape, ...]) -> bool:
        """Where every window lies within the map, so that all have the same number of elements."""
        axes = zip(layer.window(*inputs), inputs[0][1:], layer.infer(*inputs)[1:], strict=True)
        return all(w.before == 0 and w.seen(outputs - 1).stop <= n for w, n, outputs in axes)

    @classmethod
    def bare(cls, layer: AvgPool, inputs: tuple[Shape, ...]) -> Bare | None:
        """The sum."""
        if not cls.commutes(layer, inputs):
            return None
        return Bare(SumPoolKernel, scale=1 / product(tuple(w.kernel for w in layer.window(*inputs))))

    def counted(self) -> Margin:
        """The map, with its padding where that counts."""
        if not self.layer.count_padding:
            return super().counted()
        shape = self.inputs[0].shape
        return tuple(
            (-w.before, n + w.after) for n, w in zip(shape[1:], self.layer.window(shape), strict=True)
        )


class SumPoolKernel(AvgPoolKernel):
    """The sum of each window, in the place of a mean whose divisor is in the weights of another layer."""

    why = "its divisor is in the weights behind it"

    def forward(self, at: Site) -> Run:
        """`y_o = sum_k x_(o,k)`."""
        return self.summing(at.x[0], at.y)

    def backward(self, at: Site) -> Run:
        """There is none: scales are taken in by others for inference alone."""
        raise NotImplementedError


@computes(L2Pool)
class L2PoolKernel(PoolKernel[L2Pool]):
    """The square root of the sum of squares of each window."""

    keeps_input = True
    keeps_output = True

    def scratch(self) -> tuple[Scratch, ...]:
        """What one place of the window gives to every output."""
        return Scratch("one", self.output.shape, "forward"), Scratch(
            "one again", self.output.shape, "backward"
        )

    def forward(self, at: Site) -> Run:
        """`y_o = sqrt(sum_k x_(o,k)^2)`."""
        y, one = at.y, at.scratch["one"]
        parts = list(zip(self.parts(at.x[0], y), self.parts(at.x[0], one), strict=True))

        def run() -> None:
            y.fill(0)
            for (x, total), (_, square) in parts:
                np.multiply(x, x, out=square)
                np.add(total, square, out=total)
            np.sqrt(y, out=y)

        return run

    # dx_(o,k) = dy_o x_(o,k) / y_o, and 0 where y_o = 0. There every x is 0, so that any divisor will do that
    # neither is 0 nor makes the quotient infinite; `smallest` lies below every other root of a square.

    def backward(self, at: Site) -> Run:
        """`dx_(o,k) += x_(o,k) dy_o / y_o`."""
        dx, dy, y, one = at.dx[0], at.dy, at.y, at.scratch["one again"]
        if dx is None:
            return nothing
        smallest = y.dtype.type(float(np.finfo(y.dtype).tiny) ** 0.75)
        sources, targets = self.parts(at.x[0], dy), self.parts(dx, one)

        def run() -> None:
            np.maximum(y, smallest, out=y)  # y is not read again
            np.divide(dy, y, out=dy)
            dx.fill(0)
            for (x, given), (to, part) in zip(sources, targets, strict=True):
                np.multiply(x, given, out=part)
                np.add(to, part, out=to)

        return run


@computes(Subsample)
class SubsampleKernel(PoolKernel[Subsample]):
    """The sum of each window times its channel's coefficient, plus its channel's bias."""

    writes_margin = False

    def scratch(self) -> tuple[Scratch, ...]:
        """The sums, from forward to backward, and room for the gradients of the weights."""
        spare = Scratch("spare", self.output.shape[:1], "backward", per_image=False)
        return Scratch("sums", self.output.shape, "both"), spare

    def forward(self, at: Site) -> Run:
        """`s_o = sum_k x_(o,k)`, `y_o = a_c s_o + b_c`."""
        y, sums = at.y, at.scratch["sums"]
        add = self.summing(at.x[0], sums)
        coefficient, bias = (_per_channel(at.weights[name], y) for name in ("coefficient", "bias"))

        def run() -> None:
            add()
            np.multiply(sums, coefficient, out=y)
            np.add(y, bias, out=y)

        return run

    # da_c = sum_o dy_o s_o    db_c = sum_o dy_o    dx_(o,k) += a_c dy_o

    def backward(self, at: Site) -> Run:
        """`da = sum dy s`, `db = sum dy`, `dx_(o,k) += a dy_o`."""
        dx, dy, sums, spare = at.dx[0], at.dy, at.scratch["sums"], at.scratch["spare"]
        coefficient = _per_channel(at.weights["coefficient"], dy)
        channels = len(dy)
        add_bias = add_rows(dy.reshape(channels, -1), at.sums["bias"], spare, at.moment)
        add = add_rows(sums.reshape(channels, -1), at.sums["coefficient"], spare, at.moment)
        spread = nothing if dx is None else self.spreading(dy, dx)

        def run() -> None:
            np.multiply(dy, sums, out=sums)
            add()
            add_bias()
            np.multiply(dy, coefficient, out=dy)
            spread()

        return run


def _per_channel(numbers: Array, like: Array) -> Array:
    """One number for each channel, to be multiplied with `C x H x W x N`."""
    return numbers.reshape(-1, *(1,) * (like.ndim - 1))
