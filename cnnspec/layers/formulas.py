"""Formulas of layers, written once in symbols: the numbers, the result and LaTeX follow from that.

The language of formulas is Python's for whole numbers: `floor((n + p - k) / s) + 1`, with `floor`, `ceil`,
`min` and `max`; quotients are exact. A name such as `k_h` is a symbol with an index. Nothing here is needed
by `cnnspec check`: layers import it where they are asked to explain themselves.
"""

from __future__ import annotations

import ast
import math
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from cnnspec.language.record import record
from cnnspec.layers.windows import axis_names, output_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnspec.layers.base import AxisWindow, Shape, Weight

Topic = Literal["output", "params", "macs", "field", "sharing"]

Number = int | Fraction

FUNCTIONS: Final[dict[str, Callable[..., Number]]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "min": min,
    "max": max,
}
NAME: Final = re.compile(r"[A-Za-z]\w*")


@record
class Symbol:
    """A letter of a formula, its value and its meaning."""

    name: str
    value: Number
    meaning: str


@record
class Formula:
    """One quantity of a layer.

    Attributes:
        topic: the section it belongs to.
        quantity: what is computed, in words.
        left: the symbol of the result.
        right: the expression.
        symbols: the letters of the expression.
        note: a remark.
    """

    topic: Topic
    quantity: str
    left: str
    right: str
    symbols: tuple[Symbol, ...]
    note: str = ""

    @property
    def numbers(self) -> str:
        """The expression with numbers for its symbols."""
        values = {symbol.name: symbol.value for symbol in self.symbols}

        def value(found: re.Match[str]) -> str:
            name = found[0]
            if name not in values:
                return name
            text = number_text(values[name])
            before = self.right[: found.start()].rstrip()
            return f"({text})" if values[name] < 0 and before and before[-1] not in "(," else text

        return NAME.sub(value, self.right)

    @property
    def result(self) -> Number:
        """The value of the expression."""
        values = {symbol.name: symbol.value for symbol in self.symbols}
        return _value(ast.parse(self.right, mode="eval").body, values)


def number_text(number: Number) -> str:
    """A number as it is written in a formula: `2.5` for a half, `7/3` where decimals have no end."""
    if isinstance(number, int) or number.denominator == 1:
        return str(int(number))
    return str(float(number)) if number.denominator in (2, 4, 5, 8, 10) else str(number)


def _value(node: ast.expr, values: dict[str, Number]) -> Number:
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name](*(_value(argument, values) for argument in arguments))
        case ast.BinOp(left=left, op=operator, right=right):
            return _operate(operator, _value(left, values), _value(right, values))
        case _:
            raise ValueError(f"no formula: {ast.unparse(node)}")


def _operate(operator: ast.operator, left: Number, right: Number) -> Number:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            quotient = Fraction(left) / right
            return quotient.numerator if quotient.denominator == 1 else quotient
        case _:
            raise ValueError(f"no operator of formulas: {operator}")


# --- what layers share --------------------------------------------------------------------------------------

_SUFFIXES: Final = {1: ("",), 2: ("_h", "_w"), 3: ("_d", "_h", "_w")}


def suffixes(axes: int) -> tuple[str, ...]:
    """What is written behind the letter of each axis: `k_h`, `k_w`."""
    return _SUFFIXES.get(axes) or tuple(f"_{number}" for number in range(1, axes + 1))


def alike(items: Sequence[object]) -> bool:
    """Whether one formula says it for every axis."""
    return len(items) == 1 or len(set(items)) == 1


def every_axis(axes: int) -> str:
    """`height and width`."""
    names = axis_names(axes)
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def window_sizes(
    sizes: Shape, windows: Sequence[AxisWindow], *, ceil: bool = False, what: str = "kernel"
) -> tuple[Formula, ...]:
    """The output size of a sliding window along every axis, in one formula where all are alike."""
    axes = len(sizes)
    pairs = list(zip(sizes, windows, strict=True))
    if alike(pairs):
        return (_window_size(every_axis(axes), "", *pairs[0], ceil, what),)
    rows = zip(axis_names(axes), suffixes(axes), pairs, strict=True)
    return tuple(_window_size(name, suffix, *pair, ceil, what) for name, suffix, pair in rows)


