"""Losses, optimizers and initialisers: how a network learns."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.declaration import option
from cnnspec.layers.options import fraction, positive
from cnnspec.recipe.kinds import RecipeKind, Role


class _Loss(RecipeKind):
    role: ClassVar[Role] = "loss"


class CrossEntropy(_Loss):
    """Cross-entropy of the true class, averaged over the batch; with a final softmax, from its logits."""

    example: ClassVar[str] = "loss cross_entropy"


class _Optimizer(RecipeKind):
    role: ClassVar[Role] = "optimizer"


class Sgd(_Optimizer):
    """Stochastic gradient descent: `v = momentum * v + g`, then `w = w - lr * v`."""

    example: ClassVar[str] = "optimizer sgd lr=0.1 momentum=0.9"

    lr: float = option(positive, "learning rate", default=0.01)
    momentum: float = option(fraction, "weight of the earlier steps", default=0.0)


class _Initializer(RecipeKind):
    role: ClassVar[Role] = "init"


class XavierUniform(_Initializer):
    """Weights uniform within `sqrt(6 / (fan_in + fan_out))`, biases zero (Glorot & Bengio 2010)."""

    example: ClassVar[str] = "init xavier_uniform"


class XavierNormal(_Initializer):
    """Weights normal with variance `2 / (fan_in + fan_out)`, biases zero (Glorot & Bengio 2010)."""

    example: ClassVar[str] = "init xavier_normal"


class PytorchDefault(_Initializer):
    """Weights and biases uniform within `1 / sqrt(fan_in)`, as PyTorch's layers begin."""

    example: ClassVar[str] = "init pytorch_default"


Loss = _Loss
Optimizer = _Optimizer
Initializer = _Initializer
