"""One output element by hand: the window, the kernel, their products, the sum and the bias.

As the lecture has it: `[0, 1, 3, 4] . [0, 1, 2, 3] = 0 * 0 + 1 * 1 + 3 * 2 + 4 * 3 = 19`. Values are asked
for one by one, so that it does not matter here what kind of array holds them.
"""

from __future__ import annotations

import math
from itertools import product as every
from typing import TYPE_CHECKING, Final

from cnnspec.language.record import record
from cnnspec.layers import show
from cnnspec.layers.terms import inside
from cnnspec.network.document import Dot, Grid, Line, Section, Text
from cnnspec.network.unit import lines_of, look
from cnnspec.network.unit import sentences as unit_sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cnnspec.layers import Shape
    from cnnspec.layers.terms import Terms
    from cnnspec.network.graph import Facts, Graph

MOST_CHANNELS: Final = 8
"""Channels that are shown with window and kernel; of the others only their sums."""
MOST_SIDE: Final = 11
"""Rows and columns of a window that is shown."""
MOST_PRODUCTS: Final = 9
"""Products that are written out."""


class WalkError(ValueError):
    """There is nothing to walk; the text says why."""


@record
class Values:
    """The numbers of a walk: elements of the layer's input, and of its weights by name."""

    input: Callable[[tuple[int, ...]], float]
    weight: Callable[[str, tuple[int, ...]], float]


@record
class Part:
    """What one channel of the input adds: the elements of its window and of its kernel, row by row."""

    channel: int
    window: tuple[float, ...]
    kernel: tuple[float, ...]

    @property
    def products(self) -> tuple[float, ...]:
        """Element by element; the window itself where there is no kernel."""
        if not self.kernel:
            return self.window
        return tuple(a * b for a, b in zip(self.window, self.kernel, strict=True))


def terms_of(graph: Graph, facts: Facts, index: int, channel: int, unit: Sequence[int]) -> Terms:
    """What one output element of a layer is made of.

    Raises:
        WalkError: the layer has no window, or no such channel.
        UnitError: it has no such position.
    """
    node, layer = graph.nodes[index], facts.layers[index]
    shape = facts.shape(index)
    look(graph, facts, index, unit)
    if not 0 <= channel < shape[0]:
        raise WalkError(
            f"`{node.name}` is {show(shape)}: its channels go from 0 to {shape[0] - 1}, not {channel}"
        )
    terms = node.layer.terms(channel, tuple(unit), *layer.input_shapes)
    if terms is None:
        raise WalkError(f"`{node.name}` has no window: convolutions and poolings can be walked")
    return terms


def parts(terms: Terms, shape: Shape, values: Values) -> list[Part]:
    """The window of every channel, padding as 0, and its kernel."""
    places = terms.positions if terms.how == "sum" else inside(terms.positions, shape)
    return [
        Part(
            channel,
            tuple(_element(values, channel, at, shape) for at in every(*places)),
            tuple(values.weight("weight", (*prefix, *at)) for at in every(*(range(len(p)) for p in places)))
            if prefix is not None
            else (),
        )
        for channel, prefix in zip(terms.channels, terms.kernels or [None] * len(terms.channels), strict=True)
    ]


def _element(values: Values, channel: int, at: tuple[int, ...], shape: Shape) -> float:
    within = all(0 <= p < n for p, n in zip(at, shape[1:], strict=True))
    return values.input((channel, *at)) if within else 0.0


def result(terms: Terms, found: Sequence[Part], values: Values) -> float:
    """The output element."""
    numbers = [number for part in found for number in part.products]
    match terms.how:
        case "maximum":
            return max(numbers)
        case "root of squares":
            return math.sqrt(math.fsum(number * number for number in numbers))
        case "mean":
            return math.fsum(numbers) / terms.divisor
        case "sum":
            total = math.fsum(numbers)
    if terms.scaled is not None:
        total *= values.weight("coefficient", (terms.scaled,))
    return total + (values.weight("bias", (terms.biased,)) if terms.biased is not None else 0.0)


def walk(
    graph: Graph, facts: Facts, index: int, channel: int, unit: Sequence[int], values: Values | None
) -> Section:
    """The section of a document that makes one output element; with values also its number.

    Raises:
        WalkError: the layer has no window, or no such channel.
        UnitError: it has no such position.
    """
    terms = terms_of(graph, facts, index, channel, unit)
    shape = facts.layers[index].input_shapes[0]
    place = ", ".join(map(str, (channel, *unit)))
    lines: list[Line] = [*map(Text, unit_sentences(look(graph, facts, index, unit)))]
    lines += [
        Text(f"its window in `{graph.nodes[graph.nodes[index].inputs[0]].name}`: {_places(terms, shape)}")
    ]
    if values is None:
        lines.append(Text("with --weights and --image it is computed"))
    else:
        lines += _computed(terms, shape, values, place)
    return Section(f"output element ({place})", tuple(lines))


