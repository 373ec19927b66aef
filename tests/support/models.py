"""Compiled networks with random weights, and how far two arrays are apart."""

from __future__ import annotations

import numpy as np

from cnnspec.layers.embedding import Embedding
from cnnspec.network.graph import Facts, Graph
from cnnspec.numpy_backend import Model, compile_graph
from cnnspec.recipe.learning import CrossEntropy


def random_model(
    graph: Graph, facts: Facts, rng: np.random.Generator, *, batch: int, scale: float = 0.5, **options: object
) -> Model:
    """A compiled network whose weights are normal with this standard deviation; state is positive.

    Its workers are threads unless `processes` says otherwise: the numbers are alike, and nothing is forked.
    """
    options.setdefault("processes", False)
    options.setdefault("loss", CrossEntropy() if len(facts.shape(graph.outputs[0])) == 1 else None)
    model = compile_graph(graph, facts, batch=batch, **options)
    pairs = zip(graph.nodes, facts.layers, strict=True)
    state = {f"{node.name}.{w.name}" for node, layer in pairs for w in layer.weights if w.role == "state"}
    for name, array in model.weights.items():
        values = rng.standard_normal(array.shape) * scale
        model.weights[name] = np.abs(values) + 0.1 if name in state else values
    return model


def draw_inputs(model: Model, rng: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    """Random samples for every input; tokens where an embedding reads it."""
    graph = model.plan.graph
    readers = [[graph.nodes[r].layer for r in graph.consumers()[source]] for source in graph.sources()]
    return tuple(
        rng.integers(0, reads[0].vocabulary, (count, *shape)).astype(float)
        if reads and isinstance(reads[0], Embedding)
        else rng.standard_normal((count, *shape))
        for reads, shape in zip(readers, model.inputs.shapes, strict=True)
    )


def distance(a: np.ndarray | float, b: np.ndarray | float, floor: float = 1e-3) -> float:
    """The largest difference, relative to the largest number of `b`."""
    return float(np.abs(np.asarray(a) - b).max() / max(float(np.abs(b).max()), floor))


def as_tuple(arrays: np.ndarray | tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """What a network of one output or of several gave."""
    return arrays if isinstance(arrays, tuple) else (arrays,)


def alone(arrays: tuple[np.ndarray, ...]) -> np.ndarray | tuple[np.ndarray, ...]:
    """What a network of one input or of several takes."""
    return arrays[0] if len(arrays) == 1 else arrays
