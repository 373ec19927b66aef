"""An ONNX model as the layers of a spec: `read_model(load_model(path), name)`."""

from cnnspec.bridges.needed import needed

with needed("onnx"):
    import onnx as _onnx  # noqa: F401

from cnnspec.bridges.onnx_import.file import NotAModel, load_model
from cnnspec.bridges.onnx_import.model import read_model

__all__ = ["NotAModel", "load_model", "read_model"]
