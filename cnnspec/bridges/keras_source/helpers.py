"""Layers and functions that Keras does not have, as source code that goes along with a network."""

from __future__ import annotations

from typing import Final

HELPERS: Final = {
    "shuffled": '''
def shuffled(x, groups):
    """Groups of channels mixed: the first of every group come first."""
    sizes = x.shape[1:-1]
    apart = ops.reshape(x, (-1, *sizes, groups, x.shape[-1] // groups))
    return ops.reshape(ops.swapaxes(apart, -1, -2), (-1, *sizes, x.shape[-1]))
''',
    "pixel_shuffled": '''
def pixel_shuffled(x, tile):
    """Groups of channels spread over the positions of a larger map: channel (c rh + i) rw + j to (i, j)."""
    axes, sizes = len(tile), x.shape[1:-1]
    apart = ops.reshape(x, (-1, *sizes, x.shape[-1] // math.prod(tile), *tile))  # (N, H, W, C, rh, rw)
    pairs = [place for axis in range(axes) for place in (1 + axis, 2 + axes + axis)]
    larger = [n * r for n, r in zip(sizes, tile, strict=True)]
    return ops.reshape(ops.transpose(apart, (0, *pairs, 1 + axes)), (-1, *larger, apart.shape[1 + axes]))
''',
    "local_response_norm": '''
def local_response_norm(x, size, alpha, beta, k):
    """Each element divided by what the neighbouring channels hold: x / (k + alpha mean(x^2))^beta."""
    ends = [(0, 0)] * (len(x.shape) - 1) + [(size // 2, size - 1 - size // 2)]
    squares, channels = ops.pad(ops.square(x), ends), x.shape[-1]
    total = sum(squares[..., i : i + channels] for i in range(size))
    return x / (k + alpha / size * total) ** beta
''',
    "GroupNorm": '''
class GroupNorm(layers.Layer):
    """Groups of channels less their mean, divided by their standard deviation.

    `layers.GroupNormalization` takes the mean off last, and loses digits where it is large.
    """

    def __init__(self, groups, epsilon, use_affine=True, **options):
        super().__init__(**options)
        self.groups, self.epsilon, self.use_affine = groups, epsilon, use_affine

    def build(self, shape):
        if self.use_affine:
            self.gamma = self.add_weight(shape=shape[-1:], initializer="ones", name="gamma")
            self.beta = self.add_weight(shape=shape[-1:], initializer="zeros", name="beta")

    def call(self, x):
        positions, channels = math.prod(x.shape[1:-1]), x.shape[-1]
        apart = ops.reshape(x, (-1, positions, self.groups, channels // self.groups))
        centred = apart - ops.mean(apart, axis=(1, 3), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1, 3), keepdims=True)
        y = ops.reshape(centred * ops.rsqrt(variance + self.epsilon), (-1, *x.shape[1:]))
        return y * self.gamma + self.beta if self.use_affine else y

    def compute_output_shape(self, shape):
        return shape
''',
    "ChannelScale": '''
class ChannelScale(layers.Layer):
    """A factor for each channel, and a bias where there is one."""

    def __init__(self, initial=1.0, use_bias=False, **options):
        super().__init__(**options)
        self.initial, self.use_bias = initial, use_bias

    def build(self, shape):
        start = keras.initializers.Constant(self.initial)
        self.factor = self.add_weight(shape=shape[-1:], initializer=start, name="factor")
        if self.use_bias:
            self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def call(self, x):
        return x * self.factor + self.bias if self.use_bias else x * self.factor

    def compute_output_shape(self, shape):
        return shape
''',
    "SquaredDistances": '''
class SquaredDistances(layers.Layer):
    """The squared distance of the input to each of some centres."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        size = (self.units, shape[-1])
        self.centers = self.add_weight(shape=size, initializer="random_normal", name="centers")

    def call(self, x):
        return ops.sum(ops.square(ops.expand_dims(x, 1) - self.centers), axis=-1)

    def compute_output_shape(self, shape):
        return shape[0], self.units
''',
    "Subsample": '''
class Subsample(layers.Layer):
    """The sum of each window times the channel's coefficient, plus its bias (LeCun et al. 1998)."""

    def __init__(self, pool_size, strides, edges, **options):
        super().__init__(**options)
        self.pool_size, self.strides, self.edges = pool_size, strides, edges

    def build(self, shape):
        start = keras.initializers.Constant(1 / math.prod(self.pool_size))
        self.coefficient = self.add_weight(shape=shape[-1:], initializer=start, name="coefficient")
        self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def means(self, x):
        padded = ops.pad(x, ((0, 0), *self.edges, (0, 0)))
        return ops.average_pool(padded, self.pool_size, self.strides)

    def call(self, x):
        return self.means(x) * math.prod(self.pool_size) * self.coefficient + self.bias

    def compute_output_shape(self, shape):
        return self.means(keras.KerasTensor(shape)).shape
''',
    "TableConv": '''
class TableConv(layers.Layer):
    """A convolution each of whose outputs sees the input channels of its list only."""

    def __init__(
        self,
        filters,
        connections,
        kernel_size,
        strides=1,
        padding="valid",
        dilation_rate=1,
        use_bias=True,
        **options,
    ):
        super().__init__(**options)
        self.filters, self.kernel_size, self.use_bias = filters, kernel_size, use_bias
        self.pairs = [(output, seen) for output, inputs in enumerate(connections) for seen in inputs]
        self.window = {"strides": strides, "padding": padding, "dilation_rate": dilation_rate}

    def build(self, shape):
        size = (len(self.pairs), *self.kernel_size)
        self.kernel = self.add_weight(shape=size, initializer="random_normal", name="kernel")
        self.channels = shape[-1]
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, x):
        full = ops.zeros((self.filters, self.channels, *self.kernel_size))
        full = ops.scatter_update(full, ops.convert_to_tensor(self.pairs), self.kernel)
        y = ops.conv(x, ops.moveaxis(full, (0, 1), (-1, -2)), **self.window)
        return y + self.bias if self.use_bias else y

    def compute_output_shape(self, shape):
        kernel = keras.KerasTensor((*self.kernel_size, shape[-1], self.filters))
        return ops.conv(keras.KerasTensor(shape), kernel, **self.window).shape
''',
}
"""The source of each helper by its name."""
