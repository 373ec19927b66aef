"""Convolutions: windows over a map."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnspec.bridges.numpy_source.lessons.layer import Array, Layer, at_channels, normal, sum_per_channel


def places(
    kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], outputs: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """For each element of a kernel its place, and the positions of the padded map that it meets.

    The element at `k` meets position `k * dilation + o * stride` for each output `o`.
    """
    for place in np.ndindex(*kernel):
        starts = [k * d for k, d in zip(place, dilation, strict=True)]
        ranges = zip(starts, stride, outputs, strict=True)
        yield place, (..., *(slice(a, a + s * (n - 1) + 1, s) for a, s, n in ranges))


def count_windows(
    room: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:
    """How many windows fit along each axis of a padded map: (n - d (k - 1) - 1) / s + 1."""
    axes = zip(room, kernel, stride, dilation, strict=True)
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)


def padded(x: Array, ends: tuple[tuple[int, int], ...], value: float = 0.0) -> Array:
    """A map with positions added before and behind each axis."""
    return np.pad(x, [(0, 0), (0, 0), *ends], constant_values=value)


def inside(ends: tuple[tuple[int, int], ...], sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """Where in a padded map the map itself lies."""
    return (..., *(slice(before, before + n) for (before, _), n in zip(ends, sizes, strict=True)))


class Conv(Layer):
    """Convolution: at each place of the kernel, a matrix product of the channels with what lies there."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        padding: tuple[tuple[int, int], ...] = (),
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        ones = (1,) * len(kernel)
        self.kernel, self.stride, self.dilation = kernel, stride or ones, dilation or ones
        self.padding, self.groups = padding or ((0, 0),) * len(kernel), groups
        depth = in_channels // groups
        self.weights["weight"] = normal((channels, depth, *kernel), depth * math.prod(kernel))
        if bias:
            self.weights["bias"] = np.zeros(channels)

    def kernels(self) -> Array:
        """The weight, (channels, C / groups, kh, kw)."""
        return self.weights["weight"]

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x channels x Ho x Wo."""
        (x,) = inputs
        g, weight = self.groups, self.kernels()
        w = weight.reshape(g, -1, *weight.shape[1:])  # (g, O/g, C/g, kh, kw)
        xp = padded(x, self.padding)
        outputs = count_windows(xp.shape[2:], self.kernel, self.stride, self.dilation)
        xg = xp.reshape(len(x), g, -1, *xp.shape[2:])  # (N, g, C/g, H, W)
        y = np.zeros((len(x), g, w.shape[1], *outputs), x.dtype)
        for place, where in places(self.kernel, self.stride, self.dilation, outputs):
            y += np.einsum("ngi...,goi->ngo...", xg[where], w[(..., *place)])
        self.kept = x.shape, xg, w, outputs
        y = y.reshape(len(x), -1, *outputs)
        return y + at_channels(self.weights["bias"], y) if "bias" in self.weights else y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each place of the kernel sends the gradient back where it took its input from."""
        shape, xg, w, outputs = self.kept
        dyg = dy.reshape(*xg.shape[:2], -1, *outputs)
        dw, dx = np.zeros(w.shape, dy.dtype), np.zeros(xg.shape, dy.dtype)
        flat = dyg.reshape(*dyg.shape[:3], -1)
        for place, where in places(self.kernel, self.stride, self.dilation, outputs):
            seen = xg[where].reshape(*xg.shape[:3], -1)
            dw[(..., *place)] = np.einsum("ngop,ngip->goi", flat, seen)
            dx[where] += np.einsum("ngo...,goi->ngi...", dyg, w[(..., *place)])
        self.take_gradient(dw.reshape(-1, *dw.shape[2:]))
        if "bias" in self.weights:
            self.gradients["bias"] = sum_per_channel(dy)
        dx = dx.reshape(shape[0], shape[1], *xg.shape[3:])
        return (dx[inside(self.padding, shape[2:])],)

    def take_gradient(self, dw: Array) -> None:
        """Keep the gradient of the kernels."""
        self.gradients["weight"] = dw


