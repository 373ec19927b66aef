"""Which function says a layer kind in another system, and what there is no function for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from cnnspec.language.diagnostics import Diagnostic, in_order
from cnnspec.language.errors import SpecError
from cnnspec.layers import kinds

if TYPE_CHECKING:
    from cnnspec.layers import Layer
    from cnnspec.network.graph import Graph, Node

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")


class NotCovered(Exception):  # noqa: N818 - no error of ours
    """A system has no way to say a layer with these options; the text is what it lacks.

    `option` is what asks for it, and `help` what to do instead.
    """

    def __init__(self, reason: str, *, option: str | None = None, help: str | None = None) -> None:
        super().__init__(reason)
        self.option = option
        self.help = help


class Table(Generic[F]):
    """Functions by layer kind, for one system."""

    def __init__(self, system: str) -> None:
        self.system: Final = system
        self._functions: dict[type[Layer], F] = {}

    def says(self, *kinds: type[Layer]) -> Callable[[F], F]:
        """Register the decorated function for these kinds."""

        def register(function: F) -> F:
            for kind in kinds:
                self._functions[kind] = function
            return function

        return register

    def of(self, layer: Layer) -> F:
        """The function of a layer's kind.

        Raises:
            NotCovered: there is none.
        """
        try:
            return self._functions[type(layer)]
        except KeyError:
            raise NotCovered(f"there is no `{layer.keyword}`") from None

    def covered(self) -> set[str]:
        """The keywords of all kinds that have a function."""
        return {keyword for keyword, kind in kinds().items() if kind in self._functions}


def each_node(graph: Graph, system: str, say: Callable[[int, Node], T]) -> list[T]:
    """What `say` makes of every node, in order.

    Raises:
        SpecError: the system cannot say some of them; all of these are named.
    """
    said, findings = [], []
    for index, node in enumerate(graph.nodes):
        try:
            said.append(say(index, node))
        except NotCovered as reason:
            findings.append(_finding(node, system, reason))
    if findings:
        raise SpecError(in_order(findings))
    return said


def _finding(node: Node, system: str, reason: NotCovered) -> Diagnostic:
    return Diagnostic(
        "not-covered",
        f"{system} cannot say `{node.name}`: {reason}",
        node.origin.place(reason.option),
        notes=tuple(use.note() for use in reversed(node.origin.uses)),
        help=(reason.help,) if reason.help else (),
    )
