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
from cnnspec.training.model import TrainableModel
from cnnspec.training.optimizers import load_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.recipe import Clip, Recipe
    from cnnspec.torch_backend.storage import Storage
    from cnnspec.training.model import Computes

SLOTS: Final[dict[type[Optimizer], dict[str, str]]] = {
    Sgd: {"momentum": "momentum_buffer"},
    Adam: {"mean": "exp_avg", "square": "exp_avg_sq"},
    Adamw: {"mean": "exp_avg", "square": "exp_avg_sq"},
    Rmsprop: {"square": "square_avg", "mean": "grad_avg", "momentum": "momentum_buffer"},
}
"""What an optimizer keeps of every weight: our name, and PyTorch's."""
SCALING: Final = "float16/"
"""Before the names of what is kept of the scale, in the state of a model."""


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
        self._optimizer.state[self._all] = {**kept, **self._counter(0)}

    def _counter(self, steps: int) -> dict[str, torch.Tensor]:
        """The steps that were made, as the optimizer counts them for itself if it does."""
        if isinstance(self._optimizer, torch.optim.SGD):
            return {}
        fused = bool(self._optimizer.defaults.get("fused"))
        device = self._all.device if fused else torch.device("cpu")
        return {"step": torch.tensor(float(steps), dtype=torch.float32, device=device)}

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
        kept.update(self._counter(self.steps))
        for ours, theirs in self._slots.items():
            for name, part in self._storage.learned(kept[theirs]).items():
                part.copy_(torch.from_numpy(copies[f"{ours}/{name}"]))

    # --- float16 ----------------------------------------------------------------------------------------

    def scaling(self) -> dict[str, NDArray[np.generic]]:
        """How gradients are kept within the range of float16; nothing where that is not needed.

        `scale` is what the loss is multiplied with, `growth` counts the steps since it was too large for one.
        Such a step is left out, so that an optimizer's own count, `applied`, may be behind that of the run.
        """
        known = self._scaler.state_dict()
        if not known:
            return {}
        own = self._optimizer.state[self._all].get("step", self.steps)
        whole = {"growth": known["_growth_tracker"], "applied": int(own)}
        return {
            "scale": np.array([known["scale"]], np.float32),
            **{name: np.array([count], np.int64) for name, count in whole.items()},
        }

    def load_scaling(self, kept: Mapping[str, NDArray[np.generic]]) -> None:
        """Go on with what `scaling` gave, after `load_state`; a run without begins with the usual scale.

        Raises:
            ValueError: it is not whole.
        """
        own = self.scaling()
        if not own or not kept:
            return
        load_arrays(own, kept, "float16")
        new = {"scale": float(own["scale"].item()), "_growth_tracker": int(own["growth"].item())}
        self._scaler.load_state_dict({**self._scaler.state_dict(), **new})
        self._optimizer.state[self._all].update(self._counter(int(own["applied"].item())))


class TorchTrainable(TrainableModel):
    """A model whose state holds the scale of float16 gradients, too; the NumPy backend passes over it."""

    def __init__(self, model: Computes, recipe: Recipe, update: TorchUpdate) -> None:
        super().__init__(model, recipe, update)
        self._scaled = update

    def state(self) -> dict[str, NDArray[np.generic]]:
        """As every model's."""
        return {**super().state(), **{SCALING + name: one for name, one in self._scaled.scaling().items()}}

    def load_state(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """As every model does."""
        super().load_state(state)
        own = {name.removeprefix(SCALING): one for name, one in state.items() if name.startswith(SCALING)}
        self._scaled.load_scaling(own)


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
