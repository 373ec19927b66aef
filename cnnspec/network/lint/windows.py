"""Lints of single windows: what a stride drops or leaps over, and padding and kernels that do not suit it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from cnnspec.layers import AxisWindow, LayerError, show
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.windows import TransposedWindow, axis_names, dropped
from cnnspec.network.lint.registry import Remark, Subject, lint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cnnspec.language.source import Span
    from cnnspec.layers import Layer, Shape
    from cnnspec.network.graph import Node

_POSITIONS: Final = {"height": "row", "width": "column", "depth": "frame"}


@lint
def dropped_border(subject: Subject) -> Iterator[Remark]:
    """Rows or columns at the end of a map that no window reaches, since the stride does not come out even.

    Padding that no window reaches is no loss, nor is what a stride larger than the window leaps over anyway.
    """
    for index, node in enumerate(subject.nodes):
        facts, windows = subject.facts.layers[index], subject.sliding(index)
        if not windows:
            continue
        (shape,) = facts.input_shapes
        outputs = subject.facts.shape(index)[1:]
        lost = _dropped(shape[1:], windows, outputs)
        if not any(lost):
            continue
        axis = next(axis for axis, count in enumerate(lost) if count)
        yield Remark(
            f"a stride of {_all(window.stride for window in windows)} drops the last "
            f"{_in_words(lost)} of the {_map(shape)}",
            _place(node, "stride", "kernel"),
            label=_reached(shape[1:][axis], windows[axis], outputs[axis]),
            notes=(f"the input of `{node.name}` is {show(shape)}",),
            help=(_covering(node.layer, shape, windows, outputs),),
            uses=node.origin.uses,
        )


@lint
def gap_in_pooling(subject: Subject) -> Iterator[Remark]:
    """A pooling whose stride is larger than its window. One of 1x1 is meant to leave positions out."""
    for index, node in enumerate(subject.nodes):
        windows = subject.sliding(index)
        if node.layer.family != "pooling" or all(window.kernel == 1 for window in windows):
            continue
        outputs = subject.facts.shape(index)[1:]
        wide = [w for w, size in zip(windows, outputs, strict=True) if w.stride > w.reach and size > 1]
        if not wide:
            continue
        (shape,) = subject.facts.layers[index].input_shapes
        stride, reach = wide[0].stride, wide[0].reach
        yield Remark(
            f"a stride of {_all(w.stride for w in windows)} leaps over a part of the {_map(shape)}: "
            f"its windows are {show(tuple(w.reach for w in windows))}",
            _place(node, "stride", "kernel"),
            label=f"{stride} - {reach} = {stride - reach} of every {stride} positions are in no window",
            help=(f"use `stride={_all(min(w.stride, w.reach) for w in windows)}`, or a window as large",),
            uses=node.origin.uses,
        )


@lint
def useless_padding(subject: Subject) -> Iterator[Remark]:
    """Padding beside a stride above 1 without which the output is as large, and sees as much of the map."""
    for index, node in enumerate(subject.nodes):
        windows = subject.sliding(index)
        if "padding" not in node.origin.arguments or not any(
            window.stride > 1 and window.before + window.after for window in windows
        ):
            continue
        (shape,) = subject.facts.layers[index].input_shapes
        outputs = subject.facts.shape(index)
        bare = _changed(node.layer, shape, padding=0)
        if bare is None or bare.infer(shape) != outputs:
            continue
        axes = list(zip(shape[1:], windows, outputs[1:], strict=True))
        with_it, without = ([_seen(*axis, padded=padded) for axis in axes] for padded in (True, False))
        if any(fewer < more for fewer, more in zip(without, with_it, strict=True)):
            continue
        yield Remark(
            f"the padding makes the output of `{node.name}` no larger, and shows it no more of the map",
            node.origin.place("padding"),
            label=f"{node.layer.arithmetic(shape)[0]}; without it {bare.arithmetic(shape)[0]}",
            notes=(
                f"it sees {show(tuple(with_it))} of the {_map(shape)}, and {show(tuple(without))} without it",
            ),
            help=("leave `padding` out",),
            uses=node.origin.uses,
        )


@lint
def checkerboard(subject: Subject) -> Iterator[Remark]:
    """A transposed convolution that adds up differently many products for neighbouring outputs."""
    for node, window in zip(subject.nodes, subject.windows, strict=True):
        axes = [axis for axis in window if isinstance(axis, TransposedWindow)]
        uneven = [axis for axis in axes if _is_uneven(axis)]
        if not uneven:
            continue
        axis = uneven[0]
        least = 0 if math.gcd(axis.stride, axis.dilation) > 1 else axis.kernel // axis.stride
        most = -(-axis.kernel // axis.stride)
        even = tuple(-(-a.kernel // a.stride) * a.stride for a in axes)
        rest = f"{axis.kernel} / {axis.stride} leaves {axis.kernel % axis.stride}"
        yield Remark(
            f"the {_all(a.kernel for a in axes)} kernel overlaps unevenly at a stride of "
            f"{_all(a.stride for a in axes)}",
            _place(node, "kernel"),
            label=f"{rest}: along an axis outputs get {least} or {most} of its elements by turns",
            notes=("the outputs show it as a checkerboard (Odena, Dumoulin & Olah 2016)",),
            help=(
                f"{_article(even[0])} {show(even)} kernel overlaps evenly; so does "
                f"`upsample {_all(a.stride for a in axes)}` before a `conv`",
            ),
            uses=node.origin.uses,
        )


# --- arithmetic -------------------------------------------------------------------------------------------


def _dropped(sizes: Shape, windows: Sequence[AxisWindow], outputs: Shape) -> list[int]:
    """The positions behind the last window, along each axis."""
    return [
        dropped(window, n, count) if window.stride > 1 else 0
        for n, window, count in zip(sizes, windows, outputs, strict=True)
    ]


def _reached(n: int, window: AxisWindow, outputs: int) -> str:
    """`(27 - 1) * 2 + 2 = 54 of 55`."""
    padding = f" - {window.before}" if window.before else ""
    end = (outputs - 1) * window.stride + window.reach - window.before
    return f"({outputs} - 1) * {window.stride} + {window.reach}{padding} = {end} of {n}"


def _seen(n: int, window: AxisWindow, outputs: int, *, padded: bool) -> int:
    """Positions of the map from the first to the last that a window sees."""
    before = window.before if padded else 0
    return min(n, (outputs - 1) * window.stride + window.reach - before)


def _is_uneven(window: TransposedWindow) -> bool:
    """Whether some outputs between two inputs meet more elements of the kernel than others."""
    return window.stride > 1 and (
        window.kernel % window.stride > 0 or math.gcd(window.stride, window.dilation) > 1
    )


# --- fixes ------------------------------------------------------------------------------------------------


def _changed(layer: Layer, shape: Shape, **changes: object) -> Layer | None:
    """The layer with some options changed, where it then still takes such an input."""
    try:
        changed = layer.replaced(**changes)
        changed.infer(shape)
    except (LayerError, OptionError):
        return None
    return changed


def _covering(layer: Layer, shape: Shape, windows: Sequence[AxisWindow], outputs: Shape) -> str:
    """What lets the windows reach the whole map."""
    ways = []
    if "ceil" in layer.options() and _covers(layer, shape, ceil=True):
        ways.append("`ceil=true`")
    paddings = range(1, max(window.reach for window in windows) // 2 + 1)
    around = next((p for p in paddings if _covers(layer, shape, padding=p)), None)
    if around is not None:
        ways.append(f"`padding={around}`")
    fits = tuple(n - lost for n, lost in zip(shape[1:], _dropped(shape[1:], windows, outputs), strict=True))
    fitting = f"{_article(fits[0])} {_map((1, *fits))}" if len(fits) > 1 else f"a length of {fits[0]}"
    even = f"{fitting} comes out even"
    return f"{' or '.join(ways)} lets the windows reach all of it; {even}" if ways else even


def _covers(layer: Layer, shape: Shape, **changes: object) -> bool:
    changed = _changed(layer, shape, **changes)
    if changed is None:
        return False
    windows = [axis for axis in changed.window(shape) if isinstance(axis, AxisWindow)]
    return not any(_dropped(shape[1:], windows, changed.infer(shape)[1:]))


# --- words ------------------------------------------------------------------------------------------------


def _place(node: Node, *options: str) -> Span:
    """Where the first of the options stands that was written; else the keyword."""
    given = (node.origin.arguments[option] for option in options if option in node.origin.arguments)
    return next(given, node.origin.keyword)


def _all(sizes: Iterable[int]) -> str:
    """`2` where all are alike, else `2x1`."""
    known = tuple(sizes)
    return str(known[0]) if len(set(known)) == 1 else show(known)


def _map(shape: Shape) -> str:
    return f"{show(shape[1:])} map" if len(shape) > 2 else f"{shape[1]} positions"


def _in_words(lost: Sequence[int]) -> str:
    """`row and column`, `2 positions`."""
    names = [_POSITIONS.get(name, "position") for name in axis_names(len(lost))]
    parts = [
        name if count == 1 else f"{count} {name}s" for name, count in zip(names, lost, strict=True) if count
    ]
    return " and ".join(parts)


def _article(number: int) -> str:
    return "an" if str(number).startswith(("8", "11", "18")) else "a"
