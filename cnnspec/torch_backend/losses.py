"""The losses of a recipe by PyTorch: sums over the samples, whose gradients go back through the network.

What they sum up, and what counts as right, is said by the NumPy backend's kernels of the same losses.
"""

from __future__ import annotations

from functools import cache, singledispatch

import torch
from torch.nn import functional

from cnnspec.layers import product
from cnnspec.recipe.learning import L1, BinaryCrossEntropy, CrossEntropy, Huber, Loss, Mse

FIVE = 5


@singledispatch
def summed_loss(loss: Loss, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The sum of the samples' losses, each weighted.

    Args:
        loss: of the recipe.
        z: outputs, `N` and their shape; logits where the loss absorbs the activation before it.
        targets: class numbers, `N` or one for each pixel; or numbers like the outputs.
    """
    raise NotImplementedError(f"`{loss.keyword}` is not there in the PyTorch backend")


@summed_loss.register(CrossEntropy)
def _cross_entropy(loss: CrossEntropy, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    weights = None if loss.weights is None else _class_weights(loss.weights, z.dtype, z.device)
    whole = functional.cross_entropy(
        z, targets, weight=weights, reduction="sum", label_smoothing=loss.smoothing
    )
    return whole / product(tuple(z.shape[2:]))


@cache
def _class_weights(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """On the device once and for all: a copy in every step would wait for the GPU."""
    with torch.inference_mode(False):  # what is made in a test part could not be used in training
        return torch.tensor(weights, dtype=dtype, device=device)


@summed_loss.register(Mse)
def _mse(loss: Mse, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(z, one_hot(z, targets), reduction="sum") / _elements(z)


@summed_loss.register(L1)
def _l1(loss: L1, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.l1_loss(z, one_hot(z, targets), reduction="sum") / _elements(z)


@summed_loss.register(Huber)
def _huber(loss: Huber, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.huber_loss(z, one_hot(z, targets), reduction="sum", delta=loss.delta) / _elements(z)


@summed_loss.register(BinaryCrossEntropy)
def _binary(loss: BinaryCrossEntropy, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    whole = functional.binary_cross_entropy_with_logits(z, one_hot(z, targets), reduction="sum")
    return whole / _elements(z)


def one_hot(z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Numbers like the outputs: themselves, or 1 for the class and 0 for the others."""
    if targets.shape == z.shape:
        return targets.to(z.dtype)
    return functional.one_hot(targets, z.shape[1]).to(z.dtype)


# --- what is right, and how far the rest is off -----------------------------------------------------------


def right_answers(loss: Loss, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How many samples got the right answer; of one with many answers, the share of them counts."""
    if targets.shape != z.shape:
        right = (z.argmax(1) == targets).sum()
        return right / product(tuple(z.shape[2:]))
    if isinstance(loss, BinaryCrossEntropy):
        return ((z > 0) == (targets > 0.5)).sum() / _elements(z)
    return z.new_zeros(())


def among_five(loss: Loss, z: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """How many samples have fewer than five outputs above that of their class; 0 for other losses."""
    if not isinstance(loss, CrossEntropy):
        return z.new_zeros(())
    own = z.gather(1, targets[:, None])
    before = (z > own).sum(1)
    return (before < FIVE).sum() / product(tuple(z.shape[2:]))


def distances(loss: Loss, z: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sums of the samples' mean absolute and mean squared differences; 0 where classes are told apart."""
    if isinstance(loss, CrossEntropy):
        return z.new_zeros(()), z.new_zeros(())
    difference = z - one_hot(z, targets)
    return difference.abs().sum() / _elements(z), difference.square().sum() / _elements(z)


def _elements(z: torch.Tensor) -> int:
    return product(tuple(z.shape[1:]))
