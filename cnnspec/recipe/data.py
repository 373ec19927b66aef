"""Data sets: what a network is trained on, as far as it is known without reading it."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Shape
from cnnspec.layers.declaration import OptionError, option
from cnnspec.layers.options import Extent, describe, flag, optional_extent
from cnnspec.recipe.kinds import RecipeKind, Role


def image_size(value: object) -> Extent | None:
    """One number for height and width, or two; or nothing."""
    size = optional_extent(value)
    if isinstance(size, tuple) and len(size) > 2:
        raise OptionError(f"must be one number, or height and width, not {describe(size)}")
    return size


class _ImageData(RecipeKind):
    """Labelled images."""

    role: ClassVar[Role] = "data"
    native_shape: ClassVar[Shape]
    classes: ClassVar[int]

    resize: Extent | None = option(
        image_size, "height and width to resize every image to, bilinearly", default=None
    )
    normalize: bool = option(
        flag, "subtract the training pixels' mean, divide by their standard deviation", default=False
    )

    def sample_shape(self) -> Shape:
        """Shape of one sample as the network receives it."""
        if self.resize is None:
            return self.native_shape
        height, width = sizes(self.resize)
        return (self.native_shape[0], height, width)


def sizes(extent: Extent) -> tuple[int, int]:
    """Height and width of an extent given as one number or two."""
    if isinstance(extent, int):
        return extent, extent
    return extent[0], extent[-1]


class Digits(_ImageData):
    """The 1,797 handwritten digits of 8x8 pixels that come with the package (Alpaydin & Kaynak 1998)."""

    native_shape: ClassVar[Shape] = (1, 8, 8)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data digits resize=28x28 normalize=true"


class Mnist(_ImageData):
    """MNIST: 60,000 and 10,000 handwritten digits of 28x28 pixels (LeCun et al. 1998)."""

    native_shape: ClassVar[Shape] = (1, 28, 28)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data mnist"


class FashionMnist(_ImageData):
    """Fashion-MNIST: 60,000 and 10,000 articles of clothing of 28x28 pixels (Xiao et al. 2017)."""

    native_shape: ClassVar[Shape] = (1, 28, 28)
    classes: ClassVar[int] = 10
    example: ClassVar[str] = "data fashion_mnist"


DataKind = _ImageData
