"""Random sequential networks from a seed: every option of every layer drawn, shapes kept small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnnspec.layers import Layer, LayerError, Shape, product
from cnnspec.layers.activations import Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.convolution import Conv
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.dense import Dense
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.layers.shapes import Flatten
from cnnspec.network.graph import Facts, Graph
from tests.support.graphs import sequential

Rng = np.random.Generator


def random_network(seed: int) -> tuple[Graph, Facts]:
    """A network of up to nine layers over one, two or sometimes three spatial axes, ending in a vector."""
    rng = np.random.default_rng(seed)
    axes = int(rng.choice([1, 2, 2, 2, 3]))
    sizes = rng.integers(5, {1: 24, 2: 13, 3: 8}[axes], size=axes)
    start: Shape = (int(rng.integers(1, 5)), *map(int, sizes))
    layers: list[Layer] = []
    shape = start
    for _ in range(int(rng.integers(1, 7))):
        layer = fitting_layer(rng, shape)
        layers.append(layer)
        shape = layer.infer(shape)
    if rng.random() < 0.5:
        layers += [Flatten()] if rng.random() < 0.5 else []
        layers += [Dense(units=int(rng.integers(1, 9)), bias=_flip(rng)), _activation(rng, shape)]
    layers += [Dense(units=int(rng.integers(2, 6)))]
    layers += [Softmax()] if _flip(rng) else []
    return sequential(start, *layers)


def fitting_layer(rng: Rng, shape: Shape) -> Layer:
    """A layer that takes this shape; what does not fit is drawn again."""
    makers: list[Callable[[Rng, Shape], Layer]] = [_conv, _conv, _covering_pool, _pool, _activation]
    while True:
        try:
            layer = makers[int(rng.integers(len(makers)))](rng, shape)
            out = layer.infer(shape)
        except (LayerError, OptionError):
            continue
        if product(out) < 2000:
            return layer


def _flip(rng: Rng) -> bool:
    return bool(rng.random() < 0.5)


def _activation(rng: Rng, shape: Shape) -> Layer:
    return [Relu(), Sigmoid(), Tanh(), Softmax()][int(rng.choice(4, p=[0.3, 0.3, 0.3, 0.1]))]


def _extent(rng: Rng, axes: int, most: int) -> int | tuple[int, ...]:
    if _flip(rng):
        return int(rng.integers(1, most + 1))
    return tuple(map(int, rng.integers(1, most + 1, size=axes)))


def _padding(rng: Rng, axes: int, most: int) -> int | tuple[int, ...] | str:
    choice = rng.random()
    if choice < 0.2:
        return "same"
    if choice < 0.5:
        return int(rng.integers(0, most + 1))
    return tuple(map(int, rng.integers(0, most + 1, size=axes if choice < 0.75 else 2 * axes)))


def _conv(rng: Rng, shape: Shape) -> Layer:
    axes = len(shape) - 1
    divisors = [d for d in range(1, shape[0] + 1) if shape[0] % d == 0]
    groups = int(rng.choice(divisors)) if rng.random() < 0.4 else 1
    return Conv(
        channels=groups * int(rng.integers(1, 5)),
        kernel=_extent(rng, axes, 4),
        stride=_extent(rng, axes, 3) if rng.random() < 0.4 else 1,
        padding=_padding(rng, axes, 2) if _flip(rng) else 0,
        dilation=_extent(rng, axes, 2) if rng.random() < 0.3 else 1,
        groups=groups,
        bias=_flip(rng),
    )


def _pool(rng: Rng, shape: Shape) -> Layer:
    axes = len(shape) - 1
    layer: MaxPool | AvgPool
    options = {
        "kernel": _extent(rng, axes, 3),
        "stride": _extent(rng, axes, 3) if _flip(rng) else None,
        "padding": _padding(rng, axes, 1) if rng.random() < 0.4 else 0,
        "ceil": _flip(rng),
    }
    if _flip(rng):
        layer = MaxPool(**options, dilation=_extent(rng, axes, 2) if rng.random() < 0.3 else 1)
    else:
        layer = AvgPool(**options, count_padding=_flip(rng))
    if all(w.before == w.after <= w.kernel // 2 for w in layer.window(shape)):
        return layer
    return layer.replaced(ceil=False)  # PyTorch has no such pooling to compare with


def _covering_pool(rng: Rng, shape: Shape) -> Layer:
    """A pooling whose windows cover the map exactly, so that a convolution before it computes in tiles."""
    kernel = tuple(next((k for k in (2, 3) if n % k == 0), 1) for n in shape[1:])
    return MaxPool(kernel=kernel) if _flip(rng) else AvgPool(kernel=kernel)
