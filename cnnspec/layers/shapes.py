"""Layers that compute nothing: the input, and changes of shape."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, Shape, Window, product
from cnnspec.layers.declaration import option
from cnnspec.layers.options import sample_shape


class Input(Layer):
    """The input of the network: one sample, channel first."""

    family: ClassVar[Family] = "input"
    arity: ClassVar[int | None] = 0
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "input 1x28x28"

    shape: Shape = option(sample_shape, "shape of one sample: `1x28x28`, `1x16000`, `400`", positional=True)

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
