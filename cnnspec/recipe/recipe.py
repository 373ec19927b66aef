"""The recipe: how the network is trained, as the `train` block says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from cnnspec.language.record import field, record, replace
from cnnspec.language.record import fields as record_fields
from cnnspec.layers.declaration import Declaration, option
from cnnspec.layers.options import count, natural
from cnnspec.recipe.augment import Augmentation
from cnnspec.recipe.control import Checkpoint, Clip, Freeze, Keep, Stop
from cnnspec.recipe.data import DataKind, Digits
from cnnspec.recipe.learning import CrossEntropy, Initializer, Loss, Optimizer, PytorchDefault, Sgd
from cnnspec.recipe.schedules import Constant, Plateau, Schedule

if TYPE_CHECKING:
    from cnnspec.layers.base import Shape


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
    """Everything that decides a training run apart from the network; defaults where a file is silent.

    A statement whose field is a tuple may stand more than once, each adding one.
    """

    data: DataKind = field(default_factory=Digits)
    augment: tuple[Augmentation, ...] = ()
    loss: Loss = field(default_factory=CrossEntropy)
    optimizer: Optimizer = field(default_factory=Sgd)
    schedule: Schedule = field(default_factory=Constant)
    clip: Clip | None = None
    init: Initializer = field(default_factory=PytorchDefault)
    layer_inits: tuple[Initializer, ...] = ()
    freeze: Freeze | None = None
    stop: Stop | None = None
    keep: Keep = field(default_factory=Keep)
    checkpoint: Checkpoint | None = None
    batch: int = 64
    epochs: int = 10
    seed: int = 0

    def repeats(self, field: str) -> bool:
        """Whether the statement of a field may stand more than once."""
        return isinstance(getattr(self, field), tuple)

    def changed(self, field: str, value: Declaration | int) -> Recipe:
        """The same recipe with one field changed, or added to; the registry ties each to its type."""
        held: object = (*getattr(self, field), value) if self.repeats(field) else value
        return replace(self, **{field: held})

    def metrics(self) -> dict[str, str]:
        """The figures that decide something, by the setting that names them."""
        named = {"keep": self.keep.best, "stop": self.stop.metric if self.stop else None}
        named["schedule"] = self.schedule.metric if isinstance(self.schedule, Plateau) else None
        return {setting: metric for setting, metric in named.items() if metric is not None}

    def written(self) -> dict[str, str | int | list[str]]:
        """Every field as a file would say it; those that are not set are left out."""
        fields = {name: _written(getattr(self, name)) for name in record_fields(self)}
        return {name: text for name, text in fields.items() if text is not None and text != []}


def _written(value: object) -> str | int | list[str] | None:
    if isinstance(value, tuple):
        return [item.written() for item in value]
    if isinstance(value, Declaration):
        return value.written()
    return value if isinstance(value, int) else None


def default_recipe(input_shape: Shape | None) -> Recipe:
    """The recipe of a file without a `train` block: the digits, at the size that the network takes."""
    if input_shape is None or len(input_shape) != 3 or input_shape[0] != 1:
        return Recipe()
    return Recipe(data=Digits(resize=input_shape[1:], normalize=True))
