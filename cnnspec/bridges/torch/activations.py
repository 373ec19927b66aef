"""Activations, as PyTorch has them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from cnnspec.bridges.torch.table import MODULES, declare
from cnnspec.layers import Layer, Shape
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus

_PLAIN: dict[type[Layer], Callable[[], nn.Module]] = {
    Relu: nn.ReLU,
    Sigmoid: nn.Sigmoid,
    HardSigmoid: nn.Hardsigmoid,
    Relu6: nn.ReLU6,
    Selu: nn.SELU,
    Softplus: nn.Softplus,
    Silu: nn.SiLU,
    Mish: nn.Mish,
    HardSwish: nn.Hardswish,
}


@MODULES.says(*_PLAIN)
def _plain(layer: Layer, shape: Shape) -> nn.Module:
    return _PLAIN[type(layer)]()


@MODULES.says(Tanh)
def _tanh(layer: Tanh, shape: Shape) -> nn.Module:
    plain = layer.amplitude == layer.slope == 1
    return nn.Tanh() if plain else ScaledTanh(layer.amplitude, layer.slope)


@MODULES.says(Softmax)
def _softmax(layer: Softmax, shape: Shape) -> nn.Module:
    return nn.Softmax(dim=1)


@MODULES.says(LogSoftmax)
def _log_softmax(layer: LogSoftmax, shape: Shape) -> nn.Module:
    return nn.LogSoftmax(dim=1)


@MODULES.says(LeakyRelu)
def _leaky_relu(layer: LeakyRelu, shape: Shape) -> nn.Module:
    return nn.LeakyReLU(layer.slope)


@MODULES.says(Elu)
def _elu(layer: Elu, shape: Shape) -> nn.Module:
    return nn.ELU(layer.alpha)


@MODULES.says(Gelu)
def _gelu(layer: Gelu, shape: Shape) -> nn.Module:
    return nn.GELU("tanh" if layer.approximate else "none")


@MODULES.says(Prelu)
def _prelu(layer: Prelu, shape: Shape) -> nn.Module:
    module = LearnedSlope()
    declare(module, layer.weights(shape))
    return module


class ScaledTanh(nn.Module):
    """`amplitude * tanh(slope * x)`."""

    def __init__(self, amplitude: float, slope: float) -> None:
        super().__init__()
        self.amplitude, self.slope = amplitude, slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return self.amplitude * torch.tanh(self.slope * x)

    def extra_repr(self) -> str:
        """For `print`."""
        return f"amplitude={self.amplitude}, slope={self.slope}"


class LearnedSlope(nn.Module):
    """`nn.PReLU` whose parameter is called `slope`."""

    slope: nn.Parameter

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return functional.prelu(x, self.slope)
