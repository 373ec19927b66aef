"""Bounds on gradients, applied in place before an update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.training.optimizers.update import CHUNK, Part

if TYPE_CHECKING:
    from cnnspec.recipe import Clip


def clip_gradients(clip: Clip, parts: Sequence[Part]) -> None:
    """Hold each element within `clip.value`, then scale all of them so that their norm is within `clip.norm`.

    As PyTorch's `clip_grad_value_` and `clip_grad_norm_`: gradients of a norm above the bound are multiplied
    by `bound / (norm + 1e-6)` (Pascanu et al. 2013, arXiv:1211.5063).
    """
    if clip.value is not None:
        for part in parts:
            np.clip(part.gradients, -clip.value, clip.value, out=part.gradients)
    if clip.norm is None:
        return
    factor = clip.norm / (norm(parts) + 1e-6)
    if factor < 1:
        for part in parts:
            np.multiply(part.gradients, factor, out=part.gradients)


def norm(parts: Sequence[Part]) -> float:
    """The root of the sum of the squares of all gradients."""
    return math.sqrt(sum(_square(part) for part in parts))


def _square(part: Part) -> float:
    chunks = (part.gradients[start : start + CHUNK] for start in range(0, part.gradients.size, CHUNK))
    return sum(float(np.dot(chunk, chunk)) for chunk in chunks)
