"""The values that weights begin with.

Every weight has a random stream of its own, made from the seed and the weight's name, so that adding a layer
changes the first values of no other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cnnspec.recipe.learning import (
    Constant,
    HeNormal,
    HeUniform,
    Normal,
    Orthogonal,
    PytorchDefault,
    XavierNormal,
    XavierUniform,
)
from cnnspec.recipe.matching import mean

if TYPE_CHECKING:
    from cnnspec.layers import Weight
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import Recipe
    from cnnspec.recipe.learning import Initializer

Values = NDArray[np.float32]


def initial_weights(graph: Graph, facts: Facts, recipe: Recipe) -> Iterator[tuple[str, Values]]:
    """Name and first values of every weight, one at a time, in the order of the layers.

    Where several initialisers name a layer, the last one holds. State that a layer keeps itself and that
    begins with no value of its own is left out.
    """
    for node, layer in zip(graph.nodes, facts.layers, strict=True):
        init = layer_init(recipe, node.name)
        for weight in layer.weights:
            if weight.trainable or weight.initial is not None:
                name = f"{node.name}.{weight.name}"
                yield name, initial_values(init, weight, random_stream(recipe.seed, name))


def layer_init(recipe: Recipe, layer: str) -> Initializer:
    """The initialiser of a layer: the last that names it, or the network's."""
    naming = [init for init in recipe.layer_inits if mean(init.layers or (), layer)]
    return naming[-1] if naming else recipe.init


def initial_values(init: Initializer, weight: Weight, random: np.random.Generator) -> Values:
    """First values of one weight: its own initial value, or what the initialiser draws."""
    if weight.initial is not None:
        return _own_values(weight)
    return draw(init, weight, random)


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


@singledispatch
def draw(init: Initializer, weight: Weight, random: np.random.Generator) -> Values:
    """The values that an initialiser gives a weight or a bias; each kind registers its own."""
    raise NotImplementedError(init.keyword)


@draw.register(XavierUniform)
def _xavier_uniform(init: XavierUniform, weight: Weight, random: np.random.Generator) -> Values:
    """Uniform within `gain * sqrt(6 / (fan_in + fan_out))` (Glorot & Bengio 2010, equation 16)."""
    if weight.role == "bias":
        return _filled(weight, init.bias)
    return _uniform(weight, init.gain * math.sqrt(6 / (weight.fan_in + weight.fan_out)), random)


@draw.register(XavierNormal)
def _xavier_normal(init: XavierNormal, weight: Weight, random: np.random.Generator) -> Values:
    """Normal with variance `gain^2 * 2 / (fan_in + fan_out)` (Glorot & Bengio 2010, equation 12)."""
    if weight.role == "bias":
        return _filled(weight, init.bias)
    return _normal(weight, init.gain * math.sqrt(2 / (weight.fan_in + weight.fan_out)), random)


@draw.register(HeUniform)
def _he_uniform(init: HeUniform, weight: Weight, random: np.random.Generator) -> Values:
    """Uniform with the variance of `he_normal`, so within `sqrt(3)` times its deviation."""
    if weight.role == "bias":
        return _filled(weight, init.bias)
    return _uniform(weight, math.sqrt(3) * _he_deviation(init, weight), random)


@draw.register(HeNormal)
def _he_normal(init: HeNormal, weight: Weight, random: np.random.Generator) -> Values:
    """Normal with variance `2 / ((1 + slope^2) * fan)` (He et al. 2015, equations 10 and 15)."""
    if weight.role == "bias":
        return _filled(weight, init.bias)
    return _normal(weight, _he_deviation(init, weight), random)


def _he_deviation(init: HeUniform | HeNormal, weight: Weight) -> float:
    fan = weight.fan_in if init.mode == "fan_in" else weight.fan_out
    return math.sqrt(2 / ((1 + init.slope**2) * fan))


@draw.register(Orthogonal)
def _orthogonal(init: Orthogonal, weight: Weight, random: np.random.Generator) -> Values:
    """The orthogonal factor of a normal matrix `out x rest`, its signs so that each is as likely (QR).

    The signs are those of R's diagonal, without which the factor is not uniformly distributed (Mezzadri 2006,
    arXiv:math-ph/0609050).
    """
    if weight.role == "bias":
        return _filled(weight, init.bias)
    rows = weight.shape[0]
    columns = max(weight.size // max(rows, 1), 1)
    normal = random.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    matrix = q if rows >= columns else q.T
    return np.ascontiguousarray(init.gain * matrix, np.float32).reshape(weight.shape)


@draw.register(Normal)
def _plain_normal(init: Normal, weight: Weight, random: np.random.Generator) -> Values:
    """Normal around 0."""
    return _filled(weight, init.bias) if weight.role == "bias" else _normal(weight, init.std, random)


@draw.register(Constant)
def _constant(init: Constant, weight: Weight, random: np.random.Generator) -> Values:
    """One value throughout."""
    return _filled(weight, init.bias if weight.role == "bias" else init.value)


@draw.register(PytorchDefault)
def _pytorch_default(init: PytorchDefault, weight: Weight, random: np.random.Generator) -> Values:
    """Uniform within `1 / sqrt(fan_in)`, weights and biases alike, as PyTorch's `Conv2d` and `Linear`."""
    return _uniform(weight, 1 / math.sqrt(weight.fan_in), random)


def _filled(weight: Weight, value: float) -> Values:
    return np.full(weight.shape, value, np.float32)


def _normal(weight: Weight, deviation: float, random: np.random.Generator) -> Values:
    values = random.standard_normal(weight.shape, np.float32)
    values *= np.float32(deviation)
    return values


def _uniform(weight: Weight, bound: float, random: np.random.Generator) -> Values:
    values = random.random(weight.shape, np.float32)
    values *= np.float32(2 * bound)
    values -= np.float32(bound)
    return values
