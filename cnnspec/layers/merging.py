"""Layers that join several values into one: sums, products, means and concatenations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import Family, Layer, LayerError, Shape, product, show

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula


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
            label=_difference(inputs[first], inputs[second]),
            help=_advice(inputs[first], inputs[second]),
        )


def _stretches(shape: Shape, onto: Shape) -> bool:
    """Whether a shape is that of the output, or repeats over its positions: `Cx1x1` over `CxHxW`."""
    return shape == onto or (
        len(shape) == len(onto) and shape[0] == onto[0] and all(size == 1 for size in shape[1:])
    )


def _difference(one: Shape, other: Shape) -> str:
    if len(one) != len(other):
        return f"{_axes(one)} and {_axes(other)}"
    channels = f"{one[0]} and {other[0]} channels" if one[0] != other[0] else ""
    sizes = f"{show(one[1:])} and {show(other[1:])}" if one[1:] != other[1:] else ""
    return "; ".join(filter(None, (channels, sizes)))


def _axes(shape: Shape) -> str:
    axes = len(shape) - 1
    return f"{axes} spatial {'axis' if axes == 1 else 'axes'}" if axes else "a vector"


def _advice(one: Shape, other: Shape) -> tuple[str, ...]:
    if len(one) != len(other):
        return _axes_advice(*sorted((one, other), key=len))
    advice: tuple[str, ...] = ()
    if one[0] != other[0]:
        fewer, more = sorted((one, other))
        kernel = show((1,) * (len(one) - 1)) or "1"
        layer = f"conv {more[0]} {kernel}" if len(one) > 1 else f"dense {more[0]}"
        advice = (f"`{layer}` behind the {show(fewer)} gives it {more[0]} channels",)
    return advice if one[1:] == other[1:] else (*advice, *_size_advice(one[1:], other[1:]))


def _axes_advice(fewer: Shape, more: Shape) -> tuple[str, ...]:
    if len(fewer) > 1:
        return (f"`reshape` gives the {show(fewer)} as many axes as the {show(more)}",)
    if fewer[0] == more[0]:
        ones = show((fewer[0], *(1 for _ in more[1:])))
        return (f"`reshape {ones}` lets the vector repeat over the map",)
    return (f"`flatten` makes the map a vector of {product(more)}",)


def _size_advice(one: Shape, other: Shape) -> tuple[str, ...]:
    """A factor or a crop that makes the larger as small as the other."""
    small, large = sorted((one, other))
    factor = tuple(n // m for n, m in zip(large, small, strict=True))
    if max(factor) > 1 and tuple(m * k for m, k in zip(small, factor, strict=True)) == large:
        return (f"a stride of {show(factor)} makes {show(large)} as small as {show(small)}",)
    if all(n >= m for n, m in zip(large, small, strict=True)):
        crop = f"`crop to={show(small)}` cuts the {show(large)} to size"
        return (f"`padding=same` keeps the size where a window slides by 1; {crop}",)
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
                    label=_difference((0, *inputs[0][1:]), (0, *shape[1:])),
                    help=_size_advice(inputs[0][1:], shape[1:])
                    if len(shape) == len(inputs[0])
                    else _advice(inputs[0], shape),
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The sum of the channels."""
        total = sum(shape[0] for shape in inputs)
        return (f"{' + '.join(str(shape[0]) for shape in inputs)} = {total} channels",)

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """The sum of the channels."""
        from cnnspec.layers.formulas import Formula, Symbol

        channels = tuple(
            Symbol(f"c_{number}", shape[0], f"channels of input {number}")
            for number, shape in enumerate(inputs, 1)
        )
        right = " + ".join(symbol.name for symbol in channels)
        return (Formula("output", "channels", "c", right, channels),)
