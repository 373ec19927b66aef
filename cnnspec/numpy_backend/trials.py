"""A kernel by itself, on random numbers: how long its passes take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.layers import Shape, product
from cnnspec.numpy_backend.kernels.base import Array, Kernel, Layout, Moment, Run, Site
from cnnspec.numpy_backend.memory import allocate

if TYPE_CHECKING:
    from cnnspec.layers import Layer

FEWEST_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """One use of a layer: what its kernels are tried on."""

    layer: Layer
    shape: Shape
    tile: Shape
    images: int
    training: bool


def trial(kind: type[Kernel[Layer]], setting: Setting) -> Run:
    """Bind both passes of a kernel, or the forward pass alone, to memory of its own."""
    layer, shape, n = setting.layer, setting.shape, setting.images
    tile = setting.tile if setting.tile and kind.writes_tiles(layer, shape, setting.tile) else ()
    source, target, weights = Layout(shape), Layout(layer.infer(shape), tile), layer.weights(shape)
    kernel = kind(layer, (source,), target, weights)
    own = {weight.name: _random(weight.shape) for weight in weights}
    shared = {name: _random(size) for name, size in kernel.shared().items()}
    if (prepare := kernel.prepare(own, shared)) is not None:
        prepare()
    x, y = _random((*source.stored, n)), _random((*target.stored, n))
    dx, dy = (_random((*x.shape,)), _random((*y.shape,))) if setting.training else (x, y)
    scratch = {
        s.name: _random(s.stored(n))
        for s in kernel.scratch()
        if setting.training or s.during in ("forward", "both")
    }
    sums = {name: _random(size) for name, size in kernel.sums().items()} if setting.training else {}
    moment = Moment(training=setting.training)
    site = Site(n, 0, moment, (x,), (x,), y, (dx,), (dx,), dy, own, shared, sums, scratch, part={}, whole={})
    forward = kernel.forward(site)
    backward = kernel.backward(site) if setting.training and kind.learns else None

    def run() -> None:
        forward()
        if backward is not None:
            backward()

    return run


def _random(shape: Shape) -> Array:
    """Numbers about 0, aligned as those of a plan are."""
    size = product(shape)
    array = allocate(4 * size).view(np.float32)
    np.copyto(array, np.random.default_rng(size).standard_normal(size, np.float32))
    return array.reshape(shape)


def medians(runs: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """The median time of each, turn by turn for so long, after a turn that does not count."""
    for run in runs:
        run()
    times: list[list[float]] = [[] for _ in runs]
    start = time.perf_counter()
    while len(times[0]) < FEWEST_ROUNDS or time.perf_counter() - start < seconds:
        for run, taken in zip(runs, times, strict=True):
            begun = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begun)
    return [median(taken) for taken in times]
