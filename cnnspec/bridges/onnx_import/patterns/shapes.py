"""Changes of shape that are several operators, and embeddings."""

from __future__ import annotations

import numpy as np

from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import At, Made, extent
from cnnspec.layers.channels import Shuffle
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.resampling import PixelShuffle


@ends_in("Reshape")
def _regrouped(at: At) -> Made | None:
    """Axes taken apart, moved, and put together: a channel shuffle or a pixel shuffle."""
    moved = at.graph.sole(at.x, "Transpose")
    apart = at.graph.sole(moved.inputs[0], "Reshape") if moved else None
    sizes = at.graph.whole_numbers(apart.inputs[1]) if apart else None
    if moved is None or apart is None or sizes is None:
        return None
    x = apart.inputs[0]
    shape, perm = at.shape(x), list(moved.attributes["perm"])
    if perm == [0, 2, 1, *range(3, len(perm))] and tuple(sizes[3:]) == shape[1:] and sizes[1] > 0:
        return Made(Shuffle(groups=sizes[1]), (x,))
    axes = len(shape) - 1
    pairs = [place for axis in range(axes) for place in (2 + axes + axis, 2 + axis)]
    if perm == [0, 1, *pairs]:
        return Made(PixelShuffle(factor=extent(sizes[2 : 2 + axes])), (x,))
    return None


@ends_in("Transpose")
def _embedding(at: At) -> Made | None:
    """Vectors that are looked up, then moved to stand along the channels."""
    found = at.graph.sole(at.x, "Gather")
    if found is None or list(at.option("perm", ())) != [0, 2, 1] or found.attributes.get("axis", 0) != 0:
        return None
    table = at.graph.array(found.inputs[0])
    if table is None or table.ndim != 2:
        return None
    cast = at.graph.sole(found.inputs[1], "Cast")
    x = cast.inputs[0] if cast else found.inputs[1]
    layer = Embedding(vocabulary=table.shape[0], dimension=table.shape[1])
    return Made(layer, (x,), {"weight": table.astype(np.float32)})
