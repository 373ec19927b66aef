"""Normalizations, dropout and scales."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from cnnspec.bridges.torch.table import MODULES, by_axes, declare
from cnnspec.layers import Shape
from cnnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.scaling import Scale


@MODULES.says(BatchNorm)
def _batch_norm(layer: BatchNorm, shape: Shape) -> nn.Module:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    kind = by_axes(shape, *kinds) if len(shape) > 1 else nn.BatchNorm1d
    return kind(shape[0], eps=layer.epsilon, momentum=layer.momentum, affine=layer.affine)


@MODULES.says(LayerNorm)
def _layer_norm(layer: LayerNorm, shape: Shape) -> nn.Module:
    kind = nn.LayerNorm if layer.over == "all" or len(shape) == 1 else ChannelNorm
    return kind(layer.together(shape), eps=layer.epsilon, elementwise_affine=layer.affine)


@MODULES.says(GroupNorm)
def _group_norm(layer: GroupNorm, shape: Shape) -> nn.Module:
    return nn.GroupNorm(layer.groups, shape[0], eps=layer.epsilon, affine=layer.affine)


@MODULES.says(InstanceNorm)
def _instance_norm(layer: InstanceNorm, shape: Shape) -> nn.Module:
    kind = by_axes(shape, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
    return kind(shape[0], eps=layer.epsilon, affine=layer.affine)


@MODULES.says(LocalResponseNorm)
def _local_response_norm(layer: LocalResponseNorm, shape: Shape) -> nn.Module:
    kind = nn.LocalResponseNorm if len(shape) > 1 else VectorResponseNorm
    return kind(layer.size, layer.alpha, layer.beta, layer.k)


@MODULES.says(Dropout)
def _dropout(layer: Dropout, shape: Shape) -> nn.Module:
    return nn.Dropout(layer.drop_probability)


@MODULES.says(Scale)
def _scale(layer: Scale, shape: Shape) -> nn.Module:
    module = ChannelScale()
    declare(module, layer.weights(shape))
    return module


class ChannelNorm(nn.LayerNorm):
    """`nn.LayerNorm` over the channels of each position."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x H x W` to the same."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class VectorResponseNorm(nn.LocalResponseNorm):
    """`nn.LocalResponseNorm`, which wants a map, on vectors."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C` to the same."""
        return functional.local_response_norm(x[..., None], self.size, self.alpha, self.beta, self.k)[..., 0]


class ChannelScale(nn.Module):
    """A factor for each channel, `weight`, and a `bias` where there is one."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("bias", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x ...` to the same."""
        axes = (-1, *(1,) * (x.ndim - 2))
        y = x * self.weight.reshape(axes)
        return y if self.bias is None else y + self.bias.reshape(axes)
