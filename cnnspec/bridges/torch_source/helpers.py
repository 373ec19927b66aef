"""Modules that PyTorch does not have, as source code that goes along with a network that needs them."""

from __future__ import annotations

from typing import Final

_TABLE_CONV: Final = '''
class TableConv{axes}d(nn.Module):
    """A convolution each of whose outputs sees the input channels of its list only."""

    def __init__(
        self, out_channels, connections, kernel_size, stride=1, padding=0, dilation=1, bias=True
    ) -> None:
        super().__init__()
        pairs = [(output, seen) for output, inputs in enumerate(connections) for seen in inputs]
        size = (kernel_size,) * {axes} if isinstance(kernel_size, int) else kernel_size
        self.weight = nn.Parameter(torch.empty(len(pairs), *size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.outputs, self.inputs = (list(numbers) for numbers in zip(*pairs, strict=True))
        self.out_channels = out_channels
        self.options = {{"stride": stride, "padding": padding, "dilation": dilation}}
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        full = self.weight.new_zeros(self.out_channels, x.shape[1], *self.weight.shape[1:])
        places = (torch.tensor(self.outputs), torch.tensor(self.inputs))
        full = full.index_put(places, self.weight)
        return F.conv{axes}d(x, full, self.bias, **self.options)
'''

_ROOT_OF_SQUARES: Final = '''
class RootOfSquares{axes}d(nn.Module):
    """The square root of the sum of squares of each window, with gradient 0 where that is 0."""

    def __init__(self, kernel_size, stride, edges) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.edges = kernel_size, stride, edges

    def forward(self, x: Tensor) -> Tensor:
        means = F.avg_pool{axes}d(F.pad(x.square(), self.edges), self.kernel_size, self.stride)
        area = self.kernel_size**{axes} if isinstance(self.kernel_size, int) else math.prod(self.kernel_size)
        squares = means * area
        some = squares > 0
        return torch.where(some, squares, 1).sqrt() * some
'''

_SUBSAMPLE: Final = '''
class Subsample{axes}d(nn.Module):
    """The sum of each window times the channel's coefficient, plus its bias (LeCun et al. 1998)."""

    def __init__(self, channels, kernel_size, stride, edges) -> None:
        super().__init__()
        area = kernel_size**{axes} if isinstance(kernel_size, int) else math.prod(kernel_size)
        self.coefficient = nn.Parameter(torch.full((channels,), 1 / area))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.kernel_size, self.stride, self.edges, self.area = kernel_size, stride, edges, area

    def forward(self, x: Tensor) -> Tensor:
        sums = F.avg_pool{axes}d(F.pad(x, self.edges), self.kernel_size, self.stride) * self.area
        channels = (-1, *(1,) * {axes})
        return sums * self.coefficient.reshape(channels) + self.bias.reshape(channels)
'''

_SCALE: Final = '''
class ChannelScale(nn.Module):
    """A factor for each channel, and a bias where there is one."""

    def __init__(self, channels: int, initial: float = 1.0, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        channels = (-1, *(1,) * (x.ndim - 2))
        y = x * self.weight.reshape(channels)
        return y if self.bias is None else y + self.bias.reshape(channels)
'''

_DISTANCES: Final = '''
class SquaredDistances(nn.Module):
    """The squared distance of the input to each of some centres."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.empty(out_features, in_features))
        nn.init.normal_(self.centers)

    def forward(self, x: Tensor) -> Tensor:
        return (x[:, None, :] - self.centers).square().sum(-1)
'''

HELPERS: Final = {
    "ChannelScale": _SCALE,
    "SquaredDistances": _DISTANCES,
    **{
        f"{name}{axes}d": text.format(axes=axes)
        for name, text in (
            ("TableConv", _TABLE_CONV),
            ("RootOfSquares", _ROOT_OF_SQUARES),
            ("Subsample", _SUBSAMPLE),
        )
        for axes in (1, 2, 3)
    },
}
"""The source of each helper by its name."""
