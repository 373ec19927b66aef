"""Depthwise convolution: every channel is convolved by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import AxisWindow, Family, Layer, Shape, Weight
from cnnspec.layers.convolution import Conv
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, Padding, count, extent, flag, padding_size
from cnnspec.layers.windows import spatial

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula
    from cnnspec.layers.terms import Terms


class Depthwise(Layer):
    """Depthwise convolution: convolves each channel apart, with `multiplier` kernels of its own.

    Input `C x H x W`, weight `C*multiplier x 1 x kh x kw`, output `C*multiplier x Ho x Wo`; the kernels of
    channel `c` give the outputs from `c*multiplier` on. It is `conv` with as many groups as channels (Howard
    et al. 2017, arXiv:1704.04861).
    """

    family: ClassVar[Family] = "convolution"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "depthwise 3x3 padding=1"

    kernel: Extent = option(extent, "size of the kernels: `3`, `3x3` or `(5, 3)`", positional=True)
    stride: Extent = option(extent, "step of the kernels along each axis", default=1)
    padding: Padding = option(padding_size, "zeros around the map, written as for `conv`", default=0)
    dilation: Extent = option(extent, "distance between a kernel's elements", default=1)
    bias: bool = option(flag, "whether a bias is added to each output channel", default=True)
    multiplier: int = option(count, "number of kernels for each channel", default=1)

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(C*multiplier, Ho, Wo)`."""
        return self.conv(inputs[0]).infer(*inputs)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` of `(C*multiplier, 1, kh, kw)` and `bias` of `(C*multiplier,)`."""
        return self.conv(inputs[0]).weights(*inputs)

    def window(self, *inputs: Shape) -> tuple[AxisWindow, ...]:
        """The kernel's window on every spatial axis."""
        return self.conv(inputs[0]).window(*inputs)

    def macs(self, *inputs: Shape) -> int:
        """Output elements times the `kh * kw` products of each."""
        return self.conv(inputs[0]).macs(*inputs)

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The output size along each axis."""
        return self.conv(inputs[0]).arithmetic(*inputs)

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """Size, parameters and MACs, as of a convolution with as many groups as channels."""
        return self.conv(inputs[0]).formulas(*inputs)

    def terms(self, channel: int, unit: tuple[int, ...], *inputs: Shape) -> Terms:
        """The window in one channel times the kernel, and its bias."""
        return self.conv(inputs[0]).terms(channel, unit, *inputs)

    def conv(self, shape: Shape) -> Conv:
        """The same layer as a `conv` with groups.

        Raises:
            LayerError: the input is no map.
        """
        spatial(shape, self.keyword)
        return Conv(
            channels=shape[0] * self.multiplier,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=shape[0],
            bias=self.bias,
        )
