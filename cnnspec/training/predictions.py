"""What a trained network says of samples that nobody has labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.training.inputs import prepare_samples
from cnnspec.training.runs import as_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.numpy_backend.model import Model
    from cnnspec.training.runs import SavedRun

SHOWN_NUMBERS = 8
"""The most numbers of an output that are shown."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network gives for one sample: a probability for each class, or any numbers without classes."""

    name: str
    classes: tuple[str, ...]
    values: NDArray[np.float32]

    def top(self, count: int) -> list[tuple[str, float]]:
        """The likeliest classes with their probabilities, the likeliest first."""
        order = np.argsort(-self.values, kind="stable")[:count]
        return [(self.classes[place], float(self.values[place])) for place in order]

    def numbers(self) -> str:
        """The output in short."""
        flat = self.values.reshape(-1)
        rest = ", ..." if flat.size > SHOWN_NUMBERS else ""
        return ", ".join(f"{value:.6g}" for value in flat[:SHOWN_NUMBERS]) + rest

    def report(self, count: int) -> dict[str, object]:
        """As plain data."""
        if not self.classes:
            return {"file": self.name, "output": self.values.tolist()}
        top = [{"class": name, "probability": probability} for name, probability in self.top(count)]
        return {"file": self.name, "class": top[0]["class"], "top": top}


def predict(saved: SavedRun, model: Model, name: str, content: bytes) -> list[Prediction]:
    """What the network of a run says of the samples of a file, which are named `name`, or `name[3]`.

    Args:
        saved: the run.
        model: its network, compiled.
        name: what the file is called.
        content: the file's bytes.

    Raises:
        DataError: it cannot be read, or does not fit the network.
    """
    preparation = saved.record.preparation
    samples = prepare_samples(content, name, saved.subject.recipe.data, preparation)
    names = [name] if len(samples) == 1 else [f"{name}[{i}]" for i in range(len(samples))]
    if saved.gives_classes:
        classes, outputs = preparation.classes, as_probabilities(saved, model, samples)
    else:
        classes, outputs = (), np.asarray(model.predict(samples), np.float32)
    return [Prediction(one, classes, output) for one, output in zip(names, outputs, strict=True)]
