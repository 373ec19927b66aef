"""A network as the source code of a Keras 3 model: `to_source(graph, facts, about)`. It needs no Keras."""

from cnnspec.bridges.keras_source.model import to_source

__all__ = ["to_source"]
