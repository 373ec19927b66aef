"""How samples are changed by chance: each augmentation on a whole batch at once.

The numbers drawn for the samples of an epoch are the rows of one table for each augmentation, made by a
generator that is keyed by seed, epoch and the augmentation's place in the list: sample `i` gets row `i`,
whatever batch it comes in and whichever thread makes the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnnspec.layers.base import product
from cnnspec.recipe.augment import Augmentation, Brightness, Crop, Erase, Flip, Noise, Rotate, Shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers.base import Shape
    from cnnspec.training.datasets.dataset import Scale

AT_ONCE: Final = 2**16
"""Values that are turned at a time: the many arrays on the way are so small that their memory is used again,
instead of being given back to the system and asked for, which takes three times as long as all the rest."""
ANGLES: Final = 64
"""Angles that images are turned by."""
MOST_PLACES: Final = 2**22
"""Pixels, of all angles together, whose places are kept: 64 MiB."""
NOISE_NUMBERS: Final = 2**20
"""Normal numbers of a table that the noise of all samples is cut out of, each from a place of its own."""


class Augmenter:
    """Changes the samples of one epoch; calls may come from several threads."""

    def __init__(
        self, chain: Sequence[Augmentation], shape: Shape, count: int, scale: Scale, seed: int, epoch: int
    ) -> None:
        _keep_freed_memory()
        self._steps: list[tuple[_Change, NDArray[np.float32]]] = []
        for place, augmentation in enumerate(chain):
            keys = np.random.SeedSequence([seed, epoch, place, 1])
            random = np.random.Generator(np.random.Philox(keys))
            change, draws = _CHANGES[type(augmentation)](augmentation, shape, scale, seed)
            self._steps.append((change, random.random((count, draws), np.float32)))

    def __call__(self, x: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The samples with numbers `rows`, changed; `x` may be changed in place."""
        for change, table in self._steps:
            x = change(x, table[rows])
        return x


@cache
def _keep_freed_memory() -> None:
    """Let the C library use freed blocks of up to 16 MiB again, in place of giving them back to the system.

    That of GNU sets its thresholds by the largest block that has been freed (mallopt(3), M_MMAP_THRESHOLD).
    Where every batch asks for its pages anew, a shift takes seven times as long. No page is touched here.
    """
    np.empty(2**22, np.float32)


_Change = Callable[["NDArray[np.float32]", "NDArray[np.float32]"], "NDArray[np.float32]"]
"""Samples, and for each a row of numbers from 0 up to 1, to changed samples."""


# --- each of them -----------------------------------------------------------------------------------------


