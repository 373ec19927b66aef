"""Augmentation: what is done by chance to each training sample, anew in every epoch.

Samples are `C x ...` with any number of spatial axes; what is drawn follows from the seed of the run, the
epoch and the number of the sample alone. Black is what the pixel value 0 has become by normalising.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.declaration import OptionError, option, written
from cnnspec.layers.options import count, flag, fraction, one_of, positive, real_number
from cnnspec.recipe.kinds import RecipeKind, Role

if TYPE_CHECKING:
    from cnnspec.layers.base import Shape


def degrees(value: object) -> float:
    """An angle above 0 and up to 180 degrees."""
    angle = real_number(value)
    if not 0 < angle <= 180:
        raise OptionError(f"must be above 0 and at most 180 degrees, not {written(value)}")
    return angle


class _Augmentation(RecipeKind):
    role: ClassVar[Role] = "augment"
    axes: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """The numbers of spatial axes of the samples that it can change."""

    def misfit(self, shape: Shape) -> str:
        """Why it cannot change samples of a shape, completing "`flip` ..."; empty where it can."""
        return "" if len(shape) - 1 in self.axes else f"cannot change samples of {_words(shape)}"


class Flip(_Augmentation):
    """Every second sample, by chance, is mirrored: left to right, or upside down; a signal in time."""

    axes: ClassVar[tuple[int, ...]] = (1, 2)
    example: ClassVar[str] = "augment flip"

    direction: str = option(
        one_of("horizontal", "vertical"),
        "`horizontal` turns the columns around, `vertical` the rows",
        default="horizontal",
        positional=True,
    )

    def misfit(self, shape: Shape) -> str:
        """Upside down needs rows."""
        if self.direction == "vertical" and len(shape) == 2:
            return f"needs rows, and a sample is {_words(shape)}"
        return super().misfit(shape)


class Shift(_Augmentation):
    """Every sample is moved by whole pixels along each axis; what comes in from outside is black."""

    example: ClassVar[str] = "augment shift 2"

    distance: int = option(count, "the farthest that it moves, in pixels or samples", positional=True)


class Crop(_Augmentation):
    """Every sample gets a border, and a part of its own size is cut out at a place drawn by chance."""

    example: ClassVar[str] = "augment crop padding=4"

    padding: int = option(count, "width of the border on every side, in pixels or samples")
    reflect: bool = option(
        flag, "whether the border mirrors what is inside, instead of being black", default=False
    )

    def misfit(self, shape: Shape) -> str:
        """A border can mirror no more than there is, but for the edge itself."""
        if self.reflect and len(shape) > 1 and self.padding >= min(shape[1:]):
            return f"mirrors more than a sample of {_words(shape)} holds"
        return super().misfit(shape)


class Rotate(_Augmentation):
    """Every image is turned about its centre, bilinearly; what comes in from outside is black."""

    axes: ClassVar[tuple[int, ...]] = (2,)
    example: ClassVar[str] = "augment rotate 10"

    angle: float = option(degrees, "the farthest that it turns, either way, in degrees", positional=True)


class Erase(_Augmentation):
    """A square of every sample, centred anywhere in it, becomes 0 (cutout, DeVries & Taylor 2017)."""

    example: ClassVar[str] = "augment erase 8"

    size: int = option(count, "side of the square, in pixels or samples", positional=True)


class Brightness(_Augmentation):
    """Every sample's distance from black is multiplied by a number from `1 - amount` to `1 + amount`."""

    axes: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    example: ClassVar[str] = "augment brightness 0.2"

    amount: float = option(fraction, "how far the factor is from 1 at most", positional=True)


class Noise(_Augmentation):
    """Normal noise is added to every value."""

    axes: ClassVar[tuple[int, ...]] = (0, 1, 2, 3)
    example: ClassVar[str] = "augment noise 0.05"

    deviation: float = option(
        positive, "its standard deviation, where 1 is the range from black to white", positional=True
    )


Augmentation = _Augmentation


def _words(shape: Shape) -> str:
    return "x".join(map(str, shape))
