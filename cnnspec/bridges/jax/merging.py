"""What joins values, and changes their shape."""

from __future__ import annotations

from functools import reduce

import jax.numpy as jnp

from cnnspec.bridges.jax.table import FUNCTIONS, Array, Call
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.merging import Add, Concat, Mean, Multiply
from cnnspec.layers.shapes import Flatten, Reshape


@FUNCTIONS.says(Add)
def _add(layer: Add, call: Call) -> Array:
    return reduce(jnp.add, call.inputs)


@FUNCTIONS.says(Multiply)
def _multiply(layer: Multiply, call: Call) -> Array:
    return reduce(jnp.multiply, call.inputs)


@FUNCTIONS.says(Mean)
def _mean(layer: Mean, call: Call) -> Array:
    return reduce(jnp.add, call.inputs) / len(call.inputs)


@FUNCTIONS.says(Concat)
def _concat(layer: Concat, call: Call) -> Array:
    return jnp.concatenate(call.inputs, axis=1)


@FUNCTIONS.says(Flatten)
def _flatten(layer: Flatten, call: Call) -> Array:
    return call.x.reshape(len(call.x), -1)


@FUNCTIONS.says(Reshape)
def _reshape(layer: Reshape, call: Call) -> Array:
    return call.x.reshape(len(call.x), *layer.shape)


@FUNCTIONS.says(Take)
def _take(layer: Take, call: Call) -> Array:
    return call.x[:, layer.start : layer.stop]


@FUNCTIONS.says(Shuffle)
def _shuffle(layer: Shuffle, call: Call) -> Array:
    x = call.x
    apart = x.reshape(len(x), layer.groups, -1, *x.shape[2:])  # (N, groups, C / groups, ...)
    return apart.swapaxes(1, 2).reshape(x.shape)
