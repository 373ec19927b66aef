"""Random layers that move, cut and resample values, drawn for a shape."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnnspec.layers import Layer, LayerError, Shape, product
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.shapes import Reshape

Rng = np.random.Generator


def whole(rng: Rng, least: int, most: int) -> int:
    return int(rng.integers(least, most + 1))


def amounts(rng: Rng, axes: int, most: int) -> int | tuple[int, ...]:
    count = int(rng.choice([0, axes, 2 * axes]))
    return tuple(whole(rng, 0, most) for _ in range(count)) if count else whole(rng, 0, most)


def extents(rng: Rng, axes: int, most: int) -> int | tuple[int, ...]:
    return whole(rng, 1, most) if rng.random() < 0.5 else tuple(whole(rng, 1, most) for _ in range(axes))


def take(rng: Rng, shape: Shape) -> Layer:
    start = whole(rng, 0, shape[0] - 1)
    return Take(start=start, stop=whole(rng, start + 1, shape[0]))


def pad(rng: Rng, shape: Shape) -> Layer:
    mode = str(rng.choice(["constant", "reflect", "edge"]))
    value = float(rng.choice([0, 0.5, -2])) if mode == "constant" else 0
    return Pad(amounts=amounts(rng, len(shape) - 1, 3), mode=mode, value=value)


def crop(rng: Rng, shape: Shape) -> Layer:
    if rng.random() < 0.5:
        return Crop(to=tuple(whole(rng, 1, n) for n in shape[1:]))
    return Crop(amounts=amounts(rng, len(shape) - 1, 2))


def reshape(rng: Rng, shape: Shape) -> Layer:
    rest = product(shape[2:])
    return Reshape(shape=[(product(shape),), (rest, product(shape[:2])), shape[::-1]][whole(rng, 0, 2)])


MAKERS: dict[str, Callable[[Rng, Shape], Layer]] = {
    "take": take,
    "shuffle": lambda rng, shape: Shuffle(groups=whole(rng, 1, shape[0])),
    "pad": pad,
    "crop": crop,
    "reshape": reshape,
    "nearest": lambda rng, shape: Upsample(factor=extents(rng, len(shape) - 1, 3)),
    "linear": lambda rng, shape: Upsample(factor=extents(rng, len(shape) - 1, 4), mode="linear"),
    "pixel_shuffle": lambda rng, shape: PixelShuffle(factor=extents(rng, len(shape) - 1, 3)),
}


def fitting_structure(rng: Rng, maker: Callable[[Rng, Shape], Layer], axes: int) -> tuple[Shape, Layer]:
    """A shape and a layer that takes it."""
    while True:
        shape = (whole(rng, 1, 12), *(whole(rng, 1, 7 if axes < 3 else 4) for _ in range(axes)))
        try:
            layer = maker(rng, shape)
            layer.infer(shape)
        except LayerError:
            continue
        return shape, layer
