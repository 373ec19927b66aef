"""Fully connected layers."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, Shape, Weight, Window, product
from cnnspec.layers.declaration import option
from cnnspec.layers.options import count, flag


class Dense(Layer):
    """Fully connected layer: every unit sees every element of the input, which is flattened first.

    Input of any shape with `n` elements, weight `(units, n)`, output `(units,)`.
    """

    family: ClassVar[Family] = "dense"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "dense 120"

    units: int = option(count, "number of units, the length of the output", positional=True)
    bias: bool = option(flag, "whether a bias is added to each unit", default=True)

    def infer(self, *inputs: Shape) -> Shape:
        """Any shape to `(units,)`."""
        return (self.units,)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` of `(units, n)` and `bias` of `(units,)`."""
        n = product(inputs[0])
        weight = Weight("weight", (self.units, n), n, self.units)
        if not self.bias:
            return (weight,)
        return weight, Weight("bias", (self.units,), n, self.units, role="bias")

    def window(self, *inputs: Shape) -> Window:
        """Every unit sees the whole input."""
        return "everything"

    def macs(self, *inputs: Shape) -> int:
        """`n * units`."""
        return product(inputs[0]) * self.units
