"""What joins several values into one."""

from __future__ import annotations

from functools import reduce

import torch
from torch import nn

from cnnspec.bridges.torch.table import MODULES
from cnnspec.layers import Layer, Shape
from cnnspec.layers.merging import Add, Concat, Mean, Multiply


class Sum(nn.Module):
    """Adds its inputs, of which a `Cx1x1` repeats over a `CxHxW`."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return reduce(torch.add, inputs)


class Product(nn.Module):
    """Multiplies its inputs, of which a `Cx1x1` repeats over a `CxHxW`."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return reduce(torch.mul, inputs)


class Average(nn.Module):
    """The mean of its inputs, of which a `Cx1x1` repeats over a `CxHxW`."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return reduce(torch.add, inputs) / len(inputs)


class Joined(nn.Module):
    """Its inputs one behind the other along the channels."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """`N x C1 x ...`, `N x C2 x ...` to `N x (C1 + C2) x ...`."""
        return torch.cat(inputs, dim=1)


_KINDS: dict[type[Layer], type[nn.Module]] = {Add: Sum, Multiply: Product, Mean: Average, Concat: Joined}


@MODULES.says(*_KINDS)
def _merge(layer: Layer, *shapes: Shape) -> nn.Module:
    return _KINDS[type(layer)]()
