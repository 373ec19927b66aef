"""Layers that are several operators: one file a family."""

from cnnspec.bridges.onnx_import.patterns import (  # noqa: F401 - importing them fills the table
    activations,
    dense,
    merging,
    moments,
    normalization,
    pooling,
    scaling,
    shapes,
)
from cnnspec.bridges.onnx_import.patterns.table import PATTERNS, inner_values

__all__ = ["PATTERNS", "inner_values"]
