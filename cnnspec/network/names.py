"""Names of layers: given in the file or made, unique, and the same at every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.record import field, state
from cnnspec.language.syntax import Body, Chain, If, LayerCall, Repeat

if TYPE_CHECKING:
    from collections.abc import Iterator


@state
class Names:
    """The names within a network, a block's use, or a named repetition.

    Layers without a name are called by their keyword and counted: `conv1`, `conv2`. Names that the file gives
    are passed over in the counting. `taken` holds every full name so far, and how often it was asked for.
    """

    prefix: str
    reserved: frozenset[str]
    taken: dict[str, int]
    counts: dict[str, int] = field(default_factory=dict)

    def made(self, keyword: str) -> str:
        """The next name for a keyword."""
        while True:
            self.counts[keyword] = self.counts.get(keyword, 0) + 1
            name = f"{keyword}{self.counts[keyword]}"
            if name not in self.reserved:
                return self.unique(name)

    def unique(self, name: str) -> str:
        """A full name that is not taken yet: the name itself, or counted from 2 on."""
        full = first = self.prefix + name
        while full in self.taken:
            self.taken[first] += 1
            full = f"{first}{self.taken[first]}"
        self.taken[full] = 1
        return full

    def inner(self, name: str, body: Body) -> Names:
        """The names within something that has a name itself."""
        return Names(f"{name}.", given_names(body), self.taken)


def given_names(body: Body) -> frozenset[str]:
    """Every name that a body gives, in bodies within it too."""
    return frozenset(_given(body))


def _given(body: Body) -> Iterator[str]:
    for statement in body.statements:
        if isinstance(statement, Chain):
            if statement.name is not None:
                yield statement.name.text
            for link in statement.links:
                yield from _given_in_link(link)


def _given_in_link(link: LayerCall | Repeat | If) -> Iterator[str]:
    inner: Body | If | None = link.body if isinstance(link, LayerCall | Repeat) else link
    while isinstance(inner, If):
        yield from _given(inner.then)
        inner = inner.otherwise
    if inner is not None:
        yield from _given(inner)
