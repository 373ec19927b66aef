"""Models that keep channels last, rewritten so that they stand first: `straightened(graph, shapes)`.

For each value of the model the walk knows in which order its axes stand to those of the network's value
(`orders.py`). A transposition changes that order and nothing else. What treats all elements alike hands
it on, its constants turned; what names an axis names another (`along.py`). A product along the channels
becomes a 1x1 convolution; a vector that was a map, channels last, has its elements in another order,
which the weights of the next dense layer take up (`products.py`). A reshape takes axes apart and puts
them together (`reshapes.py`). What reads channels first, such as a convolution, gets the value straight.
Where it is not, a `Transpose` stands in the graph, which no layer says: it is reported with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cnnspec.bridges.onnx_import.layout.along import RULES as _ALONG
from cnnspec.bridges.onnx_import.layout.products import RULES as _PRODUCTS
from cnnspec.bridges.onnx_import.layout.reshapes import RULES as _RESHAPES
from cnnspec.bridges.onnx_import.layout.walk import Straight, Walk

if TYPE_CHECKING:
    from cnnspec.bridges.onnx_import.nodes import OnnxGraph
    from cnnspec.layers import Shape

assert _ALONG is _PRODUCTS is _RESHAPES


def straightened(graph: OnnxGraph, shapes: Mapping[str, Shape]) -> Straight:
    """A model's graph with channels first everywhere; `shapes` are those of the model's samples."""
    return Walk(graph, shapes).run()


__all__ = ["Straight", "straightened"]
