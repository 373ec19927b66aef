"""The arithmetic of sliding windows, shared by convolution and pooling.

Along one axis of length `n` a window of `kernel` positions, `dilation` apart, moves by `stride`:

    output = floor((n + before + after - dilation * (kernel - 1) - 1) / stride) + 1

(Dumoulin & Visin 2016, arXiv:1603.07285, relationship 15.)
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

from cnnspec.language.record import record
from cnnspec.layers.base import AxisSight, AxisWindow, LayerError, Shape, show

_AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def axis_names(count: int) -> tuple[str, ...]:
    """The names of `count` spatial axes: height and width for an image."""
    return _AXES.get(count) or tuple(f"axis {number}" for number in range(1, count + 1))


def spatial(shape: Shape, keyword: str) -> Shape:
    """The spatial axes of a feature map `C x ...`.

    Raises:
        LayerError: the shape is a vector, which has none.
    """
    if len(shape) > 1:
        return shape[1:]
    raise LayerError(
        "needs-feature-map",
        f"`{keyword}` needs a feature map, and its input is a vector of {shape[0]}",
        help=(f"put `{keyword}` before the layer that flattens: a feature map is written `CxHxW`",),
    )


def per_axis(value: int | tuple[int, ...], axes: int, name: str, shape: Shape) -> tuple[int, ...]:
    """One number for every spatial axis.

    Raises:
        LayerError: as many numbers were given as the map has no axes.
    """
    if isinstance(value, int):
        return (value,) * axes
    if len(value) == axes:
        return value
    if len(value) == 1:
        return value * axes
    raise wrong_axes(name, value, axes, shape)


def wrong_axes(name: str, value: tuple[int, ...], axes: int, shape: Shape) -> LayerError:
    """The error for an option that speaks of another number of axes than the map has."""
    what = show(value) if all(value) else str(value)
    plural = "axis" if axes == 1 else "axes"
    help = [f"write one number for all axes, or {axes} of them" if axes > 1 else "write one number"]
    if len(value) == len(shape) == 2 and shape[1] <= 4 * shape[0]:  # more like an image than a signal
        help.append(f"if {show(shape)} is without its channels, they come first: `{show((1, *shape))}`")
    return LayerError(
        "wrong-axes",
        f"`{name}` {what} has {len(value)} numbers, and the {show(shape)} map has {axes} spatial {plural}",
        option=name,
        label=f"{axes} {plural}: {', '.join(axis_names(axes))}",
        help=tuple(help),
    )


def pads(
    padding: int | tuple[int, ...], axes: int, shape: Shape, name: str = "padding"
) -> tuple[tuple[int, int], ...]:
    """Positions before and after each axis, from a number, one number an axis, or a pair an axis.

    `name` is the option's.
    """
    if isinstance(padding, tuple) and len(padding) == 2 * axes:
        return tuple(zip(padding[::2], padding[1::2], strict=True))
    return tuple((amount, amount) for amount in per_axis(padding, axes, name, shape))


def same_pads(n: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding that gives `ceil(n / stride)` outputs, the odd position after (ONNX SAME_UPPER)."""
    outputs = -(-n // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - n, 0)
    return total // 2, total - total // 2


@lru_cache(maxsize=256)  # a layer asks several times, and many layers are alike
def sliding(
    shape: Shape,
    keyword: str,
    *,
    kernel: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: int | tuple[int, ...] | Literal["same"],
    dilation: int | tuple[int, ...],
) -> tuple[AxisWindow, ...]:
    """The window on every spatial axis of a map of this shape.

    Raises:
        LayerError: the input is no map, or an option has the wrong number of axes.
    """
    sizes = spatial(shape, keyword)
    axes = len(sizes)
    kernels = per_axis(kernel, axes, "kernel", shape)
    strides = per_axis(stride, axes, "stride", shape)
    dilations = per_axis(dilation, axes, "dilation", shape)
    if padding == "same":
        around = tuple(map(same_pads, sizes, kernels, strides, dilations))
    else:
        around = pads(padding, axes, shape)
    return tuple(
        AxisWindow(k, s, d, before, after)
        for k, s, d, (before, after) in zip(kernels, strides, dilations, around, strict=True)
    )


def output_size(n: int, window: AxisWindow, ceil: bool = False) -> int:
    """The number of window positions along an axis of length `n`; not positive where none fits.

    With `ceil`, a last window may begin inside the input or its padding before, and reach over the edge,
    as PyTorch's `ceil_mode`.
    """
    free = n + window.before + window.after - window.reach
    if not ceil:
        return free // window.stride + 1
    outputs = -(-free // window.stride) + 1
    return outputs - 1 if (outputs - 1) * window.stride >= n + window.before else outputs


def dropped(window: AxisWindow, n: int, outputs: int) -> int:
    """Input positions behind everything that the last window and its stride cover; at least 0.

    The gaps that a stride above the window leaves between all windows are meant, and the gap behind the last
    one is like them.
    """
    last = (outputs - 1) * window.stride - window.before
    return max(n - last - max(window.reach, window.stride), 0)


def formula(n: int, window: AxisWindow, ceil: bool = False) -> str:
    """The output size with its numbers: `(28 + 4 - 5) / 1 + 1 = 28`."""
    padding = window.before + window.after
    reach = str(window.kernel)
    if window.dilation > 1:
        reach = f"{window.dilation}*({window.kernel} - 1) - 1"
    free = n + padding - window.reach
    quotient = f"({n} + {padding} - {reach}) / {window.stride}"
    if free % window.stride:
        quotient = f"{'ceil' if ceil else 'floor'}({quotient})"
    return f"{quotient} + 1 = {output_size(n, window, ceil)}"


def derivation(sizes: Shape, windows: tuple[AxisWindow, ...], ceil: bool = False) -> tuple[str, ...]:
    """The formula of each axis with its numbers; one line where all axes are alike."""
    lines = [formula(n, window, ceil) for n, window in zip(sizes, windows, strict=True)]
    if len(set(lines)) == 1:
        return (lines[0],)
    return tuple(f"{name}: {line}" for name, line in zip(axis_names(len(sizes)), lines, strict=True))


def slide(shape: Shape, windows: tuple[AxisWindow, ...], ceil: bool = False) -> Shape:
    """The spatial sizes of the output.

    Raises:
        LayerError: a window is larger than the padded map.
    """
    sizes = shape[1:]
    outputs = tuple(output_size(n, window, ceil) for n, window in zip(sizes, windows, strict=True))
    if all(size > 0 for size in outputs):
        return outputs
    raise _too_large(sizes, windows, outputs)


def _too_large(sizes: Shape, windows: tuple[AxisWindow, ...], outputs: Shape) -> LayerError:
    bad = next(axis for axis, size in enumerate(outputs) if size <= 0)
    kernel = tuple(window.kernel for window in windows)
    dilated = any(window.dilation > 1 for window in windows)
    reach = tuple(window.reach for window in windows)
    label = formula(sizes[bad], windows[bad])
    if len(sizes) > 1 and len(set(zip(sizes, windows, strict=True))) > 1:
        label = f"{axis_names(len(sizes))[bad]}: {label}"
    what = f"kernel {show(kernel)}"
    if dilated:
        what += f", dilated to {show(reach)},"
    return LayerError(
        "kernel-too-large",
        f"{what} does not fit the {_map(sizes)}",
        option="kernel",
        label=label,
        help=(_fitting(sizes, windows, kernel),),
    )


def _map(sizes: Shape) -> str:
    return f"{show(sizes)} map" if len(sizes) > 1 else f"map of length {sizes[0]}"


def _fitting(sizes: Shape, windows: tuple[AxisWindow, ...], kernel: Shape) -> str:
    """A kernel that fits, and the smallest symmetric padding that makes this one fit."""
    largest = tuple(
        max((n + w.before + w.after - 1) // w.dilation + 1, 1) for n, w in zip(sizes, windows, strict=True)
    )
    padding = max(-(-max(w.reach - n, 0) // 2) for n, w in zip(sizes, windows, strict=True))
    return f"a kernel up to {show(largest)} fits, or `padding={padding}` with {show(kernel)}"


# --- windows that vary with the position ----------------------------------------------------------------


@record
class TransposedWindow(AxisSight):
    """What an output of a transposed convolution sees along one axis.

    Input `i` and place `k` of the kernel meet output `i * stride + k * dilation - before`; of the positions
    that all inputs reach, `before` and `after` are cut off and `extra` added behind.
    """

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    extra: int

    @property
    def reach(self) -> int:
        """Output positions from the first to the last that one input reaches."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def period(self) -> int:
        """Outputs meet the same places of the kernel again after `stride` of them."""
        return self.stride

    @property
    def advance(self) -> int:
        """One input for each period."""
        return 1

    def seen(self, output: int) -> range:
        """The inputs `(output + before - k * dilation) / stride` that are whole numbers."""
        place, common = output + self.before, math.gcd(self.stride, self.dilation)
        step, spacing = self.stride // common, self.dilation // common
        if place % common:
            return range(0)
        first = place // common * pow(spacing, -1, step) % step  # the least k of them, each `step` after
        if first >= self.kernel:
            return range(0)
        last = first + (self.kernel - 1 - first) // step * step
        start, stop = ((place - k * self.dilation) // self.stride for k in (last, first))
        return range(start, stop + 1, spacing)


@record
class AxisBins(AxisSight):
    """An axis of `n` positions cut into `outputs` bins, which overlap where it does not divide evenly."""

    n: int
    outputs: int

    @property
    def period(self) -> int:
        """Bins that stand over whole positions again."""
        return self.outputs // math.gcd(self.n, self.outputs)

    @property
    def advance(self) -> int:
        """Positions in a period."""
        return self.n // math.gcd(self.n, self.outputs)

    def seen(self, output: int) -> range:
        """From `floor(output * n / outputs)` to before `ceil((output + 1) * n / outputs)`."""
        return range(output * self.n // self.outputs, -(-(output + 1) * self.n // self.outputs))
