"""PyTorch counterparts of what looks at a map through windows, and of the layers of 1998."""

from __future__ import annotations

import torch
from torch.nn import functional

from cnnspec.layers import Shape
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.dense import Rbf
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.pooling import L2Pool, Subsample
from cnnspec.layers.transposed import ConvTranspose

Weights = dict[str, torch.Tensor]
CONVS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
AVERAGES = {
    1: functional.adaptive_avg_pool1d,
    2: functional.adaptive_avg_pool2d,
    3: functional.adaptive_avg_pool3d,
}
MAXIMA = {
    1: functional.adaptive_max_pool1d,
    2: functional.adaptive_max_pool2d,
    3: functional.adaptive_max_pool3d,
}


def padded(x: torch.Tensor, windows: tuple) -> torch.Tensor:
    return functional.pad(x, [p for w in reversed(windows) for p in (w.before, w.after)])


def depthwise(layer: Depthwise, shape: Shape, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    windows = layer.window(shape)
    return CONVS[len(windows)](
        padded(x, windows),
        weights["weight"],
        weights.get("bias"),
        stride=tuple(w.stride for w in windows),
        dilation=tuple(w.dilation for w in windows),
        groups=shape[0],
    )


def conv_transpose(layer: ConvTranspose, shape: Shape, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    """PyTorch's own where the padding is symmetric; otherwise the whole output, cut."""
    windows = layer.window(shape)
    symmetric = all(w.before == w.after for w in windows)
    whole = TRANSPOSED[len(windows)](
        x,
        weights["weight"],
        weights.get("bias"),
        stride=tuple(w.stride for w in windows),
        padding=tuple(w.before for w in windows) if symmetric else 0,
        output_padding=tuple(w.extra for w in windows),
        groups=layer.groups,
        dilation=tuple(w.dilation for w in windows),
    )
    if symmetric:
        return whole
    return functional.pad(whole, [-p for w in reversed(windows) for p in (w.before, w.after)])


def windowed(layer: L2Pool | Subsample, shape: Shape, x: torch.Tensor) -> torch.Tensor:
    """Every window of the padded map, behind all other axes; what `ceil` adds is zeros."""
    windows = layer.window(shape)
    x = padded(x, windows)
    for axis, (w, outputs) in enumerate(zip(windows, layer.infer(shape)[1:], strict=True), start=2):
        missing = max((outputs - 1) * w.stride + w.kernel - x.shape[axis], 0)
        x = functional.pad(x, [0, 0] * (x.ndim - 1 - axis) + [0, missing])
    for axis, w in enumerate(windows, start=2):
        x = x.unfold(axis, w.kernel, w.stride)
    return x.flatten(2 + len(windows))


def l2pool(layer: L2Pool, shape: Shape, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    return windowed(layer, shape, x).square().sum(-1).sqrt()


def subsample(layer: Subsample, shape: Shape, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    coefficient, bias = (
        weights[name].reshape(-1, *[1] * (len(shape) - 1)) for name in ("coefficient", "bias")
    )
    return windowed(layer, shape, x).sum(-1) * coefficient + bias


def adaptive(layer: AdaptiveAvgPool, shape: Shape, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    return AVERAGES[len(shape) - 1](x, layer.infer(shape)[1:])


def adaptive_max(layer: AdaptiveMaxPool, shape: Shape, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    return MAXIMA[len(shape) - 1](x, layer.infer(shape)[1:])


def rbf(layer: Rbf, shape: Shape, x: torch.Tensor, weights: Weights) -> torch.Tensor:
    return (x.flatten(1)[:, None, :] - weights["centers"]).square().sum(-1)


TWINS = {
    Depthwise: depthwise,
    ConvTranspose: conv_transpose,
    L2Pool: l2pool,
    Subsample: subsample,
    AdaptiveAvgPool: adaptive,
    AdaptiveMaxPool: adaptive_max,
    GlobalAvgPool: adaptive,
    GlobalMaxPool: adaptive_max,
    Rbf: rbf,
}
