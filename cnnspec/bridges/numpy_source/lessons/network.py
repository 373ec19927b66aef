"""The network itself, its losses and the file of its weights."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cnnspec.bridges.numpy_source.lessons.layer import Array, Layer


def of_probabilities(y: Array, labels: Array) -> tuple[float, Array]:
    """Cross entropy of probabilities, its mean over the batch, and its gradient."""
    rows, dy = np.arange(len(y)), np.zeros_like(y)
    chosen = np.maximum(y[rows, labels], 1e-12)
    dy[rows, labels] = -1 / (chosen * len(y))
    return float(-np.log(chosen).mean()), dy


def of_logarithms(y: Array, labels: Array) -> tuple[float, Array]:
    """Cross entropy of logarithms of probabilities, its mean over the batch, and its gradient."""
    rows, dy = np.arange(len(y)), np.zeros_like(y)
    dy[rows, labels] = -1 / len(y)
    return float(-y[rows, labels].mean()), dy


def of_logits(y: Array, labels: Array) -> tuple[float, Array]:
    """Cross entropy of numbers before the softmax, its mean over the batch, and its gradient."""
    z = y - y.max(axis=1, keepdims=True)
    logarithms = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss, _ = of_logarithms(logarithms, labels)
    dy = np.exp(logarithms) / len(y)
    dy[np.arange(len(y)), labels] -= 1 / len(y)
    return loss, dy


def of_numbers(y: Array, labels: Array) -> tuple[float, Array]:
    """The mean squared difference from numbers of the same shape, and its gradient."""
    return float(((y - labels) ** 2).mean()), 2 * (y - labels) / y.size


def read_safetensors(path: str) -> dict[str, Array]:
    """The float32 arrays of a safetensors file: the length of a JSON header, the header, the bytes."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        content = file.read()
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        arrays[name] = np.frombuffer(content[first:last], "<f4").reshape(entry["shape"])
    return arrays


class Network:
    """Layers in order, each behind the values that it reads."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    frozen: tuple[str, ...] = ()
    """Layers whose weights a step leaves alone."""
    layers: list[tuple[str, Layer, list[str]]]

    def forward(self, *inputs: Array, training: bool = False) -> Any:  # noqa: ANN401 - one array or several
        """The output for a batch, N x C x H x W; several are a tuple."""
        self.values = dict(zip(self.inputs, inputs, strict=True))
        for name, layer, read in self.layers:
            layer.training = training
            self.values[name] = layer.forward(*(self.values[value] for value in read))
        ends = tuple(self.values[name] for name in self.outputs)
        return ends[0] if len(ends) == 1 else ends

    def backward(self, *dy: Array) -> Any:  # noqa: ANN401 - one array or several
        """The gradient of the input for that of the output; each layer has those of its weights then."""
        gradients: dict[str, Array] = {name: np.zeros_like(self.values[name]) for name in self.values}
        for name, gradient in zip(self.outputs, dy, strict=True):
            gradients[name] = gradients[name] + gradient
        for name, layer, read in reversed(self.layers):
            for value, gradient in zip(read, layer.backward(gradients[name]), strict=True):
                gradients[value] = gradients[value] + gradient
        ends = tuple(gradients[name] for name in self.inputs)
        return ends[0] if len(ends) == 1 else ends

    def train_step(self, x: Array, labels: Array, lr: float = 0.1) -> float:
        """One step of gradient descent on a batch; gives the loss before it."""
        loss, dy = self.loss(self.forward(x, training=True), labels)
        self.backward(dy)
        for _, layer, _ in (entry for entry in self.layers if entry[0] not in self.frozen):
            for name, gradient in layer.gradients.items():
                layer.weights[name] = layer.weights[name] - lr * gradient
        return loss

    def loss(self, y: Array, labels: Array) -> tuple[float, Array]:
        """The loss and its gradient."""
        raise NotImplementedError

    def load(self, path: str) -> None:
        """Take the weights of a safetensors file: `conv1.weight`, `conv1.bias`, ..."""
        arrays = read_safetensors(path)
        for name, layer, _ in self.layers:
            for weight in layer.weights:
                layer.weights[weight] = arrays[f"{name}.{weight}"].astype(float)
