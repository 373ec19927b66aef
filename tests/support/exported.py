"""Exported networks, computed: the PyTorch source, the NumPy file, the Keras source."""

from __future__ import annotations

import numpy as np

from cnnspec.network.graph import Facts, Graph
from tests.support.models import alone, as_tuple, distance, draw_inputs, random_model

SLACK = 1e-6


def drawn(graph: Graph, facts: Facts, count: int = 3, scale: float = 0.3):
    """Inputs and weights in float32, and what the NumPy backend computes of them."""
    rng = np.random.default_rng(0)
    with random_model(graph, facts, rng, batch=count, scale=scale, loss=None, training=False) as model:
        x = tuple(array.astype("f4") for array in draw_inputs(model, rng, count))
        return x, dict(model.weights), as_tuple(model.predict(alone(x)))


def load(text: str) -> dict[str, object]:
    """The names that a generated file defines."""
    names: dict[str, object] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), names)
    return names


def torch_module(graph: Graph, facts: Facts, weights, kind: str = "float64"):
    """The module of the exported source with these weights, and the name of each weight in it."""
    import torch

    from cnnspec.bridges.torch_source import to_source

    source = to_source(graph, facts)
    module = load(source.text)[source.main]().to(getattr(torch, kind))
    state = {name: torch.tensor(array.astype(kind)) for name, array in source.arrays(weights).items()}
    module.load_state_dict(state)
    return module.eval(), {own: there.name for own, there in source.weights.items()}


def numpy_network(graph: Graph, facts: Facts, weights):
    """The network of the exported NumPy file with these weights, in float64."""
    from cnnspec.bridges.numpy_source import to_source

    source = to_source(graph, facts)
    network = load(source.text)[source.main]()
    for name, layer, _ in network.layers:
        for weight in layer.weights:
            assert layer.weights[weight].shape == weights[f"{name}.{weight}"].shape
            layer.weights[weight] = weights[f"{name}.{weight}"].astype("f8")
    return network


def by_source(graph: Graph, facts: Facts, weights, x, kind: str = "float32") -> tuple[np.ndarray, ...]:
    """The predictions of the exported PyTorch source."""
    import torch

    module, _ = torch_module(graph, facts, weights, kind)
    with torch.inference_mode():
        return tuple(y.numpy() for y in as_tuple(module(*(torch.tensor(a.astype(kind)) for a in x))))


def gradients_apart(graph: Graph, facts: Facts) -> dict[str, float]:
    """How far outputs, gradients and statistics of both sources are apart in training, if at all."""
    import torch

    x, weights, _ = drawn(graph, facts)
    module, names = torch_module(graph, facts, weights)
    network = numpy_network(graph, facts, weights)
    module.train()
    leaves = [torch.tensor(array.astype("f8"), requires_grad=True) for array in x]
    expected = as_tuple(module(*leaves))
    rng = np.random.default_rng(1)
    dy = [rng.standard_normal(tuple(y.shape)) for y in expected]
    pairs = [(y, torch.tensor(d)) for y, d in zip(expected, dy, strict=True) if y.requires_grad]
    torch.autograd.backward([y for y, _ in pairs], [d for _, d in pairs])
    outputs = as_tuple(network.forward(*(array.astype("f8") for array in x), training=True))
    inputs = as_tuple(network.backward(*dy))
    far = {
        f"y{i}": distance(ours, theirs.detach().numpy())
        for i, (ours, theirs) in enumerate(zip(outputs, expected, strict=True))
    }
    for i, (ours, leaf) in enumerate(zip(inputs, leaves, strict=True)):
        far[f"dx{i}"] = distance(ours, 0.0 if leaf.grad is None else leaf.grad.numpy())
    far |= _of_weights(module, network, names)
    return {name: value for name, value in far.items() if value > SLACK}


def _of_weights(module, network, names) -> dict[str, float]:
    parameters, state = dict(module.named_parameters()), module.state_dict()
    far = {}
    for name, layer, _ in network.layers:
        for weight, array in layer.weights.items():
            own = f"{name}.{weight}"
            parameter = parameters.get(names[own])
            if parameter is None:
                far[own] = distance(array, state[names[own]].numpy())
            elif parameter.requires_grad:
                theirs = 0.0 if parameter.grad is None else parameter.grad.numpy()
                far[own] = distance(layer.gradients.get(weight, 0.0), theirs)
    return far