def _places(terms: Terms, shape: Shape) -> str:
    kinds = lines_of(len(terms.positions))
    axes = " and ".join(map(_range, kinds, terms.positions))
    count = len(terms.channels)
    channels = f"channel {terms.channels[0]}" if count == 1 else f"{count} channels"
    outside = terms.positions != inside(terms.positions, shape)
    return f"{axes} of {channels}" + (", partly in the padding" if outside else "")


def _range(kind: str, positions: range) -> str:
    if len(positions) == 1:
        return f"{kind.rstrip('s')} {positions[0]}"
    step = f" in steps of {positions.step}" if positions.step > 1 else ""
    return f"{kind} {positions[0]} to {positions[-1]}{step}"


def _computed(terms: Terms, shape: Shape, values: Values, place: str) -> Iterator[Line]:
    found = parts(terms, shape, values)
    places = terms.positions if terms.how == "sum" else inside(terms.positions, shape)
    sizes = tuple(map(len, places))
    for part in found[:MOST_CHANNELS]:
        yield from _shown(terms, part, sizes)
    if len(found) > MOST_CHANNELS:
        rest = math.fsum(p for part in found[MOST_CHANNELS:] for p in part.products)
        yield Text(f"the other {len(found) - MOST_CHANNELS} channels add {_number(rest)}")
    total = result(terms, found, values)
    if terms.how == "sum":
        yield from _summed(terms, found, values, total)
    yield Text(f"output element ({place}) is {_number(total)}")


def _shown(terms: Terms, part: Part, sizes: tuple[int, ...]) -> Iterator[Line]:
    if 1 <= len(sizes) <= 2 and max(sizes) <= MOST_SIDE:
        window = _rows(part.window, sizes[-1])
        titles, grids = (f"channel {part.channel}: window",), (window,)
        if part.kernel:
            titles, grids = (*titles, "kernel"), (*grids, _rows(part.kernel, sizes[-1]))  # type: ignore[assignment]
        yield Grid(titles, grids)
    numbers = part.products
    match terms.how:
        case "maximum":
            yield Dot(
                f"max({', '.join(map(_number, numbers))})" if _few(numbers) else "maximum",
                _number(max(numbers)),
            )
        case "mean":
            total = f"({' + '.join(map(_factor, numbers))})" if _few(numbers) else _number(math.fsum(numbers))
            yield Dot(f"{total} / {terms.divisor}", _number(math.fsum(numbers) / terms.divisor))
        case "root of squares":
            squares = math.fsum(number * number for number in numbers)
            yield Dot(f"sqrt({_number(squares)})", _number(math.sqrt(squares)))
        case "sum":
            yield Dot(_products(part), _number(math.fsum(numbers)))


def _few(numbers: Sequence[float]) -> bool:
    return len(numbers) <= MOST_PRODUCTS


def _products(part: Part) -> str:
    if not _few(part.window):
        what = "products" if part.kernel else "elements"
        return f"the sum of {len(part.window)} {what}"
    if not part.kernel:
        return " + ".join(map(_factor, part.window))
    pairs = zip(part.window, part.kernel, strict=True)
    return " + ".join(f"{_factor(a)} * {_factor(b)}" for a, b in pairs)


def _summed(terms: Terms, found: Sequence[Part], values: Values, total: float) -> Iterator[Line]:
    """The sum over the channels, times the coefficient, plus the bias."""
    sums = [math.fsum(part.products) for part in found]
    text = " + ".join(map(_factor, sums)) if _few(sums) else _number(math.fsum(sums))
    if terms.scaled is not None:
        text = f"{text} * {_factor(values.weight('coefficient', (terms.scaled,)))}"
    if terms.biased is not None:
        text += f" + {_factor(values.weight('bias', (terms.biased,)))}"
        text = f"{text} (the bias)" if len(sums) == 1 else f"{text} (the last is the bias)"
    if len(sums) > 1 or terms.biased is not None or terms.scaled is not None:
        yield Dot(text, _number(total))


def _rows(numbers: Sequence[float], width: int) -> tuple[tuple[str, ...], ...]:
    texts = list(map(_number, numbers))
    return tuple(tuple(texts[i : i + width]) for i in range(0, len(texts), width))


def _number(value: float) -> str:
    """A whole number as it is, another with four digits."""
    if abs(value) < 1e9 and value == round(value):
        return str(round(value))
    return f"{value:.4g}"


def _factor(value: float) -> str:
    return f"({_number(value)})" if value < 0 else _number(value)
