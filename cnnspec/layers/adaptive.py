"""Pooling to a given size, whatever the size of the map: adaptive and global pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import AxisSight, AxisWindow, Family, Layer, Shape, Window, product
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, extent
from cnnspec.layers.windows import AxisBins, axis_names, per_axis, spatial

if TYPE_CHECKING:
    from cnnspec.layers.terms import How, Terms


class _BinPool(Layer):
    """What poolings to a given size share: every axis is cut into as many bins as there are outputs.

    Bin `i` of `m` takes the positions from `floor(i * n / m)` to before `ceil((i + 1) * n / m)`, as PyTorch
    has it: bins overlap where `m` does not divide `n`.
    """

    family: ClassVar[Family] = "pooling"
    how: ClassVar[How]

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(C, Ho, Wo)`."""
        return (inputs[0][0], *self._outputs(inputs[0]))

    def bins(self, shape: Shape) -> tuple[AxisSight, ...]:
        """The bins along every spatial axis, as a window that slides where all are alike."""
        return tuple(map(_cut, spatial(shape, self.keyword), self._outputs(shape)))

    def window(self, *inputs: Shape) -> Window:
        """The bins; a single output sees everything."""
        return self.bins(inputs[0]) if product(self._outputs(inputs[0])) > 1 else "everything"

    def terms(self, channel: int, unit: tuple[int, ...], *inputs: Shape) -> Terms:
        """The elements of the bin in one channel."""
        from cnnspec.layers.terms import Terms, seen

        positions = seen(self.bins(inputs[0]), unit)
        return Terms(self.how, (channel,), positions, divisor=product(tuple(map(len, positions))))

    def _outputs(self, shape: Shape) -> Shape:
        return (1,) * len(spatial(shape, self.keyword))


class _AdaptivePool(_BinPool):
    """Pooling to a size that the file gives; one larger than the map repeats elements, as in PyTorch."""

    size: Extent = option(extent, "size of the output: `7`, `7x7` or `(7, 1)`", positional=True)

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The sizes of the bins along each axis."""
        (shape,) = inputs
        cuts = zip(axis_names(len(shape) - 1), shape[1:], self._outputs(shape), strict=True)
        return tuple(f"{name}: {n} positions in {outputs} bins" for name, n, outputs in cuts)

    def _outputs(self, shape: Shape) -> Shape:
        return per_axis(self.size, len(spatial(shape, self.keyword)), "size", shape)


class AdaptiveAvgPool(_AdaptivePool):
    """Average pooling to a given size: the mean of each bin, `C x H x W` to `C x Ho x Wo`."""

    keyword: ClassVar[str] = "adaptiveavgpool"
    how: ClassVar[How] = "mean"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "adaptiveavgpool 7x7"


class AdaptiveMaxPool(_AdaptivePool):
    """Maximum pooling to a given size: the largest element of each bin, `C x H x W` to `C x Ho x Wo`."""

    keyword: ClassVar[str] = "adaptivemaxpool"
    how: ClassVar[How] = "maximum"
    example: ClassVar[str] = "adaptivemaxpool 7x7"


class GlobalAvgPool(_BinPool):
    """Average pooling over the whole map: `C x H x W` to `C x 1 x 1`.

    It takes the place of the first dense layer in networks since NiN (Lin, Chen & Yan 2013, arXiv:1312.4400).
    """

    keyword: ClassVar[str] = "globalavgpool"
    how: ClassVar[How] = "mean"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "globalavgpool"


class GlobalMaxPool(_BinPool):
    """Maximum pooling over the whole map: `C x H x W` to `C x 1 x 1`."""

    keyword: ClassVar[str] = "globalmaxpool"
    how: ClassVar[How] = "maximum"
    example: ClassVar[str] = "globalmaxpool"


def _cut(n: int, outputs: int) -> AxisSight:
    if n % outputs:
        return AxisBins(n, outputs)
    return AxisWindow(kernel=n // outputs, stride=n // outputs)
