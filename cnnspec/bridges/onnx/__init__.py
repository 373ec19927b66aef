"""A network as an ONNX model: `to_onnx(graph, facts, weights)`."""

from cnnspec.bridges.needed import needed

with needed("onnx"):
    import onnx as _onnx  # noqa: F401

from cnnspec.bridges.onnx.model import OPSET, to_onnx

__all__ = ["OPSET", "to_onnx"]
