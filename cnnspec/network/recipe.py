"""The `train` block to a recipe, and whether recipe and network agree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.language.record import field, record
from cnnspec.language.syntax import Broken, Group, Identifier, LayerCall, Name, Train, depth
from cnnspec.layers import show
from cnnspec.network.bind import bind
from cnnspec.network.evaluate import Scope
from cnnspec.recipe import ROLES, SCALARS, SETTINGS, RecipeKind, default_recipe, kinds
from cnnspec.recipe.agreement import may_measure, outputs_for_classes, takes_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cnnspec.language.source import Span
    from cnnspec.layers.declaration import Declaration
    from cnnspec.network.bind import Bound
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import DataKind, Recipe, Setting

KNOWN: Final = (*ROLES, *SETTINGS, *SCALARS)
"""What a line of the `train` block may begin with."""


@record
class LoweredRecipe:
    """A recipe, where its settings stand, and the faults.

    Of a setting that may stand more than once, `places` has the first by its name, and each with its number,
    from 0: `augment 1`. `train` is the word that opens the block.
    """

    recipe: Recipe
    places: Mapping[str, Span] = field(default_factory=dict)
    faults: tuple[Diagnostic, ...] = ()
    statements: tuple[Statement, ...] = ()
    train: Span | None = None


@record
class Statement:
    """A line of the `train` block that was understood: the field of the recipe that it sets, and to what."""

    field: str
    value: Declaration | int
    call: LayerCall
    arguments: Mapping[str, Span]


def lower_recipe(train: Train | None, graph: Graph | None, facts: Facts | None) -> LoweredRecipe:
    """The recipe of a `train` block; what it leaves out is the default."""
    recipe = default_recipe(_input_shape(graph, facts))
    if train is None:
        return LoweredRecipe(recipe)
    places: dict[str, Span] = {}
    faults: list[Diagnostic] = []
    statements: list[Statement] = []
    for setting in train.settings:
        if isinstance(setting, Broken):
            continue
        statement = _statement(setting, faults)
        slot = statement.field if statement else setting.keyword.text
        if slot in places and not recipe.repeats(slot):
            faults.append(_given_twice(setting, places[slot]))
            continue
        places.setdefault(slot, setting.span)
        if statement is not None:
            if recipe.repeats(slot):
                places[f"{slot} {len(getattr(recipe, slot))}"] = setting.span
            recipe = recipe.changed(slot, statement.value)
            statements.append(statement)
    head = train.span.source.span(train.span.start, train.span.start + len("train"))
    return LoweredRecipe(recipe, places, tuple(faults), tuple(statements), head)


def _given_twice(setting: LayerCall, first: Span) -> Diagnostic:
    name = setting.keyword.text
    help = ('an `init` for some of the layers says which: `layers="conv*"`',) if name == "init" else ()
    labels = (Label(first, "first given here"),)
    return Diagnostic(
        "given-twice", f"`{name}` is given twice", setting.keyword.span, labels=labels, help=help
    )


def _statement(setting: LayerCall, faults: list[Diagnostic]) -> Statement | None:
    """What a line says; nothing where it cannot be understood."""
    name = setting.keyword.text
    if name in SCALARS:
        scalar = bind(SCALARS[name], setting, Scope())
        faults += scalar.faults
        if scalar.declaration is None:
            return None
        (number,) = scalar.declaration.values().values()
        assert isinstance(number, int)
        return Statement(name, number, setting, scalar.arguments)
    if name in SETTINGS:
        kind = SETTINGS[name]
        return _checked(
            name, bind(kind, _gathered(setting) if kind.gathers else setting, Scope()), setting, faults
        )
    if name in ROLES:
        return _of_role(name, setting, faults)
    help = did_you_mean(name, KNOWN) or ("the settings are " + ", ".join(f"`{s}`" for s in KNOWN),)
    faults.append(
        Diagnostic("unknown-setting", f"there is no setting `{name}`", setting.keyword.span, help=help)
    )
    return None


def _gathered(setting: LayerCall) -> LayerCall:
    """The same call with all its arguments by position as one list."""
    items = setting.positional
    if not items:
        return setting
    span = items[0].span.source.span(items[0].span.start, items[-1].span.end)
    group = Group(items, span, 1 + max(map(depth, items)))
    return LayerCall(setting.keyword, (group,), setting.named, None, setting.span)


def _of_role(role: str, setting: LayerCall, faults: list[Diagnostic]) -> Statement | None:
    """A line that names one of several kinds: `optimizer sgd lr=0.1`."""
    if not setting.positional or not isinstance(setting.positional[0], Name):
        choices = ", ".join(f"`{kind}`" for kind in kinds(role))
        message = f"`{role}` needs the name of one of: {choices}"
        span = setting.positional[0].span if setting.positional else setting.keyword.span
        faults.append(Diagnostic("missing-argument", message, span))
        return None
    chosen = setting.positional[0]
    kind = kinds(role).get(chosen.text)
    if kind is None:
        faults.append(unknown_kind(role, chosen.text, chosen.span))
        return None
    call = LayerCall(
        Identifier(chosen.text, chosen.span), setting.positional[1:], setting.named, None, setting.span
    )
    return _checked(role, bind(kind, call, Scope()), call, faults)


def _checked(
    field: str, bound: Bound[Setting] | Bound[RecipeKind], call: LayerCall, faults: list[Diagnostic]
) -> Statement | None:
    """A declaration with its options, unless these contradict each other."""
    faults += bound.faults
    declaration = bound.declaration
    if declaration is None:
        return None
    if wrong := declaration.misuse():
        option, message, help = wrong
        span = bound.arguments.get(option, call.keyword.span)
        faults.append(Diagnostic("wrong-value", message, span, help=(help,)))
        return None
    if isinstance(declaration, RecipeKind):
        field = declaration.field()
        declaration = declaration.located(os.path.dirname(call.span.source.path or ""))
    return Statement(field, declaration, call, bound.arguments)


def unknown_kind(role: str, name: str, span: Span | None) -> Diagnostic:
    """The report for a data set, loss, optimizer or initialiser that does not exist."""
    known = kinds(role)
    help = did_you_mean(name, known) or ("there is " + ", ".join(f"`{kind}`" for kind in known),)
    return Diagnostic(f"unknown-{role}", f"there is no {ROLES[role].noun} `{name}`", span, help=help)


def check_agreement(
    graph: Graph, facts: Facts, recipe: Recipe, places: Mapping[str, Span]
) -> tuple[Diagnostic, ...]:
    """Whether the network takes the samples of the data set, and gives what their labels ask for.

    What only the files say is checked when they have been read, before the first step.
    """
    return (
        *_samples(graph, facts, recipe, places),
        *_labels(graph, facts, recipe, places),
        *_metrics(graph, recipe, places),
    )


def _samples(graph: Graph, facts: Facts, recipe: Recipe, places: Mapping[str, Span]) -> Iterator[Diagnostic]:
    data, index = recipe.data, graph.sources()[0]
    taken, given = facts.shape(index), data.sample_shape()
    place = Label(graph.nodes[index].origin.layer, f"the network takes {show(taken)}")
    if given is not None and taken != given:
        message = f"a sample of `{data.keyword}` is {show(given)}, and the network takes {show(taken)}"
        yield _disagreement(
            "data-shape", message, graph, places.get("data"), place, _fitting(data, taken, given)
        )
    for number, augmentation in enumerate(recipe.augment):
        if wrong := augmentation.misfit(taken):
            message = f"`{augmentation.written()}` {wrong}"
            help = "leave it out: `cnnspec explain augment` lists the others"
            yield _disagreement("augment-shape", message, graph, places.get(f"augment {number}"), place, help)


def _labels(graph: Graph, facts: Facts, recipe: Recipe, places: Mapping[str, Span]) -> Iterator[Diagnostic]:
    data, span, index = recipe.data, places.get("data"), graph.outputs[0]
    node, output = graph.nodes[index], facts.shape(index)
    place = Label(node.origin.layer, f"the output of `{node.name}` is {show(output)}")
    classes, target = data.class_count(), data.target_shape()
    if classes is not None and output not in outputs_for_classes(classes, recipe.loss):
        message = f"`{data.keyword}` has {classes} classes, and the output is {show(output)}"
        help = f"end with `dense {classes} -> softmax`"
        yield _disagreement("data-classes", message, graph, span, place, help)
    if target is None:
        return
    if output != target:
        message = f"a target of `{data.keyword}` is {show(target)}, and the output is {show(output)}"
        help = f"end with `dense {target[0]}`" if len(target) == 1 else f"let the output be {show(target)}"
        yield _disagreement("data-target", message, graph, span, place, help)
    if not takes_targets(recipe.loss):
        message = f"`{recipe.loss.keyword}` compares classes, and `{data.keyword}` has numbers as targets"
        yield _disagreement("data-loss", message, graph, places.get("loss", span), None, "write `loss mse`")


def _metrics(graph: Graph, recipe: Recipe, places: Mapping[str, Span]) -> Iterator[Diagnostic]:
    """Whether the figures that are to decide something are measured."""
    there = may_measure(recipe.loss, recipe.data)
    for setting, metric in recipe.metrics().items():
        if metric not in there:
            message = f"`{metric}` is not measured with `{recipe.loss.keyword}` on `{recipe.data.keyword}`"
            help = "there is " + ", ".join(f"`{name}`" for name in there)
            yield _disagreement("not-measured", message, graph, places.get(setting), None, help)


def _disagreement(
    code: str, message: str, graph: Graph, span: Span | None, place: Label | None, help: str
) -> Diagnostic:
    """A fault of a data set, at the line that names it and at the layer that it does not fit."""
    labels = (place,) if span and place else ()
    return Diagnostic(code, message, span, file=graph.span.source.name, labels=labels, help=(help,))


def _fitting(data: DataKind, taken: tuple[int, ...], given: tuple[int, ...]) -> str:
    """What to write so that samples and input agree."""
    if data.sized_by and len(taken) == len(given) and taken[0] == given[0]:
        return f"write `{data.sized_by}={show(taken[1:])}`, or `input {show(given)}`"
    return f"write `input {show(given)}`"


def _input_shape(graph: Graph | None, facts: Facts | None) -> tuple[int, ...] | None:
    if graph is None or facts is None or not graph.sources():
        return None
    return facts.layers[graph.sources()[0]].shape
