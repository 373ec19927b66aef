"""Figures beside the loss: whether a class is the first or among the first five, how far numbers are off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from cnnspec.layers import product
from cnnspec.recipe import CrossEntropy
from cnnspec.recipe.agreement import FIVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import Loss


class Sums(Protocol):
    """What the evaluation of some samples gives, added up over them."""

    @property
    def count(self) -> int: ...  # noqa: D102 - see above
    @property
    def top5(self) -> float: ...  # noqa: D102 - see above
    @property
    def absolute(self) -> float: ...  # noqa: D102 - see above
    @property
    def squared(self) -> float: ...  # noqa: D102 - see above


@dataclass(frozen=True, slots=True)
class Measures:
    """Which figures tell something, for a loss and targets of some kind.

    Attributes:
        accuracy: answers are right or wrong.
        top5: there are more than five classes.
        distance: targets are numbers, to which outputs are near or far.
    """

    accuracy: bool = True
    top5: bool = False
    distance: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """The figures of an epoch, by part and name."""
        right = ("accuracy",) if self.accuracy else ()
        first = ("top5",) if self.top5 else ()
        apart = ("mae", "r2") if self.distance else ()
        train = (f"train_{name}" for name in ("loss", *right))
        return (*train, *(f"test_{name}" for name in ("loss", *right, *first, *apart)))


CLASSES: Final = Measures()
"""What is measured of a few classes."""


def measures_for(loss: Loss, targets: NDArray[np.generic], outputs: tuple[int, ...]) -> Measures:
    """What is measured.

    Args:
        loss: that of the recipe.
        targets: class numbers, or numbers.
        outputs: shape of the network's output, channel first.
    """
    classes = targets.dtype.kind in "iu"
    among_many = isinstance(loss, CrossEntropy) and outputs[0] > FIVE
    return Measures(
        accuracy=classes or "accuracy" in loss.figures,
        top5=among_many,
        distance=not classes and "mae" in loss.figures,
    )


def measures_of(graph: Graph, facts: Facts, loss: Loss, targets: NDArray[np.generic]) -> Measures:
    """What is measured of a network with one output."""
    return measures_for(loss, targets, facts.shape(graph.outputs[0]))


@dataclass(frozen=True, slots=True)
class Gathered:
    """Sums over all samples of a part."""

    count: int = 0
    top5: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0

    def plus(self, sums: Sums) -> Gathered:
        """With some samples more."""
        return Gathered(
            self.count + sums.count,
            self.top5 + sums.top5,
            self.absolute + sums.absolute,
            self.squared + sums.squared,
        )

    def figures(self, measures: Measures, targets: NDArray[np.generic]) -> dict[str, float]:
        """What is measured of samples with these targets, by name.

        `top5` is the share of the samples whose class has one of the five largest outputs; `mae` the mean
        absolute difference from the targets; `r2` the coefficient of determination: 1 less the sum of squared
        differences over that of the targets from their means, both over all outputs.
        """
        found = {"top5": self.top5 / self.count} if measures.top5 else {}
        if measures.distance:
            found |= {"mae": self.absolute / self.count, "r2": self._r2(targets)}
        return found

    def _r2(self, targets: NDArray[np.generic]) -> float:
        """As scikit-learn's `r2_score(multioutput="variance_weighted")`, also where all targets are alike."""
        elements = product(targets.shape[1:])
        numbers = targets.reshape(len(targets), elements).astype(np.float64)
        variance = float(np.var(numbers, axis=0).mean())
        if not variance:
            return 0.0 if self.squared else 1.0
        return 1 - self.squared / (variance * self.count)
