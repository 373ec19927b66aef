"""Convolution: kernels that slide over a feature map."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import AxisWindow, Family, Layer, LayerError, Shape, Weight, product
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, Padding, count, extent, flag, padding_size
from cnnspec.layers.windows import derivation, slide, sliding


class Conv(Layer):
    """Convolution: slides `channels` kernels over a map of any number of spatial axes.

    Computes the cross-correlation, as the field calls convolution: input `C x H x W`, weight
    `channels x C/groups x kh x kw`, output `channels x Ho x Wo` (LeCun et al. 1998).
    """

    family: ClassVar[Family] = "convolution"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "conv 6 5x5 padding=2"

    channels: int = option(count, "number of kernels, each giving one output channel", positional=True)
    kernel: Extent = option(extent, "size of the kernel: `5`, `5x5` or `(5, 3)`", positional=True)
    stride: Extent = option(extent, "step of the kernel along each axis", default=1)
    padding: Padding = option(
        padding_size, "zeros around the map: a number, one an axis, both ends, or `same`", default=0
    )
    dilation: Extent = option(extent, "distance between the kernel's elements", default=1)
    groups: int = option(count, "groups of channels that are convolved apart", default=1)
    bias: bool = option(flag, "whether a bias is added to each output channel", default=True)

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(channels, Ho, Wo)`."""
        (shape,) = inputs
        windows = self._windows(shape)
        self._check_groups(shape[0])
        return (self.channels, *slide(shape, windows))

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` of `(channels, C/groups, kh, kw)` and `bias` of `(channels,)`."""
        (shape,) = inputs
        kernel = tuple(window.kernel for window in self._windows(shape))
        area = product(kernel)
        fan_in = shape[0] // self.groups * area
        fan_out = self.channels // self.groups * area
        weight = Weight("weight", (self.channels, shape[0] // self.groups, *kernel), fan_in, fan_out)
        if not self.bias:
            return (weight,)
        return weight, Weight("bias", (self.channels,), fan_in, fan_out, role="bias")

    def window(self, *inputs: Shape) -> tuple[AxisWindow, ...]:
        """The kernel's window on every spatial axis."""
        return self._windows(inputs[0])

    def macs(self, *inputs: Shape) -> int:
        """Output elements times the `C/groups * kh * kw` products of each."""
        weight = self.weights(*inputs)[0]
        return product(self.infer(*inputs)[1:]) * weight.size

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The output size along each axis."""
        return derivation(inputs[0][1:], self._windows(inputs[0]))

    def _windows(self, shape: Shape) -> tuple[AxisWindow, ...]:
        return sliding(
            shape,
            self.keyword,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )

    def _check_groups(self, in_channels: int) -> None:
        for what, channels in (("input", in_channels), ("output", self.channels)):
            if channels % self.groups:
                raise LayerError(
                    "groups-do-not-divide",
                    f"{self.groups} groups do not divide the {channels} {what} channels",
                    option="groups",
                    label=f"{channels} / {self.groups} leaves {channels % self.groups}",
                    help=(f"groups that divide both: {_common_divisors(in_channels, self.channels)}",),
                )


def _common_divisors(a: int, b: int, most: int = 8) -> str:
    small = [str(d) for d in range(1, min(a, b, 4096) + 1) if a % d == 0 and b % d == 0]
    return ", ".join(small[:most]) + (", ..." if len(small) > most else "")