class TableConv(Conv):
    """A convolution each of whose outputs sees the input channels of its list only."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        connections: tuple[tuple[int, ...], ...],
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        padding: tuple[tuple[int, int], ...] = (),
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, channels, kernel, stride, dilation, padding, 1, bias)
        pairs = [(output, seen) for output, inputs in enumerate(connections) for seen in inputs]
        self.pairs = tuple(np.array(numbers) for numbers in zip(*pairs, strict=True))
        self.shape = self.weights["weight"].shape
        self.weights["weight"] = self.weights["weight"][self.pairs]

    def kernels(self) -> Array:
        """The kernels of the table among zeros."""
        full = np.zeros(self.shape, self.weights["weight"].dtype)
        full[self.pairs] = self.weights["weight"]
        return full

    def take_gradient(self, dw: Array) -> None:
        """Keep the gradient of the kernels that there are."""
        self.gradients["weight"] = dw[self.pairs]


class ConvTranspose(Layer):
    """Transposed convolution: each input adds its multiple of the kernel to the output."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, ...],
        stride: tuple[int, ...] = (),
        dilation: tuple[int, ...] = (),
        cut: tuple[tuple[int, int], ...] = (),
        extra: tuple[int, ...] = (),
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        ones, axes = (1,) * len(kernel), len(kernel)
        self.kernel, self.stride, self.dilation = kernel, stride or ones, dilation or ones
        self.cut, self.extra, self.groups = cut or ((0, 0),) * axes, extra or (0,) * axes, groups
        depth = channels // groups
        self.weights["weight"] = normal((in_channels, depth, *kernel), in_channels // groups)
        if bias:
            self.weights["bias"] = np.zeros(channels)

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x channels x Ho x Wo."""
        (x,) = inputs
        g, sizes = self.groups, x.shape[2:]
        w = self.weights["weight"].reshape(g, -1, *self.weights["weight"].shape[1:])  # (g, C/g, O/g, kh, kw)
        whole = tuple(
            (n - 1) * s + d * (k - 1) + 1 + e
            for n, s, d, k, e in zip(sizes, self.stride, self.dilation, self.kernel, self.extra, strict=True)
        )
        xg = x.reshape(len(x), g, -1, *sizes)
        y = np.zeros((len(x), g, w.shape[2], *whole), x.dtype)
        for place, where in places(self.kernel, self.stride, self.dilation, sizes):
            y[where] += np.einsum("ngi...,gio->ngo...", xg, w[(..., *place)])
        kept = tuple(n - before - after for n, (before, after) in zip(whole, self.cut, strict=True))
        self.kept = xg, w, y.shape, kept
        y = y.reshape(len(x), -1, *whole)[inside(self.cut, kept)]
        return y + at_channels(self.weights["bias"], y) if "bias" in self.weights else y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """What was cut off has no gradient; each place of the kernel gathers its own."""
        xg, w, shape, kept = self.kept
        whole = np.zeros(shape, dy.dtype)
        whole[inside(self.cut, kept)] = dy.reshape(*shape[:3], *kept)
        dw, dx = np.zeros(w.shape, dy.dtype), np.zeros(xg.shape, dy.dtype)
        flat = xg.reshape(*xg.shape[:3], -1)
        for place, where in places(self.kernel, self.stride, self.dilation, xg.shape[3:]):
            met = whole[where]
            dw[(..., *place)] = np.einsum("ngip,ngop->gio", flat, met.reshape(*met.shape[:3], -1))
            dx += np.einsum("ngo...,gio->ngi...", met, w[(..., *place)])
        self.gradients["weight"] = dw.reshape(self.weights["weight"].shape)
        if "bias" in self.weights:
            self.gradients["bias"] = sum_per_channel(dy)
        return (dx.reshape(len(dx), -1, *dx.shape[3:]),)
