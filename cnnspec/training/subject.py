"""What a run is about: a checked network with its recipe and the text it comes from, also from its record."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.language.errors import SpecError
from cnnspec.language.parser import parse
from cnnspec.language.reading import read
from cnnspec.language.source import Source
from cnnspec.language.syntax import Train, Use
from cnnspec.network.assignment import read_assignment
from cnnspec.network.check import Checked, check_file, check_source
from cnnspec.network.diff import LayerDiff, compare
from cnnspec.network.recipe import lower_recipe
from cnnspec.recipe import SETTINGS, Recipe
from cnnspec.training.record import RecordError, RunRecord, Setting, Spec

if TYPE_CHECKING:
    from cnnspec.language.syntax import File
    from cnnspec.layers.options import Value
    from cnnspec.network.graph import Facts, Graph

LAYER_INITS = "layer_inits"
"""The field of a recipe whose statement is `init`, as that of another field."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is run: a checked network, and how it learns."""

    checked: Checked
    graph: Graph
    facts: Facts
    recipe: Recipe


def make_subject(checked: Checked, recipe: Recipe | None = None) -> Subject:
    """A subject by the recipe of the file, or by another.

    Raises:
        SpecError: the file has errors, or holds no network.
    """
    return Subject(checked, *checked.network(), recipe or checked.recipe)


def spec_of(checked: Checked) -> Spec:
    """The text of a file and of those that it uses, as the record keeps them."""
    return Spec(file=checked.source.name, text=checked.source.text, uses=dict(_used(checked.tree, set())))


def _used(tree: File, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Path, from the folder of the first file on, and text of each file that is used, at any depth.

    A file can only use what is in its own folder or below.
    """
    yield from _used_below(tree, os.path.dirname(tree.source.path or ""), seen)


def _used_below(tree: File, home: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    for item in tree.items:
        if isinstance(item, Use):
            folder = os.path.dirname(item.span.source.path or "")
            path = os.path.normpath(os.path.join(folder, item.path.value))
            if path not in seen:
                seen.add(path)
                source = read(path)
                yield Path(os.path.relpath(path, home or ".")).as_posix(), source.text
                yield from _used_below(parse(source).tree, home, seen)


# --- from the record --------------------------------------------------------------------------------------


def recorded_subject(record: RunRecord) -> Subject:
    """The subject of a run, from its record alone.

    Raises:
        RecordError: this version finds errors in its spec or its recipe.
    """
    try:
        checked = check_recorded(record)
        graph, facts = checked.network()
        return Subject(checked, graph, facts, recorded_recipe(record, graph, facts))
    except (SpecError, ValueError) as error:
        first = error.diagnostics[0].message if isinstance(error, SpecError) else str(error)
        message = f"the network in the record of this run no longer checks: {first}"
        help = "use the version of cnnspec that wrote it: " + record.versions.cnnspec
        raise RecordError(message, help) from None


def check_recorded(record: RunRecord) -> Checked:
    """Check the text of a record. Files that it uses are laid out for a moment as they stood."""
    parameters, spec = recorded_parameters(record), record.spec
    if not spec.uses:
        return check_source(Source(spec.file, spec.text), parameters)
    with tempfile.TemporaryDirectory(prefix="cnnspec-") as folder:
        home = Path(folder).resolve()
        for name, text in {"spec.cnn": spec.text, **spec.uses}.items():
            path = (home / name).resolve()
            if home not in path.parents:
                raise ValueError(f"the used file `{name}` leads out of the folder of its spec")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="")
        return check_file(home / "spec.cnn", parameters)


def recorded_parameters(record: RunRecord) -> dict[str, Value]:
    """The values of the network's parameters.

    Raises:
        ValueError: this version does not understand one.
    """
    return dict(read_assignment(f"{name} = {text}") for name, text in record.parameters.items())


def recorded_recipe(record: RunRecord, graph: Graph, facts: Facts) -> Recipe:
    """The recipe of a record, which is that of its spec but for what the command line said.

    Raises:
        ValueError: this version does not understand it.
    """
    lines = []
    for name, value in record.recipe.items():
        keyword = "" if name in SETTINGS else "init " if name == LAYER_INITS else f"{name} "
        values = value if isinstance(value, list) else [value]
        lines += [f"{keyword}{one}" for one in values]
    parsed = parse(Source("run.json", "train {\n" + "\n".join(lines) + "\n}\n"))
    train = next((item for item in parsed.tree.items if isinstance(item, Train)), None)
    lowered = lower_recipe(train, graph, facts)
    for fault in (*parsed.faults, *lowered.faults):
        raise ValueError(fault.message)
    return lowered.recipe


# --- whether it is still the same -------------------------------------------------------------------------


def differences(recorded: Checked, given: Checked) -> list[str]:
    """What has changed in a file since its run began, but for the number of epochs; comments do not count."""
    difference = compare(recorded, given)
    notes = [_layer(layer) for layer in difference.layers if layer.status != "same"]
    return notes + changed_recipe(recorded.recipe.written(), given.recipe)


def changed_recipe(old: Mapping[str, Setting], given: Recipe) -> list[str]:
    """What differs from a recipe as it was written down, but for the number of epochs."""
    new = given.written()
    return [
        f"{name}: {_shown(old.get(name))} -> {_shown(new.get(name))}"
        for name in dict.fromkeys([*old, *new])
        if name != "epochs" and old.get(name) != new.get(name)
    ]


def _layer(layer: LayerDiff) -> str:
    changes = ", ".join(f"{change.what} {change.before} -> {change.after}" for change in layer.changes)
    return f"{layer.after or layer.before}: {layer.status}" + (f", {changes}" if changes else "")


def _shown(value: object) -> str:
    return "none" if value is None else "; ".join(value) if isinstance(value, list) else str(value)
