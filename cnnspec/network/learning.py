"""Whether a network can learn as its `train` block says: the layers that it names, and its loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.language.record import replace
from cnnspec.language.syntax import Group
from cnnspec.layers import show
from cnnspec.network.graph import Facts
from cnnspec.recipe import CrossEntropy, Freeze
from cnnspec.recipe.learning import Initializer
from cnnspec.recipe.matching import mean, means

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cnnspec.language.source import Span
    from cnnspec.language.syntax import Expression, LayerCall
    from cnnspec.network.graph import Graph, LayerFacts
    from cnnspec.network.recipe import LoweredRecipe, Statement
    from cnnspec.recipe import Recipe


def freeze_layers(graph: Graph, facts: Facts, freeze: Freeze | None) -> Facts:
    """The facts of a network some of whose layers are not trained."""
    if freeze is None:
        return facts
    pairs = zip(graph.nodes, facts.layers, strict=True)
    return Facts(tuple(_frozen(layer) if mean(freeze.layers, node.name) else layer for node, layer in pairs))


def _frozen(layer: LayerFacts) -> LayerFacts:
    return replace(layer, weights=tuple(replace(weight, held=True) for weight in layer.weights))


def check_learning(graph: Graph, facts: Facts, lowered: LoweredRecipe) -> Iterator[Diagnostic]:
    """What is wrong with the `train` block of a network all of whose layers are known."""
    for statement in lowered.statements:
        yield from _layer_names(statement, graph, facts)
    recipe, places = lowered.recipe, lowered.places
    yield from _ends(graph, places, lowered.train)
    if len(graph.outputs) == 1:
        yield from _loss(graph, facts, recipe, places)
    if recipe.freeze is not None and not facts.totals().trainable_params:
        message = "every weight is frozen, and nothing is left to learn"
        yield Diagnostic("nothing-to-learn", message, places["freeze"], help=("freeze fewer layers",))


# --- names of layers --------------------------------------------------------------------------------------


def _layer_names(statement: Statement, graph: Graph, facts: Facts) -> Iterator[Diagnostic]:
    """Names that mean no layer, or none that has weights."""
    value = statement.value
    if not isinstance(value, Freeze | Initializer) or value.layers is None:
        return
    known = [node.name for node in graph.nodes]
    for name, span in zip(map(str, value.layers), _places(statement.call), strict=True):
        meant = [index for index, layer in enumerate(known) if means(name, layer)]
        if not meant:
            help = did_you_mean(name, known) or ("`cnnspec check` shows the names of the layers",)
            yield Diagnostic("unknown-layer-name", f"no layer is named `{name}`", span, help=help)
        elif not any(_has_weights(value, facts.layers[index]) for index in meant):
            message = f"`{name}` has no weights to {'freeze' if isinstance(value, Freeze) else 'initialise'}"
            yield Diagnostic("no-weights", message, span, help=("leave it out",))


def _has_weights(value: Freeze | Initializer, layer: LayerFacts) -> bool:
    """Whether a setting changes anything of a layer: weights may have first values of their own."""
    freezes = isinstance(value, Freeze)
    return any(weight.role != "state" and (freezes or weight.initial is None) for weight in layer.weights)


def _places(call: LayerCall) -> list[Span]:
    """Where each name stands."""
    named = [argument.value for argument in call.named if argument.name.text == "layers"]
    items: tuple[Expression, ...] = tuple(named) or call.positional
    if len(items) == 1 and isinstance(items[0], Group):
        items = items[0].items
    return [item.span for item in items]


# --- ends and loss ----------------------------------------------------------------------------------------


def _ends(graph: Graph, places: Mapping[str, Span], train: Span | None) -> Iterator[Diagnostic]:
    """A loss needs one output, and a data set gives samples for one input."""
    inputs, outputs = ([graph.nodes[i].name for i in ends] for ends in (graph.sources(), graph.outputs))
    if train is not None and len(outputs) > 1:
        message = f"a loss needs one output, and this network gives {_listed(outputs)}"
        help = "leave the `train` block out, or join the outputs: `concat`, `add`"
        yield Diagnostic("several-ends", message, train, help=(help,))
    if "data" in places and len(inputs) > 1:
        message = f"`data` gives samples for one input, and this network takes {_listed(inputs)}"
        help = "leave `data` out, and train from Python: `model.train_step((left, right), labels)`"
        yield Diagnostic("several-ends", message, places["data"], help=(help,))


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:-1]) + f" and `{names[-1]}`"


def _loss(graph: Graph, facts: Facts, recipe: Recipe, places: Mapping[str, Span]) -> Iterator[Diagnostic]:
    """Whether the output has what the loss compares: classes, as many as are weighted."""
    loss, span, index = recipe.loss, places.get("loss"), graph.outputs[0]
    if span is None or not isinstance(loss, CrossEntropy):
        return
    output, node = facts.shape(index), graph.nodes[index]
    labels = (Label(node.origin.layer, f"the output of `{node.name}` is {show(output)}"),)
    if output[0] == 1 and recipe.data.target_shape() is None:
        message = "`cross_entropy` of a single class is always 0"
        help = "write `loss binary_cross_entropy` for yes and no, or give each class an output"
        yield Diagnostic("loss-shape", message, span, labels=labels, help=(help,))
    elif loss.weights is not None and len(loss.weights) != output[0]:
        message = f"`weights` has {len(loss.weights)} numbers, and the output has {output[0]} classes"
        yield Diagnostic("loss-shape", message, span, labels=labels, help=("give each class its weight",))
