"""What joins several values into one."""

from __future__ import annotations

from cnnspec.bridges.onnx.writer import OPERATORS, Place
from cnnspec.layers.merging import Add, Concat, Mean, Multiply


@OPERATORS.says(Add)
def _add(layer: Add, at: Place) -> None:
    at.give("Add" if len(at.inputs) == 2 else "Sum", *at.inputs)


@OPERATORS.says(Mean)
def _mean(layer: Mean, at: Place) -> None:
    at.give("Mean", *at.inputs)


@OPERATORS.says(Concat)
def _concat(layer: Concat, at: Place) -> None:
    at.give("Concat", *at.inputs, axis=1)


@OPERATORS.says(Multiply)
def _multiply(layer: Multiply, at: Place) -> None:
    if len(at.inputs) == 1:
        at.give("Identity", at.x)
        return
    product = at.x
    for other in at.inputs[1:-1]:
        product = at.on_the_way("Mul", [product, other], at.shape)
    at.give("Mul", product, at.inputs[-1])
