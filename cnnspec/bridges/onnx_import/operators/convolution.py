"""Convolutions, transposed ones too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.operators.windows import windows
from cnnspec.bridges.onnx_import.table import At, Made, ends, extent, reads
from cnnspec.layers.connections import Connections
from cnnspec.layers.convolution import Conv
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.pooling import Subsample
from cnnspec.layers.transposed import ConvTranspose

if TYPE_CHECKING:
    from numpy.typing import NDArray


@reads("Conv")
def _conv(at: At) -> Made:
    weight = at.constant(1, "kernel")
    bias = {"bias": at.constant(2, "bias")} if at.has(2) else {}
    groups, channels = at.option("group", 1), weight.shape[0]
    options = windows(at, weight.shape[2:]) | ({} if bias else {"bias": False})
    if at.graph.own and at.node.inputs[1].endswith(".coefficient"):
        return _subsample(at, weight, bias["bias"])
    if groups == at.shape()[0] and groups > 1:
        multiplier = channels // groups
        more = {"multiplier": multiplier} if multiplier > 1 else {}
        return Made(Depthwise(**options, **more), (at.x,), {"weight": weight, **bias})
    if groups > 1:
        return Made(Conv(channels=channels, **options, groups=groups), (at.x,), {"weight": weight, **bias})
    if lists := _connections(at, weight):
        kernels = np.concatenate([weight[output, list(seen)] for output, seen in enumerate(lists)])
        layer = Conv(channels=channels, **options, connections=Connections(lists))
        return Made(layer, (at.x,), {"weight": kernels, **bias})
    return Made(Conv(channels=channels, **options), (at.x,), {"weight": weight, **bias})


def _subsample(at: At, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Made:
    coefficient = weight.reshape(len(weight), -1)[:, 0]
    options = windows(at, weight.shape[2:])
    return Made(Subsample(**options), (at.x,), {"coefficient": coefficient, "bias": bias})


def _connections(at: At, weight: NDArray[np.float32]) -> tuple[tuple[int, ...], ...] | None:
    """The input channels that each output sees, where a model of ours says so."""
    lists, known = at.remark("connections"), range(weight.shape[1])
    if not isinstance(lists, list) or len(lists) != len(weight):
        return None
    whole = all(isinstance(seen, list) and seen and all(one in known for one in seen) for seen in lists)
    return tuple(tuple(map(int, seen)) for seen in lists) if whole else None


@reads("ConvTranspose")
def _conv_transpose(at: At) -> Made:
    return conv_transpose(at, at.constant(2, "bias") if at.has(2) else None, None)


def conv_transpose(at: At, bias: NDArray[np.float32] | None, behind: Sequence[int] | None) -> Made:
    """A transposed convolution, with positions that a padding adds behind it."""
    at.wants("auto_pad", "NOTSET", "VALID")
    if "output_shape" in at.node.attributes:
        raise Cannot("`output_shape` is given")
    weight = at.constant(1, "kernel")
    groups = at.option("group", 1)
    axes = weight.ndim - 2
    pads = list(at.option("pads", [0] * 2 * axes))
    extra = [
        a + b for a, b in zip(at.option("output_padding", [0] * axes), behind or [0] * axes, strict=True)
    ]
    before, after = pads[:axes], pads[axes:]
    options = windows(at, weight.shape[2:])
    if at.graph.own:  # what our own models add behind, they cut off less
        short = [max(b - a, 0) for b, a in zip(before, after, strict=True)]
        if behind is None and any(short):
            extra, after = short, [a + s for a, s in zip(after, short, strict=True)]
    options["padding"] = ends(before, after)
    if any(extra):
        options["output_padding"] = extent(extra)
    more = ({} if groups == 1 else {"groups": groups}) | ({} if bias is not None else {"bias": False})
    layer = ConvTranspose(channels=weight.shape[1] * groups, **options, **more)
    return Made(layer, (at.x,), {"weight": weight, **({} if bias is None else {"bias": bias})})
