"""What changed from one network to another, layer by layer: `cnnspec diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from cnnspec.language.record import fields, record
from cnnspec.language.syntax import Train
from cnnspec.network.align import Match, align
from cnnspec.network.columns import CHOICES, cells, entries, texts
from cnnspec.network.table import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnspec.network.check import Checked
    from cnnspec.network.columns import Cell
    from cnnspec.network.graph import Graph
    from cnnspec.network.report import Json
    from cnnspec.network.table import Row

SCHEMA: Final = "cnnspec-diff-1"
COMPARED: Final = ("what", "output", "params", "trainable", "macs", "field", "jump", "start")
"""Columns whose cells are compared; `what` holds kind and options."""
SHOWN: Final = ("name", "what", "output", "params", "macs", "field", "jump", "start")

Status = Literal["same", "renamed", "changed", "moved", "added", "removed"]


@record
class Change:
    """One thing that is different: a column, or `reads` for the layers whose outputs a layer takes."""

    what: str
    before: Cell
    after: Cell


@record
class LayerDiff:
    """One layer of either network, or of both.

    Attributes:
        status: what became of it.
        before: its name in the first network.
        after: its name in the second.
        changes: what differs, if it is in both.
        old: its row in a table of the first network, as `SHOWN`.
        new: its row in a table of the second.
    """

    status: Status
    before: str | None
    after: str | None
    changes: tuple[Change, ...]
    old: Row | None
    new: Row | None


@record
class Difference:
    """Two networks compared. Totals and settings are all there, also where they are equal."""

    before: Checked
    after: Checked
    layers: tuple[LayerDiff, ...]
    totals: tuple[Change, ...]
    settings: tuple[Change, ...]

    @property
    def same(self) -> bool:
        """Whether nothing at all differs."""
        return all(layer.status == "same" for layer in self.layers) and not self.settings


def compare(before: Checked, after: Checked) -> Difference:
    """Compare two networks.

    Raises:
        SpecError: one of them has errors, or is none.
    """
    pair = before.network(), after.network()
    matches = align(*pair)
    reads = _Reads(pair[0][0], pair[1][0], matches)
    sides = [_Side(checked) for checked in (before, after)]
    return Difference(
        before,
        after,
        tuple(_layer(match, sides[0], sides[1], reads) for match in matches),
        _totals(before, after),
        _settings(before, after),
    )


class _Side:
    """The rows of one network: cells to compare, and cells to show."""

    def __init__(self, checked: Checked) -> None:
        graph, facts = checked.network()
        by_name = {choice.name: choice for choice in CHOICES}
        rows, totals = entries(graph, facts), facts.totals()
        self.names = [node.name for node in graph.nodes]
        self.cells = list(cells([by_name[name] for name in COMPARED], rows, totals))
        self.shown = texts([by_name[name] for name in SHOWN], rows, totals)


def _layer(match: Match, one: _Side, other: _Side, reads: _Reads) -> LayerDiff:
    a, b = match.before, match.after
    if a is None:
        assert b is not None
        return LayerDiff("added", None, other.names[b], (), None, other.shown[b])
    if b is None:
        return LayerDiff("removed", one.names[a], None, (), one.shown[a], None)
    pairs = zip(COMPARED, one.cells[a], other.cells[b], strict=True)
    changes = [Change(what, old, new) for what, old, new in pairs if old != new]
    if not match.moved:
        changes += reads.change(a, b)
    renamed = one.names[a] != other.names[b]
    status: Status = "moved" if match.moved else "changed" if changes else "renamed" if renamed else "same"
    return LayerDiff(status, one.names[a], other.names[b], tuple(changes), one.shown[a], other.shown[b])


class _Reads:
    """Which layers a layer takes its inputs from, through those that are added, removed or moved."""

    def __init__(self, before: Graph, after: Graph, matches: Sequence[Match]) -> None:
        self._before, self._after = before, after
        kept = [m for m in matches if not m.moved and m.before is not None and m.after is not None]
        self._old = {m.before for m in kept}
        self._new = {m.after: m.before for m in kept}

    def change(self, a: int, b: int) -> list[Change]:
        """The inputs, if they are no longer the same."""
        old = [_behind(self._before, i, self._old) for i in self._before.nodes[a].inputs]
        new = [_behind(self._after, i, set(self._new)) for i in self._after.nodes[b].inputs]
        if old == [self._new.get(i) for i in new]:
            return []
        return [Change("reads", self._names(self._before, a), self._names(self._after, b))]

    @staticmethod
    def _names(graph: Graph, node: int) -> str:
        return ", ".join(graph.nodes[i].name for i in graph.nodes[node].inputs)


def _behind(graph: Graph, node: int, kept: set[int | None]) -> int | None:
    """The first layer, going back, that both networks have."""
    while node not in kept:
        if not graph.nodes[node].inputs:
            return None
        node = graph.nodes[node].inputs[0]
    return node


def _totals(before: Checked, after: Checked) -> tuple[Change, ...]:
    old, new = before.facts.totals(), after.facts.totals()
    return tuple(Change(name, getattr(old, name), getattr(new, name)) for name in fields(old))


def _settings(before: Checked, after: Checked) -> tuple[Change, ...]:
    """What differs in the `train` blocks; nothing where neither file has one."""
    if not any(isinstance(item, Train) for checked in (before, after) for item in checked.tree.items):
        return ()
    old, new = before.recipe, after.recipe
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in fields(old)]
    return tuple(Change(name, str(one), str(other)) for name, one, other in pairs if one != other)


# --- as data and as text ------------------------------------------------------------------------------------


def diff_report(difference: Difference) -> Json:
    """The whole comparison as plain data."""
    return {
        "schema": SCHEMA,
        "before": {"file": difference.before.source.name, "network": difference.before.network()[0].name},
        "after": {"file": difference.after.source.name, "network": difference.after.network()[0].name},
        "same": difference.same,
        "layers": [
            {
                "status": layer.status,
                "before": layer.before,
                "after": layer.after,
                "changes": _changes(layer.changes),
            }
            for layer in difference.layers
        ],
        "totals": _changes(difference.totals),
        "settings": _changes(difference.settings),
    }


def _changes(changes: Sequence[Change]) -> dict[str, Json]:
    return {change.what: {"before": change.before, "after": change.after} for change in changes}


def diff_columns() -> tuple[Column, ...]:
    """The headings of the rows of `diff_rows`: a sign, then `SHOWN`."""
    by_name = {choice.name: choice.column for choice in CHOICES}
    return (Column(""), *(by_name[name] for name in SHOWN))


def diff_rows(difference: Difference) -> list[Row]:
    """Removed layers with `-`, added ones with `+`, changed ones with both, moved ones with `<` and `>`."""
    rows: list[Row] = []
    for layer in difference.layers:
        if layer.status in ("same", "renamed"):
            continue
        out, into = ("<", ">") if layer.status == "moved" else ("-", "+")
        rows += [(out, *layer.old)] if layer.old else []
        rows += [(into, *layer.new)] if layer.new else []
    return rows


def diff_notes(difference: Difference) -> list[str]:
    """What a table cannot show: rewired and renamed layers, sums, and settings of the training."""
    notes = [
        f"reads         `{layer.after}` takes {change.after}, and took {change.before}"
        for layer in difference.layers
        for change in layer.changes
        if change.what == "reads"
    ]
    renamed = [
        f"{layer.before} -> {layer.after}"
        for layer in difference.layers
        if layer.before and layer.after and layer.before != layer.after
    ]
    notes += [f"renamed       {', '.join(renamed)}"] if renamed else []
    alike = sum(layer.status in ("same", "renamed") for layer in difference.layers)
    notes += [f"unchanged     {alike} layer{'s' if alike != 1 else ''}"]
    notes += [_total(change) for change in difference.totals]
    return notes + [f"train         {c.what}: {c.before} -> {c.after}" for c in difference.settings]


_WORDS: Final = {
    "params": "parameters",
    "trainable_params": "trainable",
    "macs": "MACs",
    "activation_bytes": "activations",
    "weight_bytes": "weights",
}


def _total(change: Change) -> str:
    assert isinstance(change.before, int)
    assert isinstance(change.after, int)
    unit = " bytes" if change.what.endswith("bytes") else ""
    word = f"{_WORDS.get(change.what, change.what):<13}"
    if change.before == change.after:
        return f"{word} {change.after:,}{unit}, as before"
    delta = change.after - change.before
    share = f", {delta / change.before:+.1%}".replace("%", " %") if change.before else ""
    return f"{word} {change.before:,} -> {change.after:,}{unit} ({delta:+,}{share})"
