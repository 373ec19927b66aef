"""The values that weights begin with.

Every weight has a random stream of its own, made from the seed and the weight's name, so that adding a layer
changes the first values of no other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cnnspec.layers import Weight
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe.learning import Initializer

Values = NDArray[np.float32]


def initial_weights(graph: Graph, facts: Facts, init: Initializer, seed: int) -> Iterator[tuple[str, Values]]:
    """Name and first values of every weight, one at a time, in the order of the layers.

    State that a layer keeps itself and that begins with no value of its own is left out.
    """
    for node, layer in zip(graph.nodes, facts.layers, strict=True):
        for weight in layer.weights:
            if weight.trainable or weight.initial is not None:
                name = f"{node.name}.{weight.name}"
                yield name, initial_values(init, weight, random_stream(seed, name))


def initial_values(init: Initializer, weight: Weight, random: np.random.Generator) -> Values:
    """First values of one weight: its own initial value, or what the initialiser's rule draws."""
    if weight.initial is not None:
        return _own_values(weight)
    return RULES[init.keyword](weight, random)


def _own_values(weight: Weight) -> Values:
    if weight.initial == "signs":
        codes = random_stream(0, "signs").integers(2, size=weight.shape)
        return (2 * codes - 1).astype(np.float32)
    values = np.asarray(weight.initial, np.float32)
    return np.array(np.broadcast_to(values.reshape(weight.shape if values.ndim else ()), weight.shape))


def random_stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one weight: PCG64, seeded by a digest of the seed and the name."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def xavier_uniform(weight: Weight, random: np.random.Generator) -> Values:
    """Uniform within `sqrt(6 / (fan_in + fan_out))`; biases zero (Glorot & Bengio 2010, equation 16)."""
    if weight.role == "bias":
        return np.zeros(weight.shape, np.float32)
    return _uniform(weight, math.sqrt(6 / (weight.fan_in + weight.fan_out)), random)


def xavier_normal(weight: Weight, random: np.random.Generator) -> Values:
    """Normal with variance `2 / (fan_in + fan_out)`; biases zero (Glorot & Bengio 2010, equation 12)."""
    if weight.role == "bias":
        return np.zeros(weight.shape, np.float32)
    values = random.standard_normal(weight.shape, np.float32)
    values *= np.float32(math.sqrt(2 / (weight.fan_in + weight.fan_out)))
    return values


def pytorch_default(weight: Weight, random: np.random.Generator) -> Values:
    """Uniform within `1 / sqrt(fan_in)`, weights and biases alike, as PyTorch's `Conv2d` and `Linear`."""
    return _uniform(weight, 1 / math.sqrt(weight.fan_in), random)


def _uniform(weight: Weight, bound: float, random: np.random.Generator) -> Values:
    values = random.random(weight.shape, np.float32)
    values *= np.float32(2 * bound)
    values -= np.float32(bound)
    return values


RULES: Final[dict[str, Callable[[Weight, np.random.Generator], Values]]] = {
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "pytorch_default": pytorch_default,
}
