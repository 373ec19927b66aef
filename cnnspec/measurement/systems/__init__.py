"""Steps of one network in each system that it can be measured in.

A system gives a step, warmed up, for each mode that it can work in; the fastest mode counts as the system.
"""

from __future__ import annotations

from cnnspec.measurement.systems import jax, numpy, onnxruntime, torch  # noqa: F401 - each adds itself
from cnnspec.measurement.systems.base import SYSTEMS, System, Way, available

__all__ = ["SYSTEMS", "System", "Way", "available"]
