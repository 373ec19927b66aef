"""PyTorch counterparts of activations and normalizations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional

from cnnspec.layers import Layer
from cnnspec.layers.activations import HardSigmoid, LogSoftmax
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.layers.scaling import Scale

Weights = dict[str, torch.Tensor]


def batchnorm(layer: BatchNorm, x: torch.Tensor, w: Weights) -> torch.Tensor:
    """In training if gradients are wanted; then the running statistics are updated in place."""
    mean, var = w["running_mean"].detach(), w["running_var"].detach()
    training = torch.is_grad_enabled()
    return functional.batch_norm(
        x, mean, var, w.get("weight"), w.get("bias"), training, layer.momentum, layer.epsilon
    )


def layernorm(layer: LayerNorm, x: torch.Tensor, w: Weights) -> torch.Tensor:
    if layer.over == "all":
        return functional.layer_norm(x, x.shape[1:], w.get("weight"), w.get("bias"), layer.epsilon)
    last = x.movedim(1, -1)
    y = functional.layer_norm(last, last.shape[-1:], w.get("weight"), w.get("bias"), layer.epsilon)
    return y.movedim(-1, 1)


def groupnorm(layer: GroupNorm, x: torch.Tensor, w: Weights) -> torch.Tensor:
    return functional.group_norm(x, layer.groups, w.get("weight"), w.get("bias"), layer.epsilon)


def instancenorm(layer: InstanceNorm, x: torch.Tensor, w: Weights) -> torch.Tensor:
    return functional.instance_norm(x, weight=w.get("weight"), bias=w.get("bias"), eps=layer.epsilon)


def lrn(layer: LocalResponseNorm, x: torch.Tensor, w: Weights) -> torch.Tensor:
    if x.ndim == 2:  # PyTorch wants a map
        return functional.local_response_norm(x[..., None], layer.size, layer.alpha, layer.beta, layer.k)[
            ..., 0
        ]
    return functional.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)


def scale(layer: Scale, x: torch.Tensor, w: Weights) -> torch.Tensor:
    axes = (-1, *(1,) * (x.ndim - 2))
    y = x * w["weight"].reshape(axes)
    return y + w["bias"].reshape(axes) if layer.bias else y


TWINS: dict[type[Layer], Callable[[Layer, torch.Tensor, Weights], torch.Tensor]] = {
    # `functional.hardsigmoid` differentiates with a sixth rounded to float32, in float64 too.
    HardSigmoid: lambda layer, x, w: torch.clamp(x / 6 + 0.5, 0, 1),
    LogSoftmax: lambda layer, x, w: functional.log_softmax(x, dim=1),
    LeakyRelu: lambda layer, x, w: functional.leaky_relu(x, layer.slope),
    Prelu: lambda layer, x, w: functional.prelu(x, w["slope"]),
    Relu6: lambda layer, x, w: functional.relu6(x),
    Elu: lambda layer, x, w: functional.elu(x, layer.alpha),
    Selu: lambda layer, x, w: functional.selu(x),
    Softplus: lambda layer, x, w: functional.softplus(x),
    Gelu: lambda layer, x, w: functional.gelu(x, approximate="tanh" if layer.approximate else "none"),
    Silu: lambda layer, x, w: functional.silu(x),
    Mish: lambda layer, x, w: functional.mish(x),
    HardSwish: lambda layer, x, w: functional.hardswish(x),
    BatchNorm: batchnorm,
    LayerNorm: layernorm,
    GroupNorm: groupnorm,
    InstanceNorm: instancenorm,
    LocalResponseNorm: lrn,
    Scale: scale,
}
