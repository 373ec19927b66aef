"""Layers that make maps larger: upsampling, and channels spread over positions."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.language.record import record
from cnnspec.layers.base import AxisSight, Family, Layer, LayerError, Shape, product, show
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, extent, one_of
from cnnspec.layers.windows import AxisBins, axis_names, per_axis, spatial


class _Enlarging(Layer):
    """What these share: every spatial axis becomes a whole number of times as long."""

    family: ClassVar[Family] = "shape"
    linear: ClassVar[bool] = True

    factor: Extent = option(extent, "how many times as long each axis becomes: `2` or `2x1`", positional=True)

    def factors(self, shape: Shape) -> Shape:
        """The factor of each spatial axis."""
        return per_axis(self.factor, len(spatial(shape, self.keyword)), "factor", shape)

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(C, H * factor, W * factor)`."""
        (shape,) = inputs
        return (shape[0], *(n * f for n, f in zip(shape[1:], self.factors(shape), strict=True)))

    def window(self, *inputs: Shape) -> tuple[AxisSight, ...]:
        """Each output sees the position that it was made from."""
        sizes = zip(inputs[0][1:], self.factors(inputs[0]), strict=True)
        return tuple(AxisBins(n, n * factor) for n, factor in sizes)

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The size along each axis."""
        sizes = list(zip(inputs[0][1:], self.factors(inputs[0]), strict=True))
        lines = [f"{n} * {factor} = {n * factor}" for n, factor in sizes]
        if len(set(lines)) == 1:
            return (lines[0],)
        return tuple(f"{name}: {line}" for name, line in zip(axis_names(len(lines)), lines, strict=True))


class Upsample(_Enlarging):
    """Upsampling: repeats each position, or interpolates linearly between the centres of neighbours.

    `linear` is bilinear on an image and trilinear in three axes. With factor `f`, output `o` lies at
    `(o + 1/2) / f - 1/2` of the input, and the edge is repeated beyond it, as PyTorch's `interpolate` has it
    with `align_corners=False`.
    """

    example: ClassVar[str] = "upsample 2 mode=linear"

    mode: str = option(
        one_of("nearest", "linear"),
        "how positions in between are filled; `linear` is bilinear on an image",
        default="nearest",
    )

    def window(self, *inputs: Shape) -> tuple[AxisSight, ...]:
        """The nearest position, or the two between which an output lies."""
        if self.mode == "nearest":
            return super().window(*inputs)
        return tuple(map(AxisBlend, self.factors(inputs[0])))


class PixelShuffle(_Enlarging):
    """Pixel shuffle: spreads groups of channels over the positions of a larger map.

    `C * rh * rw x H x W` to `C x H * rh x W * rw`: channel `(c * rh + i) * rw + j` becomes the positions
    `(i, j)` of every `rh x rw` tile (Shi et al. 2016, arXiv:1609.05158).
    """

    keyword: ClassVar[str] = "pixel_shuffle"
    example: ClassVar[str] = "pixel_shuffle 2"

    def infer(self, *inputs: Shape) -> Shape:
        """`(C * rh * rw, H, W)` to `(C, H * rh, W * rw)`."""
        channels, *sizes = super().infer(*inputs)
        tile = self.factors(inputs[0])
        if channels % product(tile):
            needed = -(-channels // product(tile)) * product(tile)
            raise LayerError(
                "tiles-do-not-divide",
                f"tiles of {show(tile)} take {product(tile)} channels each, which do not divide {channels}",
                option="factor",
                label=f"{channels} / {product(tile)} leaves {channels % product(tile)}",
                help=(f"put a convolution with {needed} channels before it",),
            )
        return (channels // product(tile), *sizes)

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The channels, and the size along each axis."""
        tile = product(self.factors(inputs[0]))
        channels = inputs[0][0]
        return (f"{channels} / {tile} = {channels // tile} channels", *super().arithmetic(*inputs))


@record
class AxisBlend(AxisSight):
    """Linear interpolation along one axis: an output sees the two positions between whose centres it lies."""

    factor: int

    @property
    def period(self) -> int:
        """Outputs lie at the same distance from a centre again after `factor` of them."""
        return self.factor

    @property
    def advance(self) -> int:
        """One position in a period."""
        return 1

    def seen(self, output: int) -> range:
        """The position that it was made from, and the neighbour on its side; none where it is the centre."""
        centre, phase = divmod(output, self.factor)
        side = 2 * phase + 1 - self.factor
        return range(centre - (side < 0), centre + (side > 0) + 1)
