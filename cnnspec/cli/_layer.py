"""`cnnspec explain FILE LAYER`: the derivation of a layer, and a walk through one of its output elements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.cli._output import print_diagnostics
from cnnspec.cli._questions import node_of
from cnnspec.cli._weights import read_weights
from cnnspec.cli.main import FINDINGS, OK, CommandError
from cnnspec.language.diagnostics import did_you_mean
from cnnspec.language.record import replace
from cnnspec.layers import product, show
from cnnspec.network.check import check_file
from cnnspec.network.document import as_data, as_markdown, as_text
from cnnspec.network.explain import explain_layer
from cnnspec.network.graph import Facts, Graph
from cnnspec.network.walk import Values, walk

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.layers import Shape
    from cnnspec.recipe import Recipe

SCHEMA: Final = "cnnspec-layer-1"


def explain_in_file(arguments: argparse.Namespace) -> int:
    """Print what is known of a layer; 1 if the file has errors."""
    file, name = arguments.words
    checked = check_file(file, arguments.set)
    if not checked.ok:
        print_diagnostics(checked.diagnostics)
        return FINDINGS
    graph, facts = checked.network()
    if (arguments.weights or arguments.image) and arguments.unit is None:
        arguments.usage_error("--weights and --image need --unit, the position of an output element")
    try:
        index = node_of(graph, name)
        document = explain_layer(graph, facts, index)
        if arguments.unit is not None:
            values = _values(graph, facts, index, checked.recipe, arguments)
            section = walk(graph, facts, index, arguments.channel, arguments.unit, values)
            document = replace(document, sections=(*document.sections[:1], section))
    except ValueError as error:
        arguments.usage_error(str(error))
    if arguments.json:
        head = {"schema": SCHEMA, "file": checked.source.name, "network": graph.name, "layer": name}
        print(json.dumps({**head, **_fields(as_data(document))}, indent=2))
    else:
        print((as_markdown if arguments.markdown else as_text)(document), end="")
    return OK


def _fields(data: object) -> dict[str, object]:
    assert isinstance(data, dict)
    return data


# --- numbers ------------------------------------------------------------------------------------------------


def _values(
    graph: Graph, facts: Facts, index: int, recipe: Recipe, arguments: argparse.Namespace
) -> Values | None:
    """The input of the layer for an image, and its weights; nothing where neither is given."""
    if not arguments.weights and not arguments.image:
        return None
    _, part = upto(graph, facts, index)
    learned = any(layer.weights for layer in part.layers)
    if not arguments.image or (learned and not arguments.weights):
        arguments.usage_error("--weights and --image go together: both are needed for the numbers")
    if len(graph.sources()) > 1:
        raise CommandError(f"`{graph.name}` has several inputs, and --image is one")
    weights = dict(read_weights(Path(arguments.weights))) if arguments.weights else {}
    image = _read_image(arguments.image, facts.shape(graph.sources()[0]), recipe)
    name = graph.nodes[index].name
    before = _input_of(graph, facts, index, weights, image)
    own = {w.name: _weight(weights, f"{name}.{w.name}", w.shape) for w in facts.layers[index].weights}
    return Values(lambda at: float(before[at]), lambda array, at: float(own[array][at]))


def _weight(weights: dict[str, Any], name: str, shape: Shape) -> NDArray[np.floating[Any]]:
    if name not in weights:
        raise CommandError(f"the weights have no `{name}`", "are they of this network?")
    found: NDArray[np.floating[Any]] = weights[name]
    if tuple(found.shape) != shape:
        raise CommandError(f"the weight `{name}` is {show(tuple(found.shape))}, not {show(shape)}")
    return found


def _read_image(image: str, shape: Shape, recipe: Recipe) -> NDArray[np.float32]:
    """A sample of the input's shape, from a .npy file or a data set."""
    import numpy as np

    found = _from_data(image, shape, recipe) if not image.endswith(".npy") else _from_file(Path(image))
    if found.size != product(shape) or (found.ndim == len(shape) and found.shape != shape):
        raise CommandError(f"`{image}` is {show(found.shape)}, and the network takes {show(shape)}")
    return found.astype(np.float32).reshape(shape)


def _from_file(path: Path) -> NDArray[np.floating[Any]]:
    import numpy as np

    try:
        found: NDArray[np.floating[Any]] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise CommandError(f"`{path}` is no array of numbers: {error}") from None
    return found


def _from_data(image: str, shape: Shape, recipe: Recipe) -> NDArray[np.float32]:
    """An image of the part that is held out, prepared as the recipe says if it names this data set."""
    import numpy as np

    from cnnspec.recipe import kinds
    from cnnspec.recipe.data import Published
    from cnnspec.training.datasets import DataError, load_data
    from cnnspec.training.datasets.dataset import rows_of

    name, _, number = image.partition(":")
    known = kinds("data")
    if name not in known or not number.isdecimal():
        help = "; ".join(did_you_mean(name, known)) or "write digits:0, or the name of a .npy file"
        raise CommandError(f"there is no image `{image}`", help)
    kind = recipe.data
    if kind.keyword != name:
        other = known[name]
        if not issubclass(other, Published):
            raise CommandError(f"the file does not say where the data of `{name}` are")
        kind = other(resize=shape[1:], normalize=True)
    try:
        images = load_data(kind).test_x
    except DataError as error:
        raise CommandError(error.message) from None
    if int(number) >= len(images):
        raise CommandError(f"`{name}` holds out {len(images)} images: the last is {name}:{len(images) - 1}")
    found: NDArray[np.float32] = rows_of(images, np.array([int(number)]))[0]
    return found


def _input_of(
    graph: Graph, facts: Facts, index: int, weights: dict[str, Any], image: NDArray[np.float32]
) -> NDArray[np.floating[Any]]:
    """What the layer receives for an image: the layers before it are computed."""
    from cnnspec.numpy_backend import compile_graph

    target = graph.nodes[index].inputs[0]
    if not graph.nodes[target].inputs:
        return image
    part, part_facts = upto(graph, facts, target)
    with compile_graph(part, part_facts, batch=1, training=False) as model:
        for name, array in model.weights.items():
            model.weights[name] = _weight(weights, name, array.shape)
        output = model.predict(image[None])
    assert not isinstance(output, tuple)
    found: NDArray[np.floating[Any]] = output[0]
    return found


def upto(graph: Graph, facts: Facts, target: int) -> tuple[Graph, Facts]:
    """The part of a network that one layer needs, with its output as the only one."""
    needed = {target}
    for index in range(target, -1, -1):
        if index in needed:
            needed.update(graph.nodes[index].inputs)
    kept = sorted(needed)
    number = {index: position for position, index in enumerate(kept)}
    nodes = tuple(
        replace(graph.nodes[index], inputs=tuple(number[source] for source in graph.nodes[index].inputs))
        for index in kept
    )
    part = replace(graph, nodes=nodes, outputs=(number[target],), claims=(), expectations=(), ends=())
    return part, Facts(tuple(facts.layers[index] for index in kept))