def _window_size(axis: str, suffix: str, n: int, window: AxisWindow, ceil: bool, what: str) -> Formula:
    def named(letter: str) -> str:
        return letter + suffix

    reach = named("k")
    if window.dilation > 1:
        reach = f"({named('d')} * ({named('k')} - 1) + 1)"
    quotient = f"({named('n')} + {named('p')} - {reach}) / {named('s')}"
    right = f"{'ceil' if ceil else 'floor'}({quotient})"
    free = n + window.before + window.after - window.reach
    cut = ceil and output_size(n, window, ceil) == -(-free // window.stride)
    if not cut:
        right += " + 1"
    symbols = [
        Symbol(named("n"), n, f"{axis} of the input"),
        Symbol(
            named("p"),
            window.before + window.after,
            f"padding, {window.before} before and {window.after} behind",
        ),
        Symbol(named("k"), window.kernel, f"size of the {what}"),
        Symbol(named("s"), window.stride, "stride"),
    ]
    if window.dilation > 1:
        symbols.append(Symbol(named("d"), window.dilation, f"distance between the elements of the {what}"))
    note = "a last window would begin in the padding behind, and is left out" if cut else ""
    if not note and window == type(window)(window.kernel):
        note = "with stride 1 and no padding this is n - k + 1"
    return Formula("output", axis, named("m"), right, tuple(symbols), note)


def kernel_symbols(kernel: Sequence[int]) -> tuple[Symbol, ...]:
    """The size of a kernel along every axis: `k_h`, `k_w`."""
    names = axis_names(len(kernel))
    return tuple(
        Symbol(f"k{suffix}", k, f"{name} of the kernel")
        for name, suffix, k in zip(names, suffixes(len(kernel)), kernel, strict=True)
    )


def map_symbols(letter: str, sizes: Sequence[int], what: str) -> tuple[Symbol, ...]:
    """The size of a map along every axis: `m_h`, `m_w`."""
    names = axis_names(len(sizes))
    return tuple(
        Symbol(f"{letter}{suffix}", n, f"{name} of the {what}")
        for name, suffix, n in zip(names, suffixes(len(sizes)), sizes, strict=True)
    )


def times(*symbols: Symbol) -> str:
    """`k_h * k_w`."""
    return " * ".join(symbol.name for symbol in symbols)


def convolution_costs(
    shape: Shape, output: Shape, weights: Sequence[Weight], groups: int
) -> tuple[Formula, ...]:
    """Parameters and MACs of one kernel for each output channel, over the input channels of its group."""
    area = kernel_symbols(weights[0].shape[2:])
    c_i = Symbol("c_i", shape[0], "channels of the input")
    c_o = Symbol("c_o", output[0], "channels of the output, one for each kernel")
    g = (Symbol("g", groups, "groups of channels"),) if groups > 1 else ()
    kernel = f"{'c_i / g' if groups > 1 else 'c_i'} * {times(*area)}"
    symbols = (c_i, *g, *area)
    grid = map_symbols("m", output[1:], "output")
    one, every, right = "one kernel", "all kernels", f"c_o * {kernel}"
    own = kernel
    if len(weights) > 1:
        one, every, own, right = (
            f"{one} and its bias",
            f"{every} and biases",
            f"{kernel} + 1",
            f"c_o * ({kernel} + 1)",
        )
    return (
        Formula("params", one, "w", own, symbols),
        Formula("params", every, "W", right, (c_o, *symbols)),
        Formula("macs", EVERYWHERE, "M", f"{times(*grid)} * c_o * {kernel}", (*grid, c_o, *symbols)),
    )


EVERYWHERE: Final = "each kernel element at each position of the output"


def connected_costs(output: Shape, weights: Sequence[Weight]) -> tuple[Formula, ...]:
    """Parameters and MACs where a table says which channels are connected: a kernel for each pair."""
    q = Symbol("q", weights[0].shape[0], "pairs of an input and an output channel that are connected")
    c_o = Symbol("c_o", output[0], "channels of the output, each with a bias")
    area = kernel_symbols(weights[0].shape[1:])
    grid = map_symbols("m", output[1:], "output")
    kernels = f"q * {times(*area)}"
    bias = len(weights) > 1
    params = Formula(
        "params",
        "a kernel for each pair" + (", and biases" if bias else ""),
        "W",
        f"{kernels} + c_o" if bias else kernels,
        (q, *area, *([c_o] if bias else [])),
    )
    return params, Formula("macs", EVERYWHERE, "M", f"{times(*grid)} * {kernels}", (*grid, q, *area))


def grouped_sizes(sizes: Sequence[int]) -> str:
    """`6 * 28 * 28 = 4,704`; one number alone is only itself."""
    total = math.prod(sizes)
    return f"{' * '.join(map(str, sizes))} = {total:,}" if len(sizes) > 1 else f"{total:,}"
