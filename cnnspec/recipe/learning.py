"""Losses, optimizers and initialisers: how a network learns."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.declaration import option
from cnnspec.layers.options import (
    Listed,
    flag,
    fraction,
    layer_names,
    non_negative,
    numbers_of_at_least_0,
    one_of,
    positive,
    real_number,
)
from cnnspec.recipe.kinds import RecipeKind, Role

# --- losses -----------------------------------------------------------------------------------------------


class _Loss(RecipeKind):
    role: ClassVar[Role] = "loss"

    absorbs: ClassVar[tuple[str, ...]] = ()
    """The layers at the end of a network that it computes together with itself, from logits."""

    figures: ClassVar[tuple[str, ...]] = ("loss", "mae", "r2")
    """What is measured where the targets are numbers; where they are classes, the accuracy as well."""


class CrossEntropy(_Loss):
    """Cross-entropy of the true class, averaged over the batch; with a final softmax, from its logits.

    `smoothing` spreads a share of each target evenly over all classes (Szegedy et al. 2016,
    arXiv:1512.00567). With `weights` the mean is that of the weighted losses divided by the sum of the
    weights. An output `C x H x W` is a map of classes: each pixel counts.
    """

    example: ClassVar[str] = "loss cross_entropy smoothing=0.1"
    absorbs: ClassVar[tuple[str, ...]] = ("softmax", "log_softmax")
    figures: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "top5")

    smoothing: float = option(fraction, "share of each target that is spread over all classes", default=0.0)
    weights: Listed | None = option(
        numbers_of_at_least_0, "how much a sample of each class counts, one number a class", default=None
    )


class BinaryCrossEntropy(_Loss):
    """Cross-entropy of yes and no for each output; with a final sigmoid, from its logits.

    Without a sigmoid at its end the network's outputs are taken as logits. Targets are numbers from 0 to 1,
    one for each output; class numbers stand for one-hot vectors, or for 0 and 1 where there is one output.
    """

    example: ClassVar[str] = "loss binary_cross_entropy"
    absorbs: ClassVar[tuple[str, ...]] = ("sigmoid",)
    figures: ClassVar[tuple[str, ...]] = ("loss", "accuracy")


class Mse(_Loss):
    """Mean of the squared differences between outputs and targets."""

    example: ClassVar[str] = "loss mse"


class L1(_Loss):
    """Mean of the absolute differences between outputs and targets."""

    example: ClassVar[str] = "loss l1"


class Huber(_Loss):
    """Half the squared difference up to `delta`, `delta * (difference - delta / 2)` beyond (Huber 1964)."""

    example: ClassVar[str] = "loss huber delta=1"

    delta: float = option(positive, "difference from which on the loss grows linearly", default=1.0)


# --- optimizers -------------------------------------------------------------------------------------------


class _Optimizer(RecipeKind):
    role: ClassVar[Role] = "optimizer"
    lr: float
    weight_decay: float


class Sgd(_Optimizer):
    """Stochastic gradient descent: `v = momentum * v + g`, then `w = w - lr * v`.

    With `nesterov`, `w = w - lr * (g + momentum * v)` (Sutskever et al. 2013). `g` includes
    `weight_decay * w`.
    """

    example: ClassVar[str] = "optimizer sgd lr=0.1 momentum=0.9"

    lr: float = option(positive, "learning rate", default=0.01)
    momentum: float = option(fraction, "weight of the earlier steps", default=0.0)
    nesterov: bool = option(flag, "look ahead: take the gradient behind the momentum's step", default=False)
    weight_decay: float = option(
        non_negative, "multiple of each weight that is added to its gradient", default=0.0
    )

    def misuse(self) -> tuple[str, str, str] | None:
        """Without momentum there is nowhere to look ahead to."""
        if self.nesterov and not self.momentum:
            return "nesterov", "`nesterov` needs a momentum", "write `momentum=0.9`, for example"
        return None


class _Adam(_Optimizer):
    lr: float = option(positive, "learning rate", default=0.001)
    beta1: float = option(fraction, "weight of the earlier gradients in their mean", default=0.9)
    beta2: float = option(
        fraction, "weight of the earlier gradients in the mean of their squares", default=0.999
    )
    eps: float = option(positive, "added to the root of the squares' mean", default=1e-8)


class Adam(_Adam):
    """Steps of the gradients' running mean over the root of that of their squares (arXiv:1412.6980)."""

    example: ClassVar[str] = "optimizer adam lr=0.001"

    weight_decay: float = option(
        non_negative, "multiple of each weight that is added to its gradient", default=0.0
    )


