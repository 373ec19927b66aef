"""A compiler for convolutional networks: check, train and draw a network from one readable file.

The public names are imported when they are first used, so that the command starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnspec.api import (
        LayerSummary,
        Network,
        Run,
        from_onnx,
        load,
        load_run,
        loads,
        to_onnx,
        to_torch,
        train,
    )
    from cnnspec.language.diagnostics import Diagnostic
    from cnnspec.language.errors import SpecError

_HOME = {
    "Diagnostic": "cnnspec.language.diagnostics",
    "LayerSummary": "cnnspec.api",
    "Network": "cnnspec.api",
    "Run": "cnnspec.api",
    "SpecError": "cnnspec.language.errors",
    "from_onnx": "cnnspec.api",
    "load": "cnnspec.api",
    "load_run": "cnnspec.api",
    "loads": "cnnspec.api",
    "to_onnx": "cnnspec.api",
    "to_torch": "cnnspec.api",
    "train": "cnnspec.api",
}

__all__ = [
    "Diagnostic",
    "LayerSummary",
    "Network",
    "Run",
    "SpecError",
    "from_onnx",
    "load",
    "load_run",
    "loads",
    "to_onnx",
    "to_torch",
    "train",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module `cnnspec` has no attribute `{name}`")


def __dir__() -> list[str]:
    return sorted(__all__)
