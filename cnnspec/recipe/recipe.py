"""The recipe: how the network is trained, as the `train` block says it."""

from __future__ import annotations

from dataclasses import dataclass

from cnnspec.recipe.data import DataKind, Digits
from cnnspec.recipe.learning import CrossEntropy, Initializer, Loss, Optimizer, PytorchDefault, Sgd


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, apart from the network. The defaults hold where a file is silent."""

    data: DataKind = Digits()
    loss: Loss = CrossEntropy()
    optimizer: Optimizer = Sgd()
    init: Initializer = PytorchDefault()
    batch: int = 64
    epochs: int = 10
    seed: int = 0
