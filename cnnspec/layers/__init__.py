"""What each layer kind means: one file a family, one class a kind. Importing it registers them all."""

from cnnspec.layers import activations, convolution, dense, merging, pooling, regularization, shapes
from cnnspec.layers.base import (
    AxisWindow,
    Layer,
    LayerError,
    Shape,
    Weight,
    Window,
    kinds,
    product,
    show,
)

__all__ = [
    "AxisWindow",
    "Layer",
    "LayerError",
    "Shape",
    "Weight",
    "Window",
    "activations",
    "convolution",
    "dense",
    "kinds",
    "merging",
    "pooling",
    "product",
    "regularization",
    "shapes",
    "show",
]
