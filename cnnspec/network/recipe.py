"""The `train` block to a recipe, and whether recipe and network agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.language.record import field, record
from cnnspec.language.syntax import Broken, Identifier, LayerCall, Name, Train
from cnnspec.layers import show
from cnnspec.network.bind import bind
from cnnspec.network.evaluate import Scope
from cnnspec.recipe import ROLES, SCALARS, Recipe, default_recipe, kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnspec.language.source import Span
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import DataKind

SETTINGS: Final = (*ROLES, *SCALARS)


@record
class LoweredRecipe:
    """A recipe, where its settings stand, and the faults."""

    recipe: Recipe
    places: Mapping[str, Span] = field(default_factory=dict)
    faults: tuple[Diagnostic, ...] = ()


def lower_recipe(train: Train | None, graph: Graph | None, facts: Facts | None) -> LoweredRecipe:
    """The recipe of a `train` block; what it leaves out is the default."""
    recipe = default_recipe(_input_shape(graph, facts))
    if train is None:
        return LoweredRecipe(recipe)
    places: dict[str, Span] = {}
    faults: list[Diagnostic] = []
    for setting in train.settings:
        if isinstance(setting, Broken):
            continue
        name = setting.keyword.text
        if name in places:
            first = Label(places[name], "first given here")
            message = f"`{name}` is given twice"
            faults.append(Diagnostic("given-twice", message, setting.keyword.span, labels=(first,)))
            continue
        places[name] = setting.span
        recipe = _apply(recipe, setting, faults)
    return LoweredRecipe(recipe, places, tuple(faults))


def _apply(recipe: Recipe, setting: LayerCall, faults: list[Diagnostic]) -> Recipe:
    name = setting.keyword.text
    if name in SCALARS:
        scalar = bind(SCALARS[name], setting, Scope())
        faults += scalar.faults
        if scalar.declaration is None:
            return recipe
        (number,) = scalar.declaration.values().values()
        assert isinstance(number, int)
        return recipe.changed(name, number)
    if name not in ROLES:
        help = did_you_mean(name, SETTINGS) or ("the settings are " + ", ".join(f"`{s}`" for s in SETTINGS),)
        faults.append(
            Diagnostic("unknown-setting", f"there is no setting `{name}`", setting.keyword.span, help=help)
        )
        return recipe
    if not setting.positional or not isinstance(setting.positional[0], Name):
        choices = ", ".join(f"`{kind}`" for kind in kinds(name))
        message = f"`{name}` needs the name of one of: {choices}"
        span = setting.positional[0].span if setting.positional else setting.keyword.span
        faults.append(Diagnostic("missing-argument", message, span))
        return recipe
    chosen = setting.positional[0]
    kind = kinds(name).get(chosen.text)
    if kind is None:
        faults.append(unknown_kind(name, chosen.text, chosen.span))
        return recipe
    call = LayerCall(
        Identifier(chosen.text, chosen.span), setting.positional[1:], setting.named, None, setting.span
    )
    bound = bind(kind, call, Scope())
    faults += bound.faults
    return recipe.changed(name, bound.declaration) if bound.declaration else recipe


def unknown_kind(role: str, name: str, span: Span | None) -> Diagnostic:
    """The report for a data set, loss, optimizer or initialiser that does not exist."""
    known = kinds(role)
    help = did_you_mean(name, known) or ("there is " + ", ".join(f"`{kind}`" for kind in known),)
    return Diagnostic(f"unknown-{role}", f"there is no {_NOUNS[role]} `{name}`", span, help=help)


_NOUNS: Final = {"data": "data set", "loss": "loss", "optimizer": "optimizer", "init": "initialiser"}


def check_agreement(graph: Graph, facts: Facts, data: DataKind, span: Span | None) -> tuple[Diagnostic, ...]:
    """Whether the network takes the samples of the data set and has an output for each class."""
    faults = []
    source = graph.nodes[graph.sources()[0]]
    taken, given = facts.shape(graph.sources()[0]), data.sample_shape()
    labels = (Label(source.origin.layer, f"the network takes {show(taken)}"),)
    if taken != given:
        faults.append(
            Diagnostic(
                "data-shape",
                f"a sample of `{data.keyword}` is {show(given)}, and the network takes {show(taken)}",
                span,
                file=graph.span.source.name,
                labels=labels if span else (),
                help=tuple(_fitting(taken, given)),
            )
        )
    output = facts.shape(graph.outputs[0])
    if output != (data.classes,):
        node = graph.nodes[graph.outputs[0]]
        faults.append(
            Diagnostic(
                "data-classes",
                f"`{data.keyword}` has {data.classes} classes, and the output is {show(output)}",
                span,
                file=graph.span.source.name,
                labels=(Label(node.origin.layer, f"the output of `{node.name}` is {show(output)}"),)
                if span
                else (),
                help=(f"end with `dense {data.classes} -> softmax`",),
            )
        )
    return tuple(faults)


def _fitting(taken: tuple[int, ...], given: tuple[int, ...]) -> list[str]:
    if len(taken) == len(given) and taken[0] == given[0]:
        return [f"write `resize={show(taken[1:])}`, or `input {show(given)}`"]
    return [f"write `input {show(given)}`"]


def _input_shape(graph: Graph | None, facts: Facts | None) -> tuple[int, ...] | None:
    if graph is None or facts is None or not graph.sources():
        return None
    return facts.layers[graph.sources()[0]].shape
