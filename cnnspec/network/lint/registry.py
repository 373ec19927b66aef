"""What a lint reads and yields, and the registry of them all.

A lint is a function from a `Subject` to remarks; its name, with hyphens, is the code of its warnings:

    @lint
    def gap_in_pooling(subject: Subject) -> Iterator[Remark]:
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, Severity
from cnnspec.language.record import record
from cnnspec.layers import AxisWindow

if TYPE_CHECKING:
    from cnnspec.language.diagnostics import Label
    from cnnspec.language.source import Span
    from cnnspec.language.syntax import File
    from cnnspec.layers import Window
    from cnnspec.network.graph import Facts, Graph, Node, UseSite
    from cnnspec.recipe import Recipe


@record
class Subject:
    """A file without errors: all that a lint may read. The graph is empty where there is no network."""

    tree: File
    graph: Graph
    facts: Facts
    recipe: Recipe

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The layers, each after its inputs."""
        return self.graph.nodes

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """For each node the nodes that read its output."""
        return self.graph.consumers()

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """What one output of each layer sees."""
        layers = zip(self.nodes, self.facts.layers, strict=True)
        return tuple(node.layer.window(*facts.input_shapes) for node, facts in layers)

    def sliding(self, index: int) -> tuple[AxisWindow, ...]:
        """The window of a convolution or pooling along each axis; none where it is of another kind."""
        window = self.windows[index]
        if isinstance(window, str) or self.nodes[index].layer.family not in ("convolution", "pooling"):
            return ()
        axes = tuple(axis for axis in window if isinstance(axis, AxisWindow))
        return axes if len(axes) == len(window) else ()

    def is_linear(self, index: int) -> bool:
        """Whether a node is a convolution or dense layer without anything in it that is not linear."""
        layer = self.nodes[index].layer
        return layer.linear and layer.family in ("convolution", "dense")


@record
class Remark:
    """One warning of a lint; `uses` are the uses of blocks that led to the place."""

    message: str
    span: Span
    label: str = ""
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    uses: tuple[UseSite, ...] = ()


Lint = Callable[[Subject], Iterable[Remark]]

_LINTS: Final[dict[str, Lint]] = {}


def lint(function: Lint) -> Lint:
    """Register a lint under its name."""
    _LINTS[function.__name__.replace("_", "-")] = function
    return function


def codes() -> tuple[str, ...]:
    """The codes of all lints."""
    return tuple(_LINTS)


def warnings(subject: Subject) -> Iterator[Diagnostic]:
    """The warnings of every lint, one for each place: a line is expanded as often as its block is used."""
    for code, function in _LINTS.items():
        found: dict[Span, list[Remark]] = {}
        for remark in function(subject):
            found.setdefault(remark.span, []).append(remark)
        for remarks in found.values():
            yield _warning(code, remarks)


def _warning(code: str, remarks: list[Remark]) -> Diagnostic:
    first, more = remarks[0], len(remarks) - 1
    notes = [*first.notes, *(use.note() for use in reversed(first.uses))]
    if more:
        notes.append(f"{more} more layer{'s' if more > 1 else ''} made of this line gave the same warning")
    return Diagnostic(
        code,
        first.message,
        first.span,
        label=first.label,
        labels=first.labels,
        notes=tuple(notes),
        help=first.help,
        severity=Severity.WARNING,
    )
