"""Poolings, global ones too."""

from __future__ import annotations

from typing import Any

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.operators.windows import windows
from cnnspec.bridges.onnx_import.table import At, Made, extent, reads
from cnnspec.layers import LayerError
from cnnspec.layers.adaptive import GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool


def _pool(at: At, *, counts: bool) -> dict[str, Any]:
    """The options of a pooling; `counts` says whether padding counts in what it computes."""
    options = windows(at, at.option("kernel_shape"))
    if at.option("ceil_mode", 0):
        options["ceil"] = True
    elif options["padding"] != "same":
        options |= _simpler(at, options, counts)
    if options["stride"] == extent(at.option("kernel_shape")):
        del options["stride"]
    return options


def _simpler(at: At, options: dict[str, Any], counts: bool) -> dict[str, Any]:
    """Padding alike at both ends, or `ceil`, where the windows are the same with it."""
    axes = len(at.option("kernel_shape"))
    pads = list(at.option("pads", [0] * 2 * axes))
    before, after = pads[:axes], pads[axes:]
    if before == after:
        return {}
    own = {name: value for name, value in options.items() if name != "padding"}
    asked = MaxPool(**options).infer(at.shape())
    if all(a <= b for a, b in zip(after, before, strict=True)):
        even: dict[str, Any] = {"padding": extent(before)}
        return even if MaxPool(**own, **even).infer(at.shape()) == asked else {}
    even = {"padding": extent(before), "ceil": True}
    try:
        same = MaxPool(**own, **even).infer(at.shape()) == asked
    except LayerError:
        return {}
    return even if same and not counts else {}


@reads("MaxPool")
def _max_pool(at: At) -> Made:
    at.wants("storage_order", 0)
    return Made(MaxPool(**_pool(at, counts=False)), (at.x,))


@reads("AveragePool")
def _avg_pool(at: At) -> Made:
    counted = bool(at.option("count_include_pad", 0))
    options = _pool(at, counts=counted)
    if "dilation" in options:
        raise Cannot("it is dilated")
    if options["padding"] and not counted:
        options["count_padding"] = False
    return Made(AvgPool(**options), (at.x,))


@reads("LpPool")
def _lp_pool(at: At) -> Made:
    at.wants("p", 2)
    return Made(L2Pool(**_pool(at, counts=False)), (at.x,))


@reads("ReduceMean", "ReduceMax")
def _reduce(at: At) -> Made:
    """Over all positions of a map it is global pooling."""
    axes = at.graph.whole_numbers(at.node.inputs[1]) if at.has(1) else at.option("axes")
    rank = len(at.shape()) + 1
    if axes is None or sorted(a % rank for a in axes) != list(range(2, rank)) or rank < 3:
        raise Cannot("it is not taken over all positions of a map")
    layer = GlobalAvgPool() if at.node.op == "ReduceMean" else GlobalMaxPool()
    return Made(layer, (at.x,), flat=not at.option("keepdims", 1))
