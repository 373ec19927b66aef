"""What each layer kind means: one file a family, one class a kind. Importing it registers them all."""

from cnnspec.layers import (
    activations,
    convolution,
    dense,
    gates,
    merging,
    normalization,
    pooling,
    rectifiers,
    regularization,
    scaling,
    shapes,
)
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
    "gates",
    "kinds",
    "merging",
    "normalization",
    "pooling",
    "product",
    "rectifiers",
    "regularization",
    "scaling",
    "shapes",
    "show",
]