def _flip(how: Flip, shape: Shape, scale: Scale, seed: int) -> tuple[_Change, int]:
    axis = -1 if how.direction == "horizontal" else -2

    def change(x: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        chosen = np.flatnonzero(drawn[:, 0] < 0.5)
        x[chosen] = np.flip(x[chosen], axis)
        return x

    return change, 1


def _shift(how: Shift | Crop, shape: Shape, scale: Scale, seed: int) -> tuple[_Change, int]:
    """Cut a window of the sample's size out of the sample with a border: a shift by up to its width."""
    border = how.distance if isinstance(how, Shift) else how.padding
    reflect = isinstance(how, Crop) and how.reflect
    spatial = shape[1:]
    axes = tuple(range(2, len(shape) + 1))
    inside = tuple(slice(border, border + size) for size in spatial)
    wide = tuple(size + 2 * border for size in spatial)

    def change(x: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        if reflect:
            bordered = np.pad(x, ((0, 0), (0, 0), *((border, border),) * len(spatial)), mode="reflect")
        else:
            bordered = np.empty((*x.shape[:2], *wide), np.float32)
            bordered[:] = _by_channel(scale.black, len(shape))
            bordered[:, :, *inside] = x
        offsets = (drawn * (2 * border + 1)).astype(np.intp)  # 0 to 2 * border
        windows = sliding_window_view(bordered, spatial, axis=axes)  # (N, C, places ..., spatial ...)
        found: NDArray[np.float32] = windows[np.arange(len(x)), :, *offsets.T]  # (N, C, spatial ...)
        return found

    return change, len(spatial)


def _rotate(how: Rotate, shape: Shape, scale: Scale, seed: int) -> tuple[_Change, int]:
    """Each output pixel mixes the four input pixels around the place that it is turned from.

    The angles are drawn from `ANGLES` that are evenly spread, so that the places can be kept for each of them
    unless the images are large.
    """
    channels, height, width = shape
    wide, area = width + 2, (height + 2) * (width + 2)
    black = np.broadcast_to(scale.black, channels)
    angles = np.deg2rad(((np.arange(ANGLES, dtype=np.float32) + 0.5) * (2 / ANGLES) - 1) * how.angle)
    known = _turned(angles, height, width) if height * width * ANGLES <= MOST_PLACES else None
    at_once = max(1, AT_ONCE // (height * width))

    def change(x: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        numbers = (drawn[:, 0] * ANGLES).astype(np.intp)
        for start in range(0, len(x), at_once):
            turn(x[start : start + at_once], numbers[start : start + at_once])
        return x

    def turn(x: NDArray[np.float32], numbers: NDArray[np.intp]) -> None:
        if known is None:
            corners, down, right = _turned(angles[numbers], height, width)
        else:
            corners = known[0].take(numbers, axis=0)
            down, right = known[1].take(numbers, axis=0), known[2].take(numbers, axis=0)
        corners += (np.arange(len(x)) * area)[:, None, None]
        bordered = np.empty((len(x), height + 2, wide), np.float32)
        flat = bordered.reshape(-1)
        for channel in range(channels):
            bordered[:] = black[channel]
            bordered[:, 1:-1, 1:-1] = x[:, channel]
            four = [flat[offset:].take(corners, mode="wrap") for offset in (0, 1, wide, wide + 1)]
            upper, lower = _between(four[0], four[1], right), _between(four[2], four[3], right)
            x[:, channel] = _between(upper, lower, down)

    return change, 1


def _turned(
    angles: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Where the pixels of an image turned by each angle come from, `K x H x W`, in one with a border of 1.

    The number of the upper left of the four pixels around the place, and the shares of the lower and of the
    right ones. Places beyond the border are held on it.
    """
    rows = (np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2))[:, None]
    columns = (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2))[None, :]
    cosine, sine = np.cos(angles)[:, None, None], np.sin(angles)[:, None, None]
    top, down = _inside(cosine * rows + np.float32((height + 1) / 2), sine * columns, height)
    left, right = _inside(sine * rows + np.float32((width + 1) / 2), -cosine * columns, width)
    top *= np.float32(width + 2)
    top += left
    return top.astype(np.intp), down, right


def _inside(
    one: NDArray[np.float32], other: NDArray[np.float32], size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places `one - other` of the image with its border: the pixel before each, and the share of the next."""
    places = one - other
    np.maximum(places, np.float32(0), out=places)
    np.minimum(places, np.float32(size + 1), out=places)
    before = np.minimum(np.floor(places), np.float32(size))  # so that there is a next one
    places -= before
    return before, places


def _between(
    one: NDArray[np.float32], other: NDArray[np.float32], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`one + share * (other - one)`, in the memory of `other`."""
    other -= one
    other *= share
    other += one
    return other


def _erase(how: Erase, shape: Shape, scale: Scale, seed: int) -> tuple[_Change, int]:
    spatial = shape[1:]
    places = [np.arange(size) for size in spatial]

    def change(x: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        starts = (drawn * np.array(spatial, np.float32)).astype(np.intp) - how.size // 2
        mask = np.ones((len(x), 1, *(1,) * len(spatial)), np.bool_)
        for axis, place in enumerate(places):
            start = starts[:, axis, None]
            inside = (place >= start) & (place < start + how.size)  # (N, size)
            form = [len(x), 1, *(1,) * len(spatial)]
            form[2 + axis] = spatial[axis]
            mask = mask & inside.reshape(form)
        np.copyto(x, np.float32(0), where=mask)
        return x

    return change, len(spatial)


def _brightness(how: Brightness, shape: Shape, scale: Scale, seed: int) -> tuple[_Change, int]:
    black = _by_channel(scale.black, len(shape))

    def change(x: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        factor = 1 + (2 * drawn[:, 0] - 1) * np.float32(how.amount)
        factor = factor.reshape(-1, *(1,) * len(shape))
        x *= factor
        x += black * (1 - factor)
        return x

    return change, 1


def _noise(how: Noise, shape: Shape, scale: Scale, seed: int) -> tuple[_Change, int]:
    size = product(shape)
    table = _normal_numbers(seed, size + NOISE_NUMBERS)
    pieces = sliding_window_view(table, size)
    reach = _by_channel(scale.range, len(shape)) * np.float32(how.deviation)

    def change(x: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        places = (drawn[:, 0].astype(np.float64) * NOISE_NUMBERS).astype(np.intp)
        noise = pieces[places].reshape(x.shape)
        noise *= reach
        x += noise
        return x

    return change, 1


@cache
def _normal_numbers(seed: int, count: int) -> NDArray[np.float32]:
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 2])))
    return random.standard_normal(count, np.float32)


def _by_channel(values: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    """A number for each channel, or one for all, to be broadcast over `N x C x ...`."""
    return values.reshape(-1, *(1,) * (axes - 1))


_CHANGES: Final[dict[type[Augmentation], Callable[..., tuple[_Change, int]]]] = {
    Flip: _flip,
    Shift: _shift,
    Crop: _shift,
    Rotate: _rotate,
    Erase: _erase,
    Brightness: _brightness,
    Noise: _noise,
}
"""What makes each augmentation: its change, and how many numbers a sample needs."""
