"""Operators that are layers by themselves: one file a family."""

from cnnspec.bridges.onnx_import.operators import (  # noqa: F401 - importing them fills the table
    activations,
    convolution,
    dense,
    merging,
    normalization,
    pooling,
    resampling,
    shapes,
)
from cnnspec.bridges.onnx_import.table import READERS

__all__ = ["READERS"]