class Adamw(_Adam):
    """Adam that takes `lr * weight_decay * w` off each weight `w` before its step (arXiv:1711.05101)."""

    example: ClassVar[str] = "optimizer adamw lr=0.001 weight_decay=0.01"

    weight_decay: float = option(
        non_negative, "share of each weight, times the learning rate, that a step takes off", default=0.01
    )


class Rmsprop(_Optimizer):
    """Gradients over the root of the running mean of their squares, `v`: `w = w - lr * g / (sqrt(v) + eps)`.

    With `centered`, `v` is their running variance. With `momentum` the steps are added up as in `sgd`.
    """

    example: ClassVar[str] = "optimizer rmsprop lr=0.001"

    lr: float = option(positive, "learning rate", default=0.01)
    alpha: float = option(
        fraction, "weight of the earlier gradients in the mean of their squares", default=0.99
    )
    eps: float = option(positive, "added to the root of the squares' mean", default=1e-8)
    momentum: float = option(fraction, "weight of the earlier steps", default=0.0)
    centered: bool = option(flag, "whether the square of the mean gradient is taken off", default=False)
    weight_decay: float = option(
        non_negative, "multiple of each weight that is added to its gradient", default=0.0
    )


# --- initialisers -----------------------------------------------------------------------------------------


class _Initializer(RecipeKind):
    role: ClassVar[Role] = "init"

    layers: Listed | None = option(
        layer_names, 'the layers that it is for, by name or pattern: `conv1`, `"stage1.*"`', default=None
    )

    def field(self) -> str:
        """With `layers` it stands beside the initialiser of the network, and there may be several."""
        return "init" if self.layers is None else "layer_inits"


class _WithBias(_Initializer):
    bias: float = option(real_number, "value that biases begin with", default=0.0)


class _Xavier(_WithBias):
    gain: float = option(positive, "factor that all weights are multiplied by", default=1.0)


class XavierUniform(_Xavier):
    """Weights uniform within `gain * sqrt(6 / (fan_in + fan_out))` (Glorot & Bengio 2010)."""

    example: ClassVar[str] = "init xavier_uniform"


class XavierNormal(_Xavier):
    """Weights normal with variance `gain^2 * 2 / (fan_in + fan_out)` (Glorot & Bengio 2010)."""

    example: ClassVar[str] = "init xavier_normal"


class _He(_WithBias):
    mode: str = option(
        one_of("fan_in", "fan_out"), "whether variances are kept on the way forward or back", default="fan_in"
    )
    slope: float = option(non_negative, "slope of the rectifiers below zero: 0 for `relu`", default=0.0)


class HeUniform(_He):
    """Weights uniform within `sqrt(6 / ((1 + slope^2) * fan))` (He et al. 2015, arXiv:1502.01852)."""

    example: ClassVar[str] = "init he_uniform"


class HeNormal(_He):
    """Weights normal with variance `2 / ((1 + slope^2) * fan)` (He et al. 2015, arXiv:1502.01852)."""

    example: ClassVar[str] = "init he_normal"


class Orthogonal(_Xavier):
    """Weights as a matrix `out x rest` whose rows, or columns, are orthogonal and of length `gain`.

    (Saxe et al. 2013, arXiv:1312.6120.)
    """

    example: ClassVar[str] = "init orthogonal gain=1"


class Normal(_WithBias):
    """Weights normal with mean 0 and a standard deviation that is given."""

    example: ClassVar[str] = "init normal std=0.01"

    std: float = option(positive, "standard deviation of the weights", default=0.01)


class Constant(_WithBias):
    """All weights of one value."""

    example: ClassVar[str] = "init constant 0 layers=dense1"

    value: float = option(real_number, "value that weights begin with", positional=True)


class PytorchDefault(_Initializer):
    """Weights and biases uniform within `1 / sqrt(fan_in)`, as PyTorch's layers begin."""

    example: ClassVar[str] = "init pytorch_default"


Loss = _Loss
Optimizer = _Optimizer
Initializer = _Initializer
