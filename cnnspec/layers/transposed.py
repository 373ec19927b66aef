"""Transposed convolution: a learned way to make maps larger."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import Family, Layer, LayerError, Shape, Weight, product, show
from cnnspec.layers.convolution import check_groups
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, Padding, count, extent, flag, natural_extent, padding_size
from cnnspec.layers.windows import TransposedWindow, axis_names, pads, per_axis, spatial

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula


class ConvTranspose(Layer):
    """Transposed convolution: every input element adds its multiple of the kernel to the output.

    It is to its output what `conv` is to its input: with the same options it undoes the change of shape, and
    it computes what the backward pass of that convolution does (Dumoulin & Visin 2016, arXiv:1603.07285,
    chapter 4). Input `C x H x W`, weight `C x channels/groups x kh x kw`, output `channels x Ho x Wo` with
    `Ho = (H - 1) * stride - before - after + dilation * (kh - 1) + output_padding + 1`. The padding cuts the
    output; `padding=same` gives `Ho = H * stride`.
    """

    family: ClassVar[Family] = "convolution"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "conv_transpose 64 2x2 stride=2"

    channels: int = option(count, "number of output channels", positional=True)
    kernel: Extent = option(extent, "size of the kernel: `2`, `2x2` or `(4, 2)`", positional=True)
    stride: Extent = option(extent, "output positions from one input to the next", default=1)
    padding: Padding = option(
        padding_size, "positions cut off around the output, written as for `conv`, or `same`", default=0
    )
    output_padding: Extent = option(natural_extent, "positions added behind each axis", default=0)
    dilation: Extent = option(extent, "distance between the kernel's elements", default=1)
    groups: int = option(count, "groups of channels that are convolved apart", default=1)
    bias: bool = option(flag, "whether a bias is added to each output channel", default=True)

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(channels, Ho, Wo)`."""
        (shape,) = inputs
        windows = self.window(shape)
        check_groups(self.groups, shape[0], self.channels)
        for axis, window in enumerate(windows):
            if window.extra >= max(window.stride, window.dilation):
                raise _too_much_output_padding(window)
            if _output_size(shape[1:][axis], window) < 1:
                raise self._nothing_left(shape[1:], windows, axis)
        return (self.channels, *map(_output_size, shape[1:], windows))

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` of `(C, channels/groups, kh, kw)` and `bias` of `(channels,)`."""
        (shape,) = inputs
        kernel = tuple(window.kernel for window in self.window(shape))
        depth, area = self.channels // self.groups, product(kernel)
        fan_in, fan_out = shape[0] // self.groups * area, depth * area
        weight = Weight("weight", (shape[0], depth, *kernel), fan_in, fan_out)
        if not self.bias:
            return (weight,)
        return weight, Weight("bias", (self.channels,), fan_in, fan_out, role="bias")

    def window(self, *inputs: Shape) -> tuple[TransposedWindow, ...]:
        """The inputs that reach an output, which depend on its position."""
        (shape,) = inputs
        axes = len(spatial(shape, self.keyword))
        kernels = per_axis(self.kernel, axes, "kernel", shape)
        strides = per_axis(self.stride, axes, "stride", shape)
        dilations = per_axis(self.dilation, axes, "dilation", shape)
        extras = per_axis(self.output_padding, axes, "output_padding", shape)
        if self.padding == "same":
            return tuple(map(_same, kernels, strides, dilations, extras))
        around = pads(self.padding, axes, shape)
        return tuple(
            TransposedWindow(k, s, d, before, after, extra)
            for k, s, d, (before, after), extra in zip(
                kernels, strides, dilations, around, extras, strict=True
            )
        )

    def macs(self, *inputs: Shape) -> int:
        """Input elements times the `channels/groups * kh * kw` products of each."""
        return product(inputs[0][1:]) * self.weights(*inputs)[0].size

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The output size along each axis."""
        sizes = inputs[0][1:]
        lines = tuple(map(_formula, sizes, self.window(*inputs)))
        if len(set(lines)) == 1:
            return lines[:1]
        return tuple(f"{name}: {line}" for name, line in zip(axis_names(len(sizes)), lines, strict=True))

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """Size, parameters and MACs."""
        from cnnspec.layers.formulas import alike, every_axis, suffixes

        (shape,) = inputs
        pairs = list(zip(shape[1:], self.window(shape), strict=True))
        rows = [(every_axis(len(pairs)), "", pairs[0])]
        if not alike(pairs):
            rows = list(zip(axis_names(len(pairs)), suffixes(len(pairs)), pairs, strict=True))
        return (*(_size_formula(axis, suffix, *pair) for axis, suffix, pair in rows), *self._costs(shape))

    def _costs(self, shape: Shape) -> tuple[Formula, ...]:
        from cnnspec.layers.formulas import Formula, Symbol, kernel_symbols, map_symbols, times

        weights = self.weights(shape)
        area = kernel_symbols(weights[0].shape[2:])
        c_i = Symbol("c_i", shape[0], "channels of the input")
        c_o = Symbol("c_o", self.channels, "channels of the output")
        g = (Symbol("g", self.groups, "groups of channels"),) if self.groups > 1 else ()
        kernels = f"c_i * c_o{' / g' if g else ''} * {times(*area)}"
        grid = map_symbols("n", shape[1:], "input")
        symbols = (c_i, c_o, *g, *area)
        bias = " + c_o" if self.bias else ""
        what = "a kernel for each pair of channels" + (", a bias for each output" if self.bias else "")
        every = "each kernel element at each position of the input"
        return (
            Formula("params", what, "W", kernels + bias, symbols),
            Formula("macs", every, "M", f"{times(*grid)} * {kernels}", (*grid, *symbols)),
        )

    def _nothing_left(self, sizes: Shape, windows: tuple[TransposedWindow, ...], axis: int) -> LayerError:
        window, label = windows[axis], _formula(sizes[axis], windows[axis])
        if len(set(zip(sizes, windows, strict=True))) > 1:
            label = f"{axis_names(len(sizes))[axis]}: {label}"
        whole = _output_size(sizes[axis], window) + window.before + window.after
        return LayerError(
            "padding-too-large",
            f"padding {show((max(window.before, window.after),))} cuts everything off the output",
            option="padding",
            label=label,
            help=(f"use a padding up to {(whole - 1) // 2}" if whole > 2 else "leave it out",),
        )


def _same(kernel: int, stride: int, dilation: int, extra: int) -> TransposedWindow:
    """What gives `n * stride` outputs: too many are cut off, the odd one behind; too few are added to."""
    excess = dilation * (kernel - 1) + 1 + extra - stride
    if excess < 0:
        return TransposedWindow(kernel, stride, dilation, 0, 0, extra - excess)
    return TransposedWindow(kernel, stride, dilation, excess // 2, excess - excess // 2, extra)


def _output_size(n: int, window: TransposedWindow) -> int:
    cut = window.before + window.after
    return (n - 1) * window.stride - cut + window.reach + window.extra


def _formula(n: int, w: TransposedWindow) -> str:
    """The output size with its numbers: `(14 - 1)*2 - 0 + 1*(2 - 1) + 0 + 1 = 28`."""
    terms = f"({n} - 1)*{w.stride} - {w.before + w.after} + {w.dilation}*({w.kernel} - 1) + {w.extra} + 1"
    return f"{terms} = {_output_size(n, w)}"


def _size_formula(axis: str, suffix: str, n: int, w: TransposedWindow) -> Formula:
    import re

    from cnnspec.layers.formulas import Formula, Symbol

    right = "(n - 1) * s - p + d * (k - 1) + e + 1"
    letters = {
        "n": (n, f"{axis} of the input"),
        "s": (w.stride, "stride"),
        "p": (w.before + w.after, f"cut off, {w.before} before and {w.after} behind"),
        "d": (w.dilation, "distance between the kernel's elements"),
        "k": (w.kernel, "size of the kernel"),
        "e": (w.extra, "added behind"),
    }
    for letter in letters:
        right = re.sub(rf"\b{letter}\b", letter + suffix, right)
    symbols = tuple(Symbol(letter + suffix, *said) for letter, said in letters.items())
    return Formula("output", axis, f"m{suffix}", right, symbols)


def _too_much_output_padding(window: TransposedWindow) -> LayerError:
    most = max(window.stride, window.dilation)
    return LayerError(
        "output-padding-too-large",
        f"`output_padding` {window.extra} is not below the stride or the dilation",
        option="output_padding",
        label=f"{window.extra} >= {most}",
        notes=("it tells apart the maps that a `conv` with the same options makes equally large",),
        help=(f"use an `output_padding` up to {most - 1}" if most > 1 else "leave it out",),
    )
