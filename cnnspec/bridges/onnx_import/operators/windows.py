"""What convolutions and poolings say of their windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnspec.bridges.onnx_import.nodes import Cannot
from cnnspec.bridges.onnx_import.table import At, ends, extent


def windows(at: At, kernel: Sequence[int]) -> dict[str, Any]:
    """Kernel, stride, dilation and padding of a window."""
    axes = len(kernel)
    auto = at.option("auto_pad", b"NOTSET").decode()
    given = at.option("pads", [0] * 2 * axes) if auto == "NOTSET" else [0] * 2 * axes
    pads = list(given) if auto in ("NOTSET", "VALID") else []
    if auto not in ("NOTSET", "VALID", "SAME_UPPER"):
        raise Cannot(f"`auto_pad` is {auto}")
    dilation = list(at.option("dilations", [1] * axes))
    return {
        "kernel": _kernel(kernel),
        "stride": extent(at.option("strides", [1] * axes)),
        "padding": ends(pads[:axes], pads[axes:]) if pads else "same",
        **({"dilation": extent(dilation)} if set(dilation) != {1} else {}),
    }


def _kernel(sizes: Sequence[int]) -> int | tuple[int, ...]:
    """The size of a kernel, one number an axis as it is usually written: `3x3`."""
    return tuple(map(int, sizes)) if len(sizes) > 1 else int(sizes[0])
