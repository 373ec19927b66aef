"""Changes of shape that are several operators, and embeddings."""

from __future__ import annotations

import numpy as np

from cnnspec.bridges.onnx_import.patterns.table import ends_in
from cnnspec.bridges.onnx_import.table import At, Made, extent
from cnnspec.layers.channels import Shuffle
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.resampling import PixelShuffle, Upsample


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


@ends_in("Reshape")
def _repeated(at: At) -> Made | None:
    """Rows or columns that are each repeated in their places: a larger map."""
    x, factors = at.node.output, [1] * (len(at.shapes.get(at.node.output, ())) - 1)
    while (found := _repetition(at, x)) is not None and x not in at.graph.constants:
        x, axis, factor = found
        factors[axis - 2] *= factor
    return Made(Upsample(factor=extent(factors)), (x,)) if x != at.node.output else None


def _repetition(at: At, name: str) -> tuple[str, int, int] | None:
    """The value, the axis and the number of `add an axis behind it, repeat along it, put both together`."""
    node = at.graph.made_by.get(name)
    if node is None or node.op != "Reshape" or (node is not at.node and not at.graph.sole(name, "Reshape")):
        return None
    repeat = at.graph.sole(node.inputs[0], "Tile") or at.graph.sole(node.inputs[0], "Expand")
    apart = at.graph.made_by.get(repeat.inputs[0]) if repeat else None
    if repeat is None or apart is None or apart.op not in ("Reshape", "Unsqueeze"):
        return None
    names = (apart.inputs[0], apart.output, repeat.output, name)
    if any(one not in at.shapes for one in names) or not at.graph.sole(apart.output, apart.op):
        return None
    before, ones, many, after = (at.shapes[one] for one in names)
    places = [i for i, (n, m) in enumerate(zip(ones, many, strict=False)) if n != m]
    if len(ones) != len(many) or len(places) != 1 or places[0] < 2:
        return None
    (place,), factor = places, many[places[0]]
    longer = (*before[: place - 1], before[place - 1] * factor, *before[place:])
    same = ones == (*before[:place], 1, *before[place:]) and after == longer
    return (apart.inputs[0], place, factor) if same else None
