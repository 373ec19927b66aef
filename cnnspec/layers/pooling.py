"""Pooling: one number for each window, channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import AxisWindow, Family, Layer, LayerError, Shape, Weight, product, show
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, Padding, extent, flag, optional_extent, padding_size
from cnnspec.layers.windows import derivation, slide, sliding

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula
    from cnnspec.layers.terms import How, Terms


class _Pool(Layer):
    """What poolings share: a window that moves by its own size unless told otherwise."""

    family: ClassVar[Family] = "pooling"
    how: ClassVar[How]

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

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """The output size along each axis."""
        from cnnspec.layers.formulas import window_sizes

        return window_sizes(inputs[0][1:], self._windows(inputs[0]), ceil=self.ceil, what="window")

    def terms(self, channel: int, unit: tuple[int, ...], *inputs: Shape) -> Terms:
        """The elements of the window in one channel."""
        from cnnspec.layers.terms import Terms, seen

        return Terms(self.how, (channel,), seen(self._windows(inputs[0]), unit))

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
    how: ClassVar[How] = "maximum"
    example: ClassVar[str] = "maxpool 2x2"

    dilation: Extent = option(extent, "distance between the window's elements", default=1)

    def _windows(self, shape: Shape, dilation: int | tuple[int, ...] = 1) -> tuple[AxisWindow, ...]:
        return super()._windows(shape, self.dilation)


class AvgPool(_Pool):
    """Average pooling: the mean of each window, padding counted as zeros unless told otherwise."""

    keyword: ClassVar[str] = "avgpool"
    how: ClassVar[How] = "mean"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "avgpool 2x2"

    count_padding: bool = option(flag, "whether padding counts in the divisor", default=True)

    def terms(self, channel: int, unit: tuple[int, ...], *inputs: Shape) -> Terms:
        """The elements of the window in one channel, and how many count."""
        from cnnspec.language.record import replace
        from cnnspec.layers.terms import counted

        (shape,) = inputs
        terms = super().terms(channel, unit, shape)
        pads = [(w.before, w.after) if self.count_padding else (0, 0) for w in self._windows(shape)]
        margins = [(-before, n + after) for n, (before, after) in zip(shape[1:], pads, strict=True)]
        return replace(terms, divisor=counted(terms.positions, margins))


class L2Pool(_Pool):
    """L2 pooling: the square root of the sum of squares of each window, `sqrt(sum x^2)`.

    It is the sum, not the mean, as in PyTorch's `LPPool2d` with norm 2; padding adds zeros. Where the whole
    window is 0 the gradient is taken as 0 (Sermanet, Chintala & LeCun 2012, arXiv:1204.3968).
    """

    keyword: ClassVar[str] = "l2pool"
    how: ClassVar[How] = "root of squares"
    example: ClassVar[str] = "l2pool 2x2"


class Subsample(_Pool):
    """Subsampling with trained weights: the sum of each window times a coefficient, plus a bias.

    Each channel has one coefficient and one bias, two parameters (LeCun et al. 1998, layers S2 and S4 of
    LeNet-5; what the paper passes through a squashing function is this output). The coefficients begin with
    one over the window's size and the biases with 0, as average pooling.
    """

    linear: ClassVar[bool] = True
    how: ClassVar[How] = "sum"
    example: ClassVar[str] = "subsample 2x2"

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`coefficient` of `(C,)` and `bias` of `(C,)`."""
        area = product(tuple(window.kernel for window in self.window(*inputs)))
        channels = inputs[0][:1]
        return (
            Weight("coefficient", channels, area, 1, initial=1 / area),
            Weight("bias", channels, area, 1, role="bias", initial=0.0),
        )

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """The output size along each axis, and the parameters."""
        from cnnspec.layers.formulas import Formula, Symbol

        channels = Symbol("c", inputs[0][0], "channels, each with a coefficient and a bias")
        parameters = Formula("params", "two for each channel", "W", "2 * c", (channels,))
        return (*super().formulas(*inputs), parameters)

    def terms(self, channel: int, unit: tuple[int, ...], *inputs: Shape) -> Terms:
        """The sum of the window times the channel's coefficient, and its bias."""
        from cnnspec.language.record import replace

        return replace(super().terms(channel, unit, *inputs), scaled=channel, biased=channel)


def _only_padding(window: AxisWindow) -> LayerError:
    padding = max(window.before, window.after)
    return LayerError(
        "padding-too-large",
        f"padding {padding} leaves a pooling window of {show((window.reach,))} with nothing but padding",
        option="padding",
        label=f"{padding} >= {window.reach}",
        help=(f"use a padding up to {window.reach - 1}",),
    )
