"""The input sizes at which a network fits: `cnnspec check --solve input`.

A size fits where every layer takes what it is given, no stride drops rows or columns behind its last window,
and every claim holds as far as it speaks of no spatial size: that a value has so many channels, or is a
vector of so many elements. Budgets are not asked, since they speak of one size.

Sizes are tried one by one on the graph, which does not depend on them: only shapes are inferred again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.record import record
from cnnspec.layers import AxisWindow, LayerError, show
from cnnspec.layers.shapes import Input
from cnnspec.layers.windows import axis_names, dropped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.layers import Layer, Shape
    from cnnspec.network.graph import Claim, Graph
    from cnnspec.network.report import Json

MOST_WORK: Final = 400_000
"""Layers whose shape is inferred, over all sizes that are tried."""


@record
class Refusal:
    """Why a size does not fit: the layer and what is wrong there."""

    layer: str
    reason: str


@record
class Run:
    """Sizes from `first` to `last`, `step` apart."""

    first: int
    last: int
    step: int


@record
class Solution:
    """The sizes that fit, along the axes that vary together.

    Attributes:
        inputs: the names of the inputs that vary.
        axes: the names of their axes that vary.
        declared: the size that the file states.
        least: the smallest size that was tried.
        most: the largest.
        sizes: those that fit, ascending.
        refusal: why the declared size does not fit, if so.
        shapes: the shapes of the inputs as they are declared.
    """

    inputs: tuple[str, ...]
    axes: tuple[str, ...]
    declared: int
    least: int
    most: int
    sizes: tuple[int, ...]
    refusal: Refusal | None
    shapes: tuple[Shape, ...]

    def runs(self) -> tuple[Run, ...]:
        """The sizes as ranges with equal steps."""
        return runs(self.sizes)


def solve(graph: Graph) -> tuple[Solution, ...]:
    """The sizes from 1 to 1.5 times the declared one that fit.

    Axes of equal length vary together, in all inputs: an image stays square. Otherwise each length varies by
    itself while the others stay. Where sizes are too many, those farthest from the declared one are left out.
    """
    inputs = [index for index in graph.sources() if isinstance(graph.nodes[index].layer, Input)]
    lengths = dict.fromkeys(n for index in inputs for n in graph.nodes[index].layer.infer()[1:])
    return tuple(_vary(graph, inputs, n, len(lengths)) for n in lengths)


def _vary(graph: Graph, inputs: Sequence[int], declared: int, groups: int) -> Solution:
    shapes = {index: graph.nodes[index].layer.infer() for index in inputs}
    varying = [index for index in inputs if declared in shapes[index][1:]]
    axes = [
        name
        for index in varying
        for name, n in zip(axis_names(len(shapes[index]) - 1), shapes[index][1:], strict=True)
        if n == declared
    ]
    most = max(declared * 3 // 2, declared + 1)
    room = max(MOST_WORK // (len(graph.nodes) * groups), 8)
    least = max(1, min(declared - room // 2, most - room))
    most = min(most, least + room - 1)
    trial = _Trial(graph)

    def refusal(size: int) -> Refusal | None:
        changed = {index: _resized(shapes[index], declared, size) for index in varying}
        return trial.refusal({**shapes, **changed})

    return Solution(
        inputs=tuple(graph.nodes[index].name for index in varying),
        axes=tuple(dict.fromkeys(axes)),
        declared=declared,
        least=least,
        most=most,
        sizes=tuple(size for size in range(least, most + 1) if refusal(size) is None),
        refusal=refusal(declared),
        shapes=tuple(shapes[index] for index in varying),
    )


def _resized(shape: Shape, declared: int, size: int) -> Shape:
    return (shape[0], *(size if n == declared else n for n in shape[1:]))


class _Trial:
    """A graph whose shapes are inferred with other inputs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._claims: dict[int, list[Claim]] = {}
        for claim in graph.claims:
            self._claims.setdefault(claim.node, []).append(claim)

    def refusal(self, inputs: dict[int, Shape]) -> Refusal | None:
        """The first thing that does not fit, in the order of the layers."""
        known: list[Shape] = []
        for index, node in enumerate(self._graph.nodes):
            shapes = tuple(known[source] for source in node.inputs)
            try:
                shape = inputs[index] if index in inputs else node.layer.infer(*shapes)
            except LayerError as error:
                return Refusal(node.name, error.message)
            reason = self._denied(index, shape) or (
                _dropped(node.layer, shapes[0], shape) if len(shapes) == 1 else None
            )
            if reason:
                return Refusal(node.name, reason)
            known.append(shape)
        return None

    def _denied(self, node: int, shape: Shape) -> str | None:
        for claim in self._claims.get(node, ()):
            if len(claim.shape) != len(shape) or claim.shape[0] != shape[0]:
                return f"its output is {show(shape)}, and line {claim.span.line} claims {show(claim.shape)}"
        return None


