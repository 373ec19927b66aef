"""Fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import Family, Layer, LayerError, Shape, Weight, Window, product
from cnnspec.layers.declaration import option
from cnnspec.layers.digits import HEIGHT, WIDTH, bitmaps
from cnnspec.layers.options import count, flag, one_of

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula


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

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """The elements of the input, parameters and MACs."""
        from cnnspec.layers.formulas import Formula, Symbol, map_symbols, times

        (shape,) = inputs
        n = Symbol("n", product(shape), "elements of the input")
        u = Symbol("u", self.units, "units")
        params = ("each unit's weights and its bias", "u * (n + 1)")
        if not self.bias:
            params = ("each unit's weights", "u * n")
        formulas = (
            Formula("params", params[0], "W", params[1], (u, n)),
            Formula("macs", "every unit with every element", "M", "u * n", (u, n)),
        )
        if len(shape) == 1:
            return formulas
        sizes = (Symbol("c", shape[0], "channels"), *map_symbols("n", shape[1:], "map"))
        return (Formula("output", "elements of the flattened input", "n", times(*sizes), sizes), *formulas)


class Rbf(Layer):
    """Euclidean radial basis functions: the squared distance of the input to each unit's centre.

    Input of any shape with `n` elements, `centers` of `(units, n)`, output `(units,)` with
    `y_i = sum_j (x_j - w_ij)^2`: 0 where the input equals the centre, so that the smallest output wins. The
    output layer of LeNet-5, whose centres are fixed 7x12 bitmaps of the ten digits in -1 and +1 (LeCun et al.
    1998, equation 7). `centers=digits` draws such bitmaps anew (the paper's own are a figure); with
    `centers=random` they are random -1 and +1, the same in every run, which the paper names as another way.
    """

    family: ClassVar[Family] = "dense"
    example: ClassVar[str] = "rbf 10 centers=digits"

    units: int = option(count, "number of units, the length of the output", positional=True)
    centers: str = option(
        one_of("random", "digits"),
        "what the centres begin with: `random` -1 and +1, or `digits`, bitmaps of the ten digits",
        default="random",
    )
    trainable: bool = option(flag, "whether training moves the centres", default=False)

    def infer(self, *inputs: Shape) -> Shape:
        """Any shape to `(units,)`."""
        n, digits = product(inputs[0]), len(bitmaps())
        if self.centers == "digits" and (self.units, n) != (digits, WIDTH * HEIGHT):
            raise LayerError(
                "wrong-centers",
                f"`centers=digits` are {digits} bitmaps of {WIDTH}x{HEIGHT}, for {WIDTH * HEIGHT} inputs",
                option="centers",
                label=f"{self.units} units, {n} inputs",
                help=(f"put `dense {WIDTH * HEIGHT}` before `rbf {digits}`, or write `centers=random`",),
            )
        return (self.units,)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`centers` of `(units, n)`."""
        n = product(inputs[0])
        initial = bitmaps() if self.centers == "digits" else None
        return (
            Weight(
                "centers",
                (self.units, n),
                n,
                self.units,
                trainable=self.trainable,
                initial=sum(initial, ()) if initial else "signs",
            ),
        )

    def window(self, *inputs: Shape) -> Window:
        """Every unit sees the whole input."""
        return "everything"

    def macs(self, *inputs: Shape) -> int:
        """`n * units`, a squared difference counted as one."""
        return product(inputs[0]) * self.units

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """Centres and MACs."""
        from cnnspec.layers.formulas import Formula, Symbol

        n = Symbol("n", product(inputs[0]), "elements of the input")
        u = Symbol("u", self.units, "units")
        return (
            Formula("params", "a centre for each unit", "W", "u * n", (u, n)),
            Formula("macs", "every unit with every element, a squared difference", "M", "u * n", (u, n)),
        )
