"""Convolution: kernels that slide over a feature map."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cnnspec.layers.base import AxisWindow, Family, Layer, LayerError, Shape, Weight, divisors_of, product
from cnnspec.layers.connections import Connections, connection_table
from cnnspec.layers.declaration import option
from cnnspec.layers.options import Extent, Padding, count, extent, flag, padding_size
from cnnspec.layers.windows import derivation, slide, sliding

if TYPE_CHECKING:
    from cnnspec.layers.formulas import Formula
    from cnnspec.layers.terms import Terms


class Conv(Layer):
    """Convolution: slides `channels` kernels over a map of any number of spatial axes.

    Computes the cross-correlation, as the field calls convolution: input `C x H x W`, weight
    `channels x C/groups x kh x kw`, output `channels x Ho x Wo` (LeCun et al. 1998). With `connections`, each
    output channel sees the input channels of its list only (their table I), and has no other weights.
    """

    family: ClassVar[Family] = "convolution"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "conv 6 5x5 padding=2"

    channels: int = option(count, "number of kernels, each giving one output channel", positional=True)
    kernel: Extent = option(extent, "size of the kernel: `5`, `5x5` or `(5, 3)`", positional=True)
    stride: Extent = option(extent, "step of the kernel along each axis", default=1)
    padding: Padding = option(
        padding_size, "zeros around the map: a number, one an axis, both ends, or `same`", default=0
    )
    dilation: Extent = option(extent, "distance between the kernel's elements", default=1)
    groups: int = option(count, "groups of channels that are convolved apart", default=1)
    bias: bool = option(flag, "whether a bias is added to each output channel", default=True)

    connections: Connections | None = option(
        connection_table,
        "numbers of the input channels that each output channel sees, one list for each: `[[0, 1], [1, 2]]`",
        default=None,
    )

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(channels, Ho, Wo)`."""
        (shape,) = inputs
        windows = self._windows(shape)
        check_groups(self.groups, shape[0], self.channels)
        if self.connections is not None:
            self._check_connections(self.connections, shape[0])
        return (self.channels, *slide(shape, windows))

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` of `(channels, C/groups, kh, kw)` and `bias` of `(channels,)`.

        With `connections`, `weight` holds the kernels that there are, list by list: `(pairs, kh, kw)`.
        """
        (shape,) = inputs
        kernel = tuple(window.kernel for window in self._windows(shape))
        area = product(kernel)
        fan_in = shape[0] // self.groups * area
        fan_out = self.channels // self.groups * area
        kernels: Shape = (self.channels, shape[0] // self.groups)
        if self.connections is not None:
            pairs = self.connections.count
            kernels, fan_in, fan_out = (pairs,), pairs * area // self.channels, pairs * area // shape[0]
        weight = Weight("weight", (*kernels, *kernel), fan_in, max(fan_out, 1))
        if not self.bias:
            return (weight,)
        return weight, Weight("bias", (self.channels,), fan_in, max(fan_out, 1), role="bias")

    def window(self, *inputs: Shape) -> tuple[AxisWindow, ...]:
        """The kernel's window on every spatial axis."""
        return self._windows(inputs[0])

    def macs(self, *inputs: Shape) -> int:
        """Output positions times the elements of the weight: each kernel meets every position once."""
        weight = self.weights(*inputs)[0]
        return product(self.infer(*inputs)[1:]) * weight.size

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The output size along each axis."""
        return derivation(inputs[0][1:], self._windows(inputs[0]))

    def formulas(self, *inputs: Shape) -> tuple[Formula, ...]:
        """Size, parameters and MACs."""
        from cnnspec.layers.formulas import connected_costs, convolution_costs, window_sizes

        (shape,) = inputs
        sizes = window_sizes(shape[1:], self._windows(shape))
        output, weights = self.infer(shape), self.weights(shape)
        if self.connections is not None:
            return (*sizes, *connected_costs(output, weights))
        return (*sizes, *convolution_costs(shape, output, weights, self.groups))

    def terms(self, channel: int, unit: tuple[int, ...], *inputs: Shape) -> Terms:
        """The window times the channel's kernel, and its bias."""
        from cnnspec.layers.terms import Terms, seen

        (shape,) = inputs
        if self.connections is not None:
            channels = self.connections.lists[channel]
            first = sum(map(len, self.connections.lists[:channel]))
            kernels: tuple[tuple[int, ...], ...] = tuple((first + i,) for i in range(len(channels)))
        else:
            depth = shape[0] // self.groups
            begin = channel // (self.channels // self.groups) * depth
            channels = tuple(range(begin, begin + depth))
            kernels = tuple((channel, i) for i in range(depth))
        biased = channel if self.bias else None
        return Terms("sum", channels, seen(self._windows(shape), unit), kernels, biased=biased)

    def _windows(self, shape: Shape) -> tuple[AxisWindow, ...]:
        return sliding(
            shape,
            self.keyword,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )

    def _check_connections(self, connections: Connections, in_channels: int) -> None:
        lists, last = connections.lists, in_channels - 1
        if self.groups > 1:
            what, help = "stands beside `groups`", "leave one of the two out: both say what is connected"
        elif len(lists) != self.channels:
            what = f"has {len(lists)} lists, and the layer has {self.channels} output channels"
            help = "write one list for each output channel"
        elif (highest := max(map(max, lists))) > last:
            output = next(number for number, seen in enumerate(lists) if highest in seen)
            what = f"lets output channel {output} see input channel {highest}, which there is not"
            help = f"the {in_channels} input channels are counted from 0 to {last}"
        else:
            return
        raise LayerError("wrong-connections", f"`connections` {what}", option="connections", help=(help,))


def check_groups(groups: int, in_channels: int, out_channels: int) -> None:
    """Groups have equally many channels.

    Raises:
        LayerError: they cannot.
    """
    for what, channels in (("input", in_channels), ("output", out_channels)):
        if channels % groups:
            raise LayerError(
                "groups-do-not-divide",
                f"{groups} groups do not divide the {channels} {what} channels",
                option="groups",
                label=f"{channels} / {groups} leaves {channels % groups}",
                help=(f"groups that divide both: {divisors_of(in_channels, out_channels)}",),
            )
