"""Data sets: what a network is trained on, as far as it is known without reading the samples."""

from __future__ import annotations

import os
from typing import ClassVar, Self

from cnnspec.layers.base import Shape
from cnnspec.layers.declaration import OptionError, option, written
from cnnspec.layers.options import (
    Extent,
    count,
    describe,
    flag,
    natural,
    optional_extent,
    real_number,
)
from cnnspec.recipe.kinds import RecipeKind, Role
from cnnspec.recipe.listing import class_names, columns

Moments = tuple[float, ...]
"""A number for every channel, or one for all of them."""


def image_size(value: object) -> Extent | None:
    """One number for height and width, or two; or nothing."""
    size = optional_extent(value)
    if isinstance(size, tuple) and len(size) > 2:
        raise OptionError(f"must be one number, or height and width, not {describe(size)}")
    return size


def normalizing(value: object) -> bool | tuple[Moments, Moments]:
    """`true`, `false`, or mean and deviation, `(0.13, 0.31)`, or by channel, `((a, b, c), (d, e, f))`."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, tuple) or len(value) != 2:
        raise OptionError(
            f"must be `true`, `false`, or mean and deviation such as `(0.13, 0.31)`, not {describe(value)}"
        )
    mean, deviation = (_moments(item) for item in value)
    if min(deviation) <= 0:
        raise OptionError(f"must have a deviation above 0, not {written(min(deviation))}")
    if len(mean) != len(deviation):
        raise OptionError(f"must have as many means ({len(mean)}) as deviations ({len(deviation)})")
    return mean, deviation


def _moments(value: object) -> Moments:
    items = value if isinstance(value, tuple) else (value,)
    if not items:
        raise OptionError("must have a mean and a deviation, not `()`")
    return tuple(float(real_number(item)) for item in items)


def path(value: object) -> str:
    """A file or folder, in quotes unless it is one word, relative to the .cnn file."""
    if not isinstance(value, str):
        raise OptionError(f"must be a path in quotes, not {describe(value)}")
    if not value or "\0" in value:
        raise OptionError(f"must name a file or folder, not {describe(value)}")
    return str(value)


def column(value: object) -> str | int:
    """The name of a column, or its number, counted from 1; 0 stands for the last."""
    if isinstance(value, str):
        return str(value)
    return natural(value)


def share(value: object) -> float:
    """A number above 0 and below 1: a part of the whole."""
    number = real_number(value)
    if not 0 < number < 1:
        help = f"write {written(value)} % as `{number / 100:g}`" if 1 < number < 100 else None
        raise OptionError(f"must be above 0 and below 1, not {written(value)}", help)
    return number


def optional_count(value: object) -> int | None:
    """A whole number of at least 1, or nothing."""
    return None if value is None else count(value)


def sizes(extent: Extent) -> tuple[int, int]:
    """Height and width of an extent given as one number or two."""
    if isinstance(extent, int):
        return extent, extent
    return extent[0], extent[-1]


def _normalize() -> bool | tuple[Moments, Moments]:
    """The option that every data set has, behind its own."""
    return option(
        normalizing,
        "subtract the mean and divide by the standard deviation, channel by channel: `true` measures them"
        " on the training part",
        default=False,
    )


def _limit() -> int | None:
    """The last option of every data set."""
    return option(
        optional_count,
        "samples of each class that a part keeps, the first ones: for a quick try",
        default=None,
    )


class _Data(RecipeKind):
    """Samples with a class each, or with a target."""

    role: ClassVar[Role] = "data"
    sized_by: ClassVar[str] = ""
    """The option that decides on the spatial size of a sample."""
    like: ClassVar[str] = "IMAGE.png"
    """What a file with one sample could be called."""

    normalize: bool | tuple[Moments, Moments]
    limit: int | None

    def sample_shape(self) -> Shape | None:
        """Shape of one sample as the network receives it; nothing where only the files say it."""
        return None

    def class_count(self) -> int | None:
        """The number of classes; nothing where only the files say it, or where there are none."""
        return None

    def target_shape(self) -> Shape | None:
        """Shape of the target of one sample; nothing where there are classes, or only the files say it."""
        return None


class _Published(_Data):
    """Labelled images that are published, and the same for everybody."""

    native_shape: ClassVar[Shape]
    classes: ClassVar[int]
    sized_by: ClassVar[str] = "resize"

    resize: Extent | None = option(
        image_size, "height and width to resize every image to, bilinearly", default=None
    )
    normalize: bool | tuple[Moments, Moments] = _normalize()
    limit: int | None = _limit()

    def sample_shape(self) -> Shape:
        """Channels, and the size of the images or that which they are resized to."""
        if self.resize is None:
            return self.native_shape
        return (self.native_shape[0], *sizes(self.resize))

    def class_count(self) -> int:
        """The classes that the set is published with."""
        return self.classes


class Digits(_Published):
    """The 1,797 handwritten digits of 8x8 pixels that come with the package (Alpaydin & Kaynak 1998)."""

    native_shape: ClassVar[Shape] = (1, 8, 8)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data digits resize=28x28 normalize=true"


class Mnist(_Published):
    """MNIST: 60,000 and 10,000 handwritten digits of 28x28 pixels (LeCun et al. 1998)."""

    native_shape: ClassVar[Shape] = (1, 28, 28)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data mnist"


class FashionMnist(_Published):
    """Fashion-MNIST: 60,000 and 10,000 articles of clothing of 28x28 pixels (Xiao et al. 2017)."""

    native_shape: ClassVar[Shape] = (1, 28, 28)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data fashion_mnist"


class Kmnist(_Published):
    """Kuzushiji-MNIST: 60,000 and 10,000 cursive characters of 28x28 pixels (Clanuwat et al. 2018)."""

    native_shape: ClassVar[Shape] = (1, 28, 28)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data kmnist"


class Cifar10(_Published):
    """CIFAR-10: 50,000 and 10,000 photographs of 32x32 pixels in colour (Krizhevsky 2009)."""

    native_shape: ClassVar[Shape] = (3, 32, 32)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data cifar10 normalize=true"


class _Own(_Data):
    """A data set in files of one's own."""

    path: str = option(path, "the file or folder, relative to the .cnn file", positional=True)
    test: float = option(
        share, "share of the samples that is held out, where the files do not say it", default=0.2
    )
    normalize: bool | tuple[Moments, Moments] = _normalize()
    limit: int | None = _limit()

    def located(self, folder: str) -> Self:
        """With a path from where the program runs, for a file of this folder that names it."""
        return self.replaced(path=os.path.normpath(os.path.join(folder, os.path.expanduser(self.path))))


