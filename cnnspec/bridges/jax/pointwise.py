"""Activations, batch normalization, dropout and scales."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cnnspec.bridges.jax.table import FUNCTIONS, Array, Call, per_channel
from cnnspec.layers import Layer
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.normalization import BatchNorm
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.scaling import Scale

_PLAIN: dict[type[Layer], Callable[..., Array]] = {
    Relu: jax.nn.relu,
    Sigmoid: jax.nn.sigmoid,
    HardSigmoid: jax.nn.hard_sigmoid,
    Relu6: jax.nn.relu6,
    Selu: jax.nn.selu,
    Softplus: jax.nn.softplus,
    Silu: jax.nn.silu,
    Mish: jax.nn.mish,
    HardSwish: jax.nn.hard_swish,
}


@FUNCTIONS.says(*_PLAIN)
def _plain(layer: Layer, call: Call) -> Array:
    return jnp.asarray(_PLAIN[type(layer)](call.x))


@FUNCTIONS.says(Tanh)
def _tanh(layer: Tanh, call: Call) -> Array:
    return layer.amplitude * jnp.tanh(layer.slope * call.x)


@FUNCTIONS.says(Softmax)
def _softmax(layer: Softmax, call: Call) -> Array:
    return jax.nn.softmax(call.x, axis=1)


@FUNCTIONS.says(LogSoftmax)
def _log_softmax(layer: LogSoftmax, call: Call) -> Array:
    return jax.nn.log_softmax(call.x, axis=1)


@FUNCTIONS.says(LeakyRelu)
def _leaky_relu(layer: LeakyRelu, call: Call) -> Array:
    return jnp.where(call.x > 0, call.x, layer.slope * call.x)


@FUNCTIONS.says(Prelu)
def _prelu(layer: Prelu, call: Call) -> Array:
    return jnp.where(call.x > 0, call.x, per_channel(call.weights["slope"], call.x.ndim) * call.x)


@FUNCTIONS.says(Elu)
def _elu(layer: Elu, call: Call) -> Array:
    return jax.nn.elu(call.x, layer.alpha)


@FUNCTIONS.says(Gelu)
def _gelu(layer: Gelu, call: Call) -> Array:
    return jax.nn.gelu(call.x, approximate=layer.approximate)


@FUNCTIONS.says(Dropout)
def _dropout(layer: Dropout, call: Call) -> Array:
    if not call.training or not layer.drop_probability:
        return call.x
    if call.key is None:
        raise ValueError("dropout needs a key in training: apply(..., training=True, key=...)")
    kept = jax.random.bernoulli(call.key, 1 - layer.drop_probability, call.x.shape)
    return jnp.where(kept, call.x / (1 - layer.drop_probability), 0)


@FUNCTIONS.says(Scale)
def _scale(layer: Scale, call: Call) -> Array:
    y = call.x * per_channel(call.weights["weight"], call.x.ndim)
    return y + per_channel(call.weights["bias"], call.x.ndim) if layer.bias else y


@FUNCTIONS.says(BatchNorm)
def _batch_norm(layer: BatchNorm, call: Call) -> Array:
    """`weight * (x - mean) / sqrt(var + epsilon) + bias`; the running variance is the unbiased one."""
    x, axes = call.x, (0, *range(2, call.x.ndim))
    mean, var = call.weights["running_mean"], call.weights["running_var"]
    if call.training:
        mean, var = x.mean(axes), x.var(axes)
        count = x.size // x.shape[1]
        batch = {"running_mean": mean, "running_var": var * count / (count - 1)}
        for name, value in batch.items():
            call.state[name] = (1 - layer.momentum) * call.weights[name] + layer.momentum * value
    y = (x - per_channel(mean, x.ndim)) * per_channel(jax.lax.rsqrt(var + layer.epsilon), x.ndim)
    if not layer.affine:
        return y
    return y * per_channel(call.weights["weight"], x.ndim) + per_channel(call.weights["bias"], x.ndim)
