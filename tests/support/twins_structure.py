"""PyTorch counterparts of what joins, moves and resamples values."""

from __future__ import annotations

from functools import reduce

import torch

from cnnspec.layers import Layer
from cnnspec.layers.merging import Add, Concat, Mean, Multiply


def merge(layer: Layer, xs: list[torch.Tensor]) -> torch.Tensor:
    match layer:
        case Add():
            return reduce(torch.add, xs)
        case Multiply():
            return reduce(torch.mul, xs)
        case Mean():
            return torch.stack(torch.broadcast_tensors(*xs)).mean(0)
        case Concat():
            return torch.cat(xs, dim=1)
    raise NotImplementedError(layer.keyword)


def apply(layer: Layer, x: torch.Tensor, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    raise NotImplementedError(layer.keyword)
