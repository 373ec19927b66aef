"""Updates of the weights by PyTorch's optimizers, all weights being one tensor.

What they keep is known by the names that the NumPy backend's updates give it, so that checkpoints are alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from cnnspec.recipe.learning import Adam, Adamw, Optimizer, Rmsprop, Sgd
from cnnspec.training.optimizers import load_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe import Clip, Recipe
    from cnnspec.torch_backend.storage import Storage

SLOTS: Final[dict[type[Optimizer], dict[str, str]]] = {
    Sgd: {"momentum": "momentum_buffer"},
    Adam: {"mean": "exp_avg", "square": "exp_avg_sq"},
    Adamw: {"mean": "exp_avg", "square": "exp_avg_sq"},
    Rmsprop: {"square": "square_avg", "mean": "grad_avg", "momentum": "momentum_buffer"},
}
"""What an optimizer keeps of every weight: our name, and PyTorch's."""


class TorchUpdate:
    """What changes the weights after each batch, on their own device.

    Attributes:
        lr: the learning rate of the next step.
        steps: the steps that were made so far.
    """

    def __init__(self, storage: Storage, recipe: Recipe, scaler: torch.amp.GradScaler) -> None:
        self.lr = recipe.optimizer.lr
        self.steps = 0
        self._storage, self._clip, self._scaler = storage, recipe.clip, scaler
        self._all = nn.Parameter(storage.weights)
        self._all.grad = storage.gradients
        self._optimizer = _optimizer(recipe.optimizer, self._all)
        self._slots = {
            ours: theirs for ours, theirs in SLOTS[type(recipe.optimizer)].items() if _keeps(recipe, ours)
        }
        kept = {theirs: torch.zeros_like(storage.weights) for theirs in self._slots.values()}
        self._optimizer.state[self._all] = {**kept, **self._counter()}

    def _counter(self) -> dict[str, torch.Tensor]:
        """The number of the step, as the optimizer keeps it for itself if it does."""
        if isinstance(self._optimizer, torch.optim.SGD):
            return {}
        fused = bool(self._optimizer.defaults.get("fused"))
        device = self._all.device if fused else torch.device("cpu")
        return {"step": torch.tensor(float(self.steps), dtype=torch.float32, device=device)}

    def set_rate(self, lr: float) -> None:
        """Set the learning rate of the next step."""
        self.lr = lr

    def step(self) -> None:
        """Change every weight once by its gradient, which is held within the recipe's bounds first."""
        self.steps += 1
        self._scaler.unscale_(self._optimizer)
        if self._clip is not None:
            clip_tensor(self._clip, self._storage.gradients)
        for group in self._optimizer.param_groups:
            group["lr"] = self.lr
        self._scaler.step(self._optimizer)
        self._scaler.update()

    def state(self) -> dict[str, NDArray[np.generic]]:
        """What a step depends on beside weights, gradients and rate, as `Update.state` names it."""
        state: dict[str, NDArray[np.generic]] = {"step": np.array([self.steps], np.int64)}
        for ours, theirs in self._slots.items():
            parts = self._storage.learned(self._optimizer.state[self._all][theirs])
            state |= {f"{ours}/{name}": part.numpy(force=True) for name, part in parts.items()}
        return state

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take over a state that was kept, by this backend or the other.

        Raises:
            ValueError: it is not that of such an update of such a network.
        """
        copies = {name: array.copy() for name, array in self.state().items()}
        load_arrays(copies, state, "the optimizer")
        self.steps = int(copies["step"].item())
        kept = self._optimizer.state[self._all]
        kept.update(self._counter())
        for ours, theirs in self._slots.items():
            for name, part in self._storage.learned(kept[theirs]).items():
                part.copy_(torch.from_numpy(copies[f"{ours}/{name}"]))


def _keeps(recipe: Recipe, slot: str) -> bool:
    """Whether an optimizer with these settings keeps so."""
    settings = recipe.optimizer
    if slot == "momentum":
        return bool(getattr(settings, "momentum", 0))
    return not isinstance(settings, Rmsprop) or slot == "square" or settings.centered


def clip_tensor(clip: Clip, gradients: torch.Tensor) -> None:
    """Hold gradients within the bounds of a recipe, in place, as `clip_gradients` does."""
    if clip.value is not None:
        gradients.clamp_(-clip.value, clip.value)
    if clip.norm is not None:
        factor = clip.norm / (torch.linalg.vector_norm(gradients) + 1e-6)
        gradients.mul_(factor.clamp(max=1.0))


@singledispatch
def _optimizer(settings: Optimizer, weights: nn.Parameter) -> torch.optim.Optimizer:
    raise NotImplementedError(f"`{settings.keyword}` is not there in the PyTorch backend")


@_optimizer.register(Sgd)
def _sgd(settings: Sgd, weights: nn.Parameter) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [weights],
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=True,
    )


@_optimizer.register(Adam)
@_optimizer.register(Adamw)
def _adam(settings: Adam | Adamw, weights: nn.Parameter) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if isinstance(settings, Adamw) else torch.optim.Adam
    return kind(
        [weights],
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        weight_decay=settings.weight_decay,
        fused=True,
    )


@_optimizer.register(Rmsprop)
def _rmsprop(settings: Rmsprop, weights: nn.Parameter) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(
        [weights],
        lr=settings.lr,
        alpha=settings.alpha,
        eps=settings.eps,
        momentum=settings.momentum,
        centered=settings.centered,
        weight_decay=settings.weight_decay,
    )
