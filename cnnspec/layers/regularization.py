"""Layers that act in training only."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, Shape
from cnnspec.layers.declaration import option
from cnnspec.layers.options import fraction


class Dropout(Layer):
    """Dropout: in training, zeroes each element with a probability and scales the others up.

    The kept elements are divided by `1 - drop_probability`, so that nothing changes at prediction
    (Srivastava et al. 2014).
    """

    family: ClassVar[Family] = "regularization"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "dropout 0.5"

    drop_probability: float = option(
        fraction, "probability that an element is dropped", default=0.5, positional=True
    )

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs[0]
