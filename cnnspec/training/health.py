"""Where numbers that are not finite began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.language.record import replace
from cnnspec.numpy_backend.model import compile_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cnnspec.numpy_backend.ports import Given
    from cnnspec.training.model import Computes


@dataclass(frozen=True, slots=True)
class NotFinite:
    """The first layer of which something is not finite, and what: an array's name, `output` or `gradient`.

    `text` says it in a sentence without its period.
    """

    layer: str
    what: str
    text: str


def first_not_finite(model: Computes, x: Given, seed: int = 0) -> NotFinite | None:
    """Where infinities, or what is no number, began in a step on these inputs; nothing where all is finite.

    Weights come first, for all that follows is made of them; then the inputs and the outputs of the layers in
    their order, as in training; then the gradients, from the last layer back. The weights and gradients are
    those that the model has now, so that it is asked before it does anything else.

    Args:
        model: the model as the step left it, not updated.
        x: the inputs of the batch.
        seed: what dropout derives from, beside the number of the step.
    """
    return _in_weights(model) or _in_outputs(model, x, seed) or _in_gradients(model)


def _in_weights(model: Computes) -> NotFinite | None:
    name = _first(dict(model.weights))
    if name is None:
        return None
    layer, _, weight = name.rpartition(".")
    text = f"the {weight} of `{layer}` is not finite: the update before was too large"
    return NotFinite(layer, weight, text)


def _in_outputs(model: Computes, x: Given, seed: int) -> NotFinite | None:
    """Run a copy of the network that gives the output of every layer."""
    plan, arrays = model.plan, model.inputs.samples(x, "x")
    graph = replace(plan.graph, outputs=tuple(range(len(plan.graph.nodes))))
    count = len(arrays[0])
    with compile_graph(graph, plan.facts, batch=count, workers=1, dtype=plan.dtype) as copy:
        for name, array in model.weights.items():
            copy.weights[name] = array
        copy.seed(seed)
        copy.step = max(model.step - 1, 0)
        outputs = copy.forward(arrays if len(arrays) > 1 else arrays[0], training=plan.training)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for node, output in zip(graph.nodes, outputs, strict=True):
        if not np.isfinite(output).all():
            found = "the input" if not node.inputs else f"the output of `{node.name}`"
            text = f"{found} is the first that is not finite"
            return NotFinite(node.name, "output", text)
    return None


def _in_gradients(model: Computes) -> NotFinite | None:
    """The last layer comes first, since gradients go backward."""
    order = {node.name: index for index, node in enumerate(model.plan.graph.nodes)}
    names = sorted(model.gradients, key=lambda name: -order[name.rpartition(".")[0]])
    name = _first({name: model.gradients[name] for name in names})
    if name is None:
        return None
    layer, _, weight = name.rpartition(".")
    text = f"the gradient of the {weight} of `{layer}` is the first that is not finite"
    return NotFinite(layer, "gradient", text)


def _first(arrays: Mapping[str, NDArray[np.float32]]) -> str | None:
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)
