"""Pooling: one number for each window, channel by channel."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import AxisWindow, Family, Layer, LayerError, Shape, Weight, product, show
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, Padding, extent, flag, optional_extent, padding_size
from cnnspec.layers.windows import derivation, slide, sliding


class _Pool(Layer):
    """What poolings share: a window that moves by its own size unless told otherwise."""

    family: ClassVar[Family] = "pooling"

    kernel: Extent = option(extent, "size of the window: `2`, `2x2` or `(2, 1)`", positional=True)
    stride: Extent | None = option(
        optional_extent, "step of the window; its own size unless given", default=None
    )
    padding: Padding = option(padding_size, "padding around the map, written as for `conv`", default=0)
    ceil: bool = option(flag, "whether a last window may reach over the edge", default=False)

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(C, Ho, Wo)`."""
        (shape,) = inputs
        windows = self._windows(shape)
        outputs = slide(shape, windows, self.ceil)
        for window in windows:
            if max(window.before, window.after) >= window.reach:
                raise _only_padding(window)
        return (shape[0], *outputs)

    def window(self, *inputs: Shape) -> tuple[AxisWindow, ...]:
        """The pooling window on every spatial axis."""
        return self._windows(inputs[0])

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The output size along each axis."""
        return derivation(inputs[0][1:], self._windows(inputs[0]), self.ceil)

    def _windows(self, shape: Shape, dilation: int | tuple[int, ...] = 1) -> tuple[AxisWindow, ...]:
        return sliding(
            shape,
            self.keyword,
            kernel=self.kernel,
            stride=self.kernel if self.stride is None else self.stride,
            padding=self.padding,
            dilation=dilation,
        )


class MaxPool(_Pool):
    """Maximum pooling: the largest element of each window. Padding never wins."""

    keyword: ClassVar[str] = "maxpool"
    example: ClassVar[str] = "maxpool 2x2"

    dilation: Extent = option(extent, "distance between the window's elements", default=1)

    def _windows(self, shape: Shape, dilation: int | tuple[int, ...] = 1) -> tuple[AxisWindow, ...]:
        return super()._windows(shape, self.dilation)


class AvgPool(_Pool):
    """Average pooling: the mean of each window, padding counted as zeros unless told otherwise."""

    keyword: ClassVar[str] = "avgpool"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "avgpool 2x2"

    count_padding: bool = option(flag, "whether padding counts in the divisor", default=True)


class L2Pool(_Pool):
    """L2 pooling: the square root of the sum of squares of each window, `sqrt(sum x^2)`.

    It is the sum, not the mean, as in PyTorch's `LPPool2d` with norm 2; padding adds zeros. Where the whole
    window is 0 the gradient is taken as 0 (Sermanet, Chintala & LeCun 2012, arXiv:1204.3968).
    """

    keyword: ClassVar[str] = "l2pool"
    example: ClassVar[str] = "l2pool 2x2"


class Subsample(_Pool):
    """Subsampling with trained weights: the sum of each window times a coefficient, plus a bias.

    Each channel has one coefficient and one bias, two parameters (LeCun et al. 1998, layers S2 and S4 of
    LeNet-5; what the paper passes through a squashing function is this output). The coefficients begin with
    one over the window's size and the biases with 0, as average pooling.
    """

    linear: ClassVar[bool] = True
    example: ClassVar[str] = "subsample 2x2"

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`coefficient` of `(C,)` and `bias` of `(C,)`."""
        area = product(tuple(window.kernel for window in self.window(*inputs)))
        channels = inputs[0][:1]
        return (
            Weight("coefficient", channels, area, 1, initial=1 / area),
            Weight("bias", channels, area, 1, role="bias", initial=0.0),
        )


def _only_padding(window: AxisWindow) -> LayerError:
    padding = max(window.before, window.after)
    return LayerError(
        "padding-too-large",
        f"padding {padding} leaves a pooling window of {show((window.reach,))} with nothing but padding",
        option="padding",
        label=f"{padding} >= {window.reach}",
        help=(f"use a padding up to {window.reach - 1}",),
    )