def _dropped(layer: Layer, before: Shape, after: Shape) -> str | None:
    """Positions behind the last window, or behind the stride's gap that follows it."""
    window = layer.window(before)
    if not isinstance(window, tuple) or len(before) != len(after) or len(window) != len(before) - 1:
        return None
    for name, sight, n, outputs in zip(axis_names(len(window)), window, before[1:], after[1:], strict=True):
        lost = dropped(sight, n, outputs) if isinstance(sight, AxisWindow) and sight.stride > 1 else 0
        if lost > 0:
            what = {"height": "row", "width": "column"}.get(name, "position")
            return f"its stride drops the last {what if lost == 1 else f'{lost} {what}s'} of {show(before)}"
    return None


def runs(sizes: Sequence[int]) -> tuple[Run, ...]:
    """Ascending numbers as ranges with equal steps, each as long as it can be; two numbers are no range."""
    found: list[Run] = []
    at = 0
    while at < len(sizes):
        end = at + 1
        step = sizes[end] - sizes[at] if end < len(sizes) else 1
        while end < len(sizes) and sizes[end] - sizes[end - 1] == step:
            end += 1
        if end - at == 2 and step > 1:  # two numbers with a gap: each by itself
            end = at + 1
        found.append(Run(sizes[at], sizes[end - 1], step if end - at > 1 else 1))
        at = end
    return tuple(found)


def solution_report(solution: Solution) -> Json:
    """A solution as plain data."""
    refusal = solution.refusal
    return {
        "inputs": list(solution.inputs),
        "axes": list(solution.axes),
        "declared": solution.declared,
        "fits": refusal is None,
        "refusal": {"layer": refusal.layer, "reason": refusal.reason} if refusal else None,
        "tried": [solution.least, solution.most],
        "sizes": list(solution.sizes),
        "ranges": [{"first": run.first, "last": run.last, "step": run.step} for run in solution.runs()],
    }


# --- in words -----------------------------------------------------------------------------------------------


def sentences(solution: Solution) -> list[str]:
    """The sizes as text."""
    names = " and ".join(f"`{name}`" for name in solution.inputs)
    axes = " = ".join(solution.axes)
    shapes = ", ".join(map(show, dict.fromkeys(solution.shapes)))
    lines = [f"{names} is {shapes}; {axes} tried from {solution.least} to {solution.most}"]
    if solution.refusal:
        refusal = solution.refusal
        lines.append(f"  {solution.declared} (declared) does not fit: `{refusal.layer}`: {refusal.reason}")
        close = sorted(solution.sizes, key=lambda size: abs(size - solution.declared))[:2]
        if close:
            lines.append(f"  closest: {' and '.join(map(str, sorted(close)))}")
    else:
        lines.append(f"  {solution.declared} (declared) fits: nothing is dropped, and every claim holds")
    fitting = [f"  {_words(run)}" for run in solution.runs()]
    return [*lines, "sizes that fit:", *(fitting or ["  none"])]


def _words(run: Run) -> str:
    if run.first == run.last:
        return str(run.first)
    return f"{run.first} to {run.last}" + (f" in steps of {run.step}" if run.step > 1 else "")
