"""What a loss asks of the output of a network, where the classes or the targets of the data are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.recipe.learning import BinaryCrossEntropy, CrossEntropy

if TYPE_CHECKING:
    from cnnspec.layers.base import Shape
    from cnnspec.recipe.learning import Loss


def outputs_for_classes(classes: int, loss: Loss) -> tuple[Shape, ...]:
    """The outputs that fit class numbers: a number for each class, or one number for yes and no."""
    if classes == 2 and isinstance(loss, BinaryCrossEntropy):
        return (1,), (classes,)
    return ((classes,),)


def takes_targets(loss: Loss) -> bool:
    """Whether a loss compares with numbers, and not with classes alone."""
    return not isinstance(loss, CrossEntropy)
