"""The recipe: how the network is trained, as the `train` block says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from cnnspec.language.record import field, record, replace
from cnnspec.layers.declaration import Declaration, option
from cnnspec.layers.options import count, natural
from cnnspec.recipe.data import DataKind, Digits
from cnnspec.recipe.learning import CrossEntropy, Initializer, Loss, Optimizer, PytorchDefault, Sgd

if TYPE_CHECKING:
    from cnnspec.layers.base import Shape
    from cnnspec.recipe.kinds import RecipeKind


class Batch(Declaration):
    """Images in a step."""

    keyword: ClassVar[str] = "batch"
    sole: ClassVar[bool] = True
    example: ClassVar[str] = "batch 64"

    images: int = option(count, "number of images in a step", positional=True)


class Epochs(Declaration):
    """Passes over the training images."""

    keyword: ClassVar[str] = "epochs"
    sole: ClassVar[bool] = True
    example: ClassVar[str] = "epochs 40"

    passes: int = option(count, "number of passes over the training images", positional=True)


class Seed(Declaration):
    """What the initial weights, the order of the images and dropout follow from."""

    keyword: ClassVar[str] = "seed"
    sole: ClassVar[bool] = True
    example: ClassVar[str] = "seed 0"

    number: int = option(
        natural, "number that initial weights, order and dropout follow from", positional=True
    )


SCALARS: Final[dict[str, type[Declaration]]] = {scalar.keyword: scalar for scalar in (Batch, Epochs, Seed)}
"""The settings that are one number, by keyword."""


@record
class Recipe:
    """Everything that decides a training run apart from the network; defaults where a file is silent."""

    data: DataKind = field(default_factory=Digits)
    loss: Loss = field(default_factory=CrossEntropy)
    optimizer: Optimizer = field(default_factory=Sgd)
    init: Initializer = field(default_factory=PytorchDefault)
    batch: int = 64
    epochs: int = 10
    seed: int = 0

    def changed(self, setting: str, value: RecipeKind | int) -> Recipe:
        """The same recipe with one setting changed; the registry ties each setting to its type."""
        return replace(self, **{setting: value})


def default_recipe(input_shape: Shape | None) -> Recipe:
    """The recipe of a file without a `train` block: the digits, at the size that the network takes."""
    if input_shape is None or len(input_shape) != 3 or input_shape[0] != 1:
        return Recipe()
    return Recipe(data=Digits(resize=input_shape[1:], normalize=True))
