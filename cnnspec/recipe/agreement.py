"""What a loss asks of the output of a network, and which figures it gives, as far as the data are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.recipe.figures import METRICS
from cnnspec.recipe.learning import BinaryCrossEntropy, CrossEntropy

if TYPE_CHECKING:
    from cnnspec.layers.base import Shape
    from cnnspec.recipe.data import DataKind
    from cnnspec.recipe.learning import Loss

FIVE: Final = 5
"""Of so many classes or fewer, each is among the first five."""


def outputs_for_classes(classes: int, loss: Loss) -> tuple[Shape, ...]:
    """The outputs that fit class numbers: a number for each class, or one number for yes and no."""
    if classes == 2 and isinstance(loss, BinaryCrossEntropy):
        return (1,), (classes,)
    return ((classes,),)


def takes_targets(loss: Loss) -> bool:
    """Whether a loss compares with numbers, and not with classes alone."""
    return not isinstance(loss, CrossEntropy)


def may_measure(loss: Loss, data: DataKind) -> tuple[str, ...]:
    """The figures that can be measured with a loss on a data set; some may turn out not to be.

    Whether it has classes or numbers as targets, and how many classes, is known of some data sets only when
    they have been read.
    """
    classes = data.class_count()
    has_numbers, has_classes = data.target_shape() is not None, classes is not None
    never = set() if takes_targets(loss) and not has_classes else {"mae", "r2"}
    never |= {"mae", "r2"} - set(loss.figures)
    if has_numbers and "accuracy" not in loss.figures:
        never.add("accuracy")
    if "top5" not in loss.figures or (classes is not None and classes <= FIVE):
        never.add("top5")
    return tuple(metric for metric in METRICS if metric.partition("_")[2] not in never)
