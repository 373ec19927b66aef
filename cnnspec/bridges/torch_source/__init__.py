"""A network as the source code of a PyTorch module: `to_source(graph, facts, about)`. It needs no PyTorch."""

from cnnspec.bridges.torch_source.module import to_source

__all__ = ["to_source"]
