"""The function of a whole network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from cnnspec.bridges.jax import merging, pointwise, windows  # noqa: F401 - importing them fills the table
from cnnspec.bridges.jax.table import FUNCTIONS, Array, Call, Compute
from cnnspec.bridges.table import each_node

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from cnnspec.network.graph import Facts, Graph, Node

Arrays = dict[str, Array]


def to_function(
    graph: Graph, facts: Facts, weights: Mapping[str, ArrayLike], *, logits: bool = False
) -> Network:
    """A checked network as a function of JAX, with these weights, `conv1.weight` and so on, in float32.

    With `logits`, the output is what enters a final softmax.

    Raises:
        SpecError: some of the layers are not covered; all of them are named.
        KeyError: a weight is missing.
    """
    computes = each_node(graph, "JAX", _compute)
    params: Arrays = {}
    state: Arrays = {}
    for node, layer in zip(graph.nodes, facts.layers, strict=True):
        for weight in layer.weights:
            name = f"{node.name}.{weight.name}"
            (params if weight.trainable else state)[name] = jnp.asarray(weights[name], jnp.float32)
    outputs = graph.outputs
    if logits and len(outputs) == 1 and graph.nodes[outputs[0]].layer.takes_logits:
        outputs = graph.nodes[outputs[0]].inputs
    return Network(graph, facts, tuple(computes), outputs, params, state)


@dataclass(frozen=True)
class Network:
    """A network without memory of its own, for `jax.jit` and `jax.grad`.

    Attributes:
        outputs: the nodes whose values are given.
        params: the weights that are learned, by name.
        state: those that are not, running statistics among them.
    """

    graph: Graph
    facts: Facts
    computes: tuple[Compute | None, ...]
    outputs: tuple[int, ...]
    params: Arrays
    state: Arrays

    def apply(
        self, params: Arrays, state: Arrays, *inputs: Array, training: bool = False, key: Array | None = None
    ) -> tuple[Array | tuple[Array, ...], Arrays]:
        """The output for `N x C x H x W`, and the state after it; several outputs are a tuple.

        In training, dropout drops, which takes a key, and batch normalization uses the batch's statistics
        and follows them.

        Raises:
            ValueError: dropout needs a key, and there is none.
        """
        given, values, changed = iter(inputs), list[Array](), dict(state)
        for index in range(max(self.outputs) + 1):
            node, compute = self.graph.nodes[index], self.computes[index]
            if compute is None:
                values.append(jnp.asarray(next(given)))
                continue
            names = [weight.name for weight in self.facts.layers[index].weights]
            weights = {name: _either(params, state, f"{node.name}.{name}") for name in names}
            own = None if key is None else jax.random.fold_in(key, index)
            call = Call(tuple(values[v] for v in node.inputs), weights, training, own)
            values.append(compute(node.layer, call))
            changed |= {f"{node.name}.{name}": array for name, array in call.state.items()}
        ends = tuple(values[i] for i in self.outputs)
        return (ends[0] if len(ends) == 1 else ends), changed


def _either(params: Arrays, state: Arrays, name: str) -> Array:
    return params[name] if name in params else state[name]


def _compute(index: int, node: Node) -> Compute | None:
    """The function of a node's kind; none for an input."""
    return FUNCTIONS.of(node.layer) if node.inputs else None
