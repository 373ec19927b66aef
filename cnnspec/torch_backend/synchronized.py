"""Batch normalization over the whole batch where several processes have a share of it each.

PyTorch's own, `nn.SyncBatchNorm`, is for GPUs; on processors the sums are added up here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from cnnspec.bridges.torch import Network


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - PyTorch's own
        """Add up."""
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - PyTorch's own
        """Add up: each process has a loss of its own, and every loss depends on the sum."""
        return _summed(gradients[0])


def _summed(x: torch.Tensor) -> torch.Tensor:
    y = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(y)
    return y


class SharedBatchNorm(_BatchNorm):
    """Batch normalization by the mean and the variance of all processes' samples.

    With `n` samples and positions of a channel in all: `mean = sum(x) / n`, then
    `var = sum((x - mean)^2) / n`, both of sums over all processes, so that shares may differ in size. The
    running variance is that of `n - 1`.
    """

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Any number of axes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`N x C x ...` to the same."""
        if not self.training:
            return super().forward(x)
        axes, row = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
        values = x.float()
        own = torch.cat([values.sum(axes), values.new_full((1,), x.numel() // x.shape[1])])
        sums: torch.Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
        n = sums[-1].detach()
        mean = sums[:-1] / n
        centred = values - mean.view(row)
        squares: torch.Tensor = _Sum.apply(centred.square().sum(axes))  # type: ignore[no-untyped-call]
        variance = squares / n
        self._follow(mean.detach(), variance.detach() * n / (n - 1))
        y = centred * (variance + self.eps).rsqrt().view(row)
        if self.affine:
            y = y * self.weight.view(row) + self.bias.view(row)
        return y.to(x.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics towards those of the batch."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def synchronize(network: Network) -> None:
    """Put batch normalization over all processes in place of that over each one's own samples."""
    others = {module: _shared(module) for module in network.modules() if isinstance(module, _BatchNorm)}
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in others:
                parent.add_module(name, others[child])
    network.steps = tuple(
        replace(step, module=others[step.module]) if step.module in others else step for step in network.steps
    )


def _shared(module: _BatchNorm) -> _BatchNorm:
    """Its counterpart, whose weights are set later."""
    gpu = any(tensor.is_cuda for tensor in (*module.parameters(), *module.buffers()))
    kind: type[_BatchNorm] = nn.SyncBatchNorm if gpu else SharedBatchNorm
    made = kind(module.num_features, eps=module.eps, momentum=module.momentum, affine=module.affine)
    return made.to(next(module.buffers()).device)
