"""A network as one readable file of NumPy: `to_source(graph, facts, about)`."""

from cnnspec.bridges.numpy_source.module import to_source

__all__ = ["to_source"]
