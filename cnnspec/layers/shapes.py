"""Layers that compute nothing: the input, and changes of shape."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from cnnspec.layers.base import Family, Layer, Shape, Window, product
from cnnspec.layers.options import OptionError, describe, option, whole_number


def shape_value(value: object) -> Shape:
    """Accept a shape, or a number for a vector."""
    if isinstance(value, tuple):
        if not value:
            raise OptionError("must not be empty")
        return tuple(whole_number(size, least=1) for size in value)
    if isinstance(value, str):
        raise OptionError(
            f"must be a shape such as `1x28x28` or a length such as `400`, not {describe(value)}"
        )
    return (whole_number(value, least=1),)


ShapeOption = Annotated[tuple[int, ...], BeforeValidator(shape_value)]
"""A shape: `1x28x28`, or a number for a vector."""


class Input(Layer):
    """The input of the network: one sample, channel first."""

    family: ClassVar[Family] = "input"
    arity: ClassVar[int] = 0
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "input 1x28x28"

    shape: ShapeOption = option("shape of one sample: `1x28x28`, `1x16000`, `400`", positional=True)

    def infer(self, *inputs: Shape) -> Shape:
        """The declared shape."""
        return self.shape


class Flatten(Layer):
    """Flattens a feature map `C x H x W` into a vector, channel by channel and row by row."""

    family: ClassVar[Family] = "shape"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "flatten"

    def infer(self, *inputs: Shape) -> Shape:
        """Any shape to `(n,)`."""
        return (product(inputs[0]),)

    def window(self, *inputs: Shape) -> Window:
        """A vector has no positions, so the receptive field of its units is that of the whole map."""
        return "everything" if len(inputs[0]) > 1 else "pointwise"

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The number of elements."""
        (shape,) = inputs
        return (f"{' * '.join(map(str, shape))} = {product(shape)}",) if len(shape) > 1 else ()
