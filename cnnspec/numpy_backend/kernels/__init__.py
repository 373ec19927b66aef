"""How each layer kind is computed. Files are named as in `cnnspec.layers`; importing them registers them."""

from cnnspec.numpy_backend.kernels import (
    activations,
    convolution,
    dense,
    gates,
    losses,
    merging,
    normalization,
    pooling,
    rectifiers,
    regularization,
    scaling,
    shapes,
)

__all__ = [
    "activations",
    "convolution",
    "dense",
    "gates",
    "losses",
    "merging",
    "normalization",
    "pooling",
    "rectifiers",
    "regularization",
    "scaling",
    "shapes",
]
