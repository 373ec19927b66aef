"""Layers that join several values into one: sums, products, means and concatenations."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, LayerError, Shape, show


class _Merge(Layer):
    """What joins share: any number of inputs, given by branches or by name."""

    family: ClassVar[Family] = "merge"
    arity: ClassVar[int | None] = None
    linear: ClassVar[bool] = True


class _Elementwise(_Merge):
    """What element-wise joins share: equal shapes, or `Cx1x1` beside `CxHxW`, which is repeated."""

    def infer(self, *inputs: Shape) -> Shape:
        """The common shape."""
        widest = max(inputs, key=lambda shape: (len(shape), sum(shape)))
        for number, shape in enumerate(inputs):
            if not _stretches(shape, widest):
                other = inputs.index(widest)
                raise self._mismatch(number, other, inputs)
        return widest

    def _mismatch(self, one: int, other: int, inputs: tuple[Shape, ...]) -> LayerError:
        first, second = sorted((one, other))
        return LayerError(
            "shapes-differ",
            f"`{self.keyword}` cannot join {show(inputs[first])} and {show(inputs[second])}",
            inputs=(first, second),
            help=_advice(inputs[first], inputs[second]),
        )


def _stretches(shape: Shape, onto: Shape) -> bool:
    """Whether a shape is that of the output, or repeats over its positions: `Cx1x1` over `CxHxW`."""
    return shape == onto or (
        len(shape) == len(onto) and shape[0] == onto[0] and all(size == 1 for size in shape[1:])
    )


def _advice(one: Shape, other: Shape) -> tuple[str, ...]:
    if len(one) != len(other):
        return ("both need the same axes: flatten one, or pool the other",)
    if one[0] != other[0]:
        return (f"give both the same channels: `conv {max(one[0], other[0])} 1x1` on the other",)
    return ("give both the same size: the same strides and paddings on every way",)


class Add(_Elementwise):
    """Sum of the inputs, element by element."""

    example: ClassVar[str] = "add skip"


class Multiply(_Elementwise):
    """Product of the inputs, element by element; a `Cx1x1` scales each channel of a `CxHxW`."""

    linear: ClassVar[bool] = False
    example: ClassVar[str] = "multiply gate"


class Mean(_Elementwise):
    """Mean of the inputs, element by element."""

    example: ClassVar[str] = "mean other"


class Concat(_Merge):
    """Concatenation of the inputs along the channels."""

    example: ClassVar[str] = "concat skip"

    def infer(self, *inputs: Shape) -> Shape:
        """`(C1, H, W)`, `(C2, H, W)`, ... to `(C1 + C2 + ..., H, W)`."""
        for number, shape in enumerate(inputs):
            if shape[1:] != inputs[0][1:]:
                raise LayerError(
                    "shapes-differ",
                    f"`concat` cannot join {show(inputs[0])} and {show(shape)}: only channels may differ",
                    inputs=(0, number),
                    help=("give both the same size: the same strides and paddings on every way",),
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The sum of the channels."""
        total = sum(shape[0] for shape in inputs)
        return (f"{' + '.join(str(shape[0]) for shape in inputs)} = {total} channels",)
