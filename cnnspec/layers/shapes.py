"""Layers that compute nothing: the input, and changes of shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import Family, Layer, LayerError, Shape, Window, product, show
from cnnspec.layers.declaration import option
from cnnspec.layers.options import sample_shape

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula


class Input(Layer):
    """The input of the network: one sample, channel first."""

    family: ClassVar[Family] = "input"
    arity: ClassVar[int | None] = 0
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "input 1x28x28"
    sole: ClassVar[bool] = True

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

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """The number of elements."""
        from cnnspec.layers.formulas import Formula, Symbol, map_symbols, times

        (shape,) = inputs
        sizes = (Symbol("c", shape[0], "channels"), *map_symbols("n", shape[1:], "map"))
        return (Formula("output", "elements", "n", times(*sizes), sizes),) if len(shape) > 1 else ()


class Reshape(Layer):
    """Reads the elements of a value as another shape, in the same order: channel by channel, row by row."""

    family: ClassVar[Family] = "shape"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "reshape 16x5x5"

    shape: Shape = option(
        sample_shape, "shape of the output, with as many elements: `16x5x5`, `400`", positional=True
    )

    def infer(self, *inputs: Shape) -> Shape:
        """The declared shape."""
        given, needed = product(inputs[0]), product(self.shape)
        if given == needed:
            return self.shape
        raise LayerError(
            "elements-differ",
            f"{show(inputs[0])} cannot become {show(self.shape)}: it has {given} elements, not {needed}",
            option="shape",
            label=_product(self.shape) if len(self.shape) > 1 else "",
            notes=(_product(inputs[0]),) if len(inputs[0]) > 1 else (),
            help=_first_axis(given, self.shape),
        )

    def window(self, *inputs: Shape) -> Window:
        """Positions stay where the spatial axes do; otherwise nothing is known of a unit's neighbours."""
        return "pointwise" if inputs[0][1:] == self.shape[1:] else "everything"

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The number of elements."""
        return tuple(dict.fromkeys(_product(shape) for shape in (inputs[0], self.shape) if len(shape) > 1))


def _product(shape: Shape) -> str:
    """`16 * 5 * 5 = 400`."""
    return f"{' * '.join(map(str, shape))} = {product(shape)}"


def _first_axis(elements: int, shape: Shape) -> tuple[str, ...]:
    """The shape whose channels make the number of elements right, if there is one."""
    if len(shape) == 1:
        return (f"`flatten` gives the vector of {elements}",)
    rest = product(shape[1:])
    return () if elements % rest else (f"`reshape {show((elements // rest, *shape[1:]))}` has as many",)
