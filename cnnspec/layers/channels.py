"""Layers that choose and order channels."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, LayerError, Shape, divisors_of, show
from cnnspec.layers.declaration import option
from cnnspec.layers.options import count, natural


class Take(Layer):
    """Takes a range of the channels: `take 0 32` gives channels 0 to 31. Two of them split a value in two."""

    family: ClassVar[Family] = "shape"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "take 0 32"

    start: int = option(natural, "first channel, counted from 0", positional=True)
    stop: int = option(count, "channel before which it stops", positional=True)

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(stop - start, H, W)`."""
        channels = inputs[0][0]
        if self.stop > channels:
            raise LayerError(
                "channels-out-of-range",
                f"`take` stops before channel {self.stop}, and the {show(inputs[0])} has {channels}",
                option="stop",
                label=f"{self.stop} > {channels}",
                help=(f"they are channels 0 to {channels - 1}, and `take 0 {channels}` takes them all",),
            )
        if self.start >= self.stop:
            raise LayerError(
                "channels-out-of-range",
                f"`take {self.start} {self.stop}` takes no channel",
                option="stop",
                label=f"{self.stop} <= {self.start}",
                help=("the second number is where it stops: `take 0 32` takes channels 0 to 31",),
            )
        return (self.stop - self.start, *inputs[0][1:])

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The number of channels."""
        return (f"{self.stop} - {self.start} = {self.stop - self.start} channels",)


class Shuffle(Layer):
    """Channel shuffle: mixes groups of channels, so that the first of every group come first.

    With `C = groups * k`, channel `g * k + i` becomes channel `i * groups + g`
    (Zhang et al. 2018, ShuffleNet, arXiv:1707.01083).
    """

    family: ClassVar[Family] = "shape"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "shuffle 4"

    groups: int = option(count, "groups of neighbouring channels that are mixed", positional=True)

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        channels = inputs[0][0]
        if channels % self.groups:
            raise LayerError(
                "groups-do-not-divide",
                f"{self.groups} groups do not divide the {channels} channels",
                option="groups",
                label=f"{channels} / {self.groups} leaves {channels % self.groups}",
                help=(f"groups that divide them: {divisors_of(channels)}",),
            )
        return inputs[0]