class _Folder(_Own):
    """A folder with a sub-folder for each class, or `train` and `test` with such sub-folders."""

    split: int = option(natural, "number that the choice of the samples held out follows from", default=0)

    def class_count(self) -> int | None:
        """The class folders; nothing where the folder is not there."""
        return len(class_names(self.path)) or None


class Images(_Folder):
    """Images, PNG or JPEG, in a sub-folder for each class; also `train` and `test` with such sub-folders."""

    sized_by: ClassVar[str] = "resize"
    example: ClassVar[str] = 'data images "photos" resize=32x32'

    resize: Extent | None = option(
        image_size, "height and width to resize every image to; without it, all must be alike", default=None
    )
    gray: bool = option(flag, "one channel of grey in place of three of colour", default=False)

    def sample_shape(self) -> Shape | None:
        """Known where the images are resized."""
        return None if self.resize is None else (1 if self.gray else 3, *sizes(self.resize))


class Wav(_Folder):
    """Recordings, WAV in PCM with one channel, in a sub-folder for each class; also `train` and `test`."""

    sized_by: ClassVar[str] = "length"
    like: ClassVar[str] = "CLIP.wav"
    example: ClassVar[str] = 'data wav "clips" length=16000 rate=16000'

    length: int = option(count, "samples of a signal: shorter ones end in silence, longer ones are cut")
    rate: int = option(count, "samples a second that every file must have", default=16000)

    def sample_shape(self) -> Shape:
        """One channel."""
        return (1, self.length)


class Npz(_Own):
    """NumPy arrays: `x`, samples first, and `y`, whole numbers for classes, others for targets.

    Or `x_train`, `y_train`, `x_test` and `y_test`. Samples are channel first; bytes are scaled to 0..1. Names
    of the classes may come as `class_names`.
    """

    example: ClassVar[str] = 'data npz "signals.npz" test=0.1'
    like: ClassVar[str] = "SAMPLE.npy"

    split: int = option(natural, "number that the choice of the samples held out follows from", default=0)


class Csv(_Own):
    """Time series: columns of numbers, a row a point in time.

    A sample is a window of rows with a channel for each column, its target a value after the window. The last
    windows are the test part. `normalize` goes for the targets too, with the moments of their column.
    """

    sized_by: ClassVar[str] = "window"
    like: ClassVar[str] = "SAMPLE.npy"
    example: ClassVar[str] = 'data csv "series.csv" window=64 ahead=1'

    window: int = option(count, "rows that a sample spans")
    step: int = option(count, "rows from the beginning of a window to that of the next", default=1)
    ahead: int = option(count, "rows from the end of a window to its target", default=1)
    target: str | int = option(
        column, "the column of the target: its name, or its number from 1; 0 is the last", default=0
    )

    def sample_shape(self) -> Shape | None:
        """A channel for each column; nothing where the file is not there."""
        found = columns(self.path)
        return (found, self.window) if found else None

    def target_shape(self) -> Shape:
        """One number."""
        return (1,)


DataKind = _Data
Published = _Published
