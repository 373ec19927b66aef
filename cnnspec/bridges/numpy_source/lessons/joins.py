"""What joins several maps, and what only moves their elements."""

# mypy: disable-error-code="no-any-return, arg-type, index"
# The code is to be read: what NumPy's annotations do not know of `...` in an index is not spelled out.

from __future__ import annotations

import math

import numpy as np

from cnnspec.bridges.numpy_source.lessons.layer import Array, Layer
from cnnspec.bridges.numpy_source.lessons.windows import inside


def summed_to(dy: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an input that was repeated over the positions of a larger one."""
    repeated = tuple(axis for axis, n in enumerate(shape) if n == 1 < dy.shape[axis])
    return np.asarray(dy.sum(axis=repeated, keepdims=True))


class Add(Layer):
    """The sum of the inputs."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = [x.shape for x in inputs]
        return np.asarray(sum(inputs[1:], inputs[0]))

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input alike."""
        return tuple(summed_to(dy, shape) for shape in self.kept)


class Mean(Add):
    """The mean of the inputs."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        return super().forward(*inputs) / len(inputs)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input its share."""
        return super().backward(dy / len(self.kept))


class Multiply(Layer):
    """The product of the inputs."""

    def forward(self, *inputs: Array) -> Array:
        """Element by element."""
        self.kept = inputs
        y = inputs[0]
        for x in inputs[1:]:
            y = y * x
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input the product of the others."""
        gradients = []
        for number, x in enumerate(self.kept):
            others = dy
            for other in (*self.kept[:number], *self.kept[number + 1 :]):
                others = others * other
            gradients.append(summed_to(others, x.shape))
        return tuple(gradients)


class Concat(Layer):
    """The inputs one behind the other along the channels."""

    def forward(self, *inputs: Array) -> Array:
        """N x C1 x ..., N x C2 x ... to N x (C1 + C2) x ..."""
        self.kept = np.cumsum([x.shape[1] for x in inputs])[:-1]
        return np.concatenate(inputs, axis=1)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """To each input its channels."""
        return tuple(np.split(dy, self.kept, axis=1))


class Reshape(Layer):
    """The same elements in another shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, *inputs: Array) -> Array:
        """N x ... to N x shape."""
        self.kept = inputs[0].shape
        return inputs[0].reshape(len(inputs[0]), *self.shape)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Back in the old shape."""
        return (dy.reshape(self.kept),)


class Pick(Layer):
    """Elements taken from places that are numbers in the flattened sample; -1 is a constant.

    Cropping, padding, reordering and repeating are all of this kind.
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """For each element of the output the number of the input's element."""
        raise NotImplementedError

    def forward(self, *inputs: Array) -> Array:
        """N x shape to N x another shape."""
        (x,) = inputs
        numbers = self.numbers(x.shape[1:])
        self.kept = x.shape, numbers
        taken = x.reshape(len(x), -1)[:, numbers]
        return np.where(numbers < 0, self.value, taken)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each element gets the gradients of all places where it was taken to."""
        shape, numbers = self.kept
        dx = np.zeros((shape[0], math.prod(shape[1:])), dy.dtype)
        known = numbers.ravel() >= 0
        np.add.at(dx, (slice(None), numbers.ravel()[known]), dy.reshape(shape[0], -1)[:, known])
        return (dx.reshape(shape),)


def counted(shape: tuple[int, ...]) -> Array:
    """The elements of a sample, counted."""
    return np.arange(math.prod(shape)).reshape(shape)


class Take(Pick):
    """A range of the channels."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """Channels from start to before stop."""
        return counted(shape)[self.start : self.stop]


class Crop(Pick):
    """Positions cut off both ends of each axis."""

    def __init__(self, cut: tuple[tuple[int, int], ...]) -> None:
        super().__init__()
        self.cut = cut

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """The middle."""
        kept = tuple(n - a - b for n, (a, b) in zip(shape[1:], self.cut, strict=True))
        return np.asarray(counted(shape)[inside(self.cut, kept)])


class Pad(Pick):
    """Positions added to both ends of each axis: a constant, the map reflected, or its edge repeated."""

    def __init__(self, ends: tuple[tuple[int, int], ...], mode: str = "constant", value: float = 0.0) -> None:
        super().__init__(value)
        self.ends, self.mode = ends, mode

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """The elements that stand in the added positions."""
        around = [(0, 0), *self.ends]
        if self.mode == "constant":
            return np.pad(counted(shape), around, constant_values=-1)
        return np.pad(counted(shape), around, mode="reflect" if self.mode == "reflect" else "edge")


class Shuffle(Pick):
    """Groups of channels mixed: the first of every group come first."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """Channel g k + i becomes channel i groups + g."""
        apart = counted(shape).reshape(self.groups, -1, *shape[1:])
        return apart.swapaxes(0, 1).reshape(shape)


class PixelShuffle(Pick):
    """Groups of channels spread over the positions of a larger map."""

    def __init__(self, tile: tuple[int, ...]) -> None:
        super().__init__()
        self.tile = tile

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """C rh rw x H x W to C x H rh x W rw."""
        axes = len(self.tile)
        apart = counted(shape).reshape(-1, *self.tile, *shape[1:])  # (C, rh, rw, H, W)
        order = [place for axis in range(axes) for place in (1 + axes + axis, 1 + axis)]
        larger = [n * r for n, r in zip(shape[1:], self.tile, strict=True)]
        return apart.transpose(0, *order).reshape(-1, *larger)  # (C, H, rh, W, rw)


class Enlarge(Pick):
    """Each position repeated along each axis."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors = factors

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """The position that each was made from."""
        found = counted(shape)
        for axis, factor in enumerate(self.factors, 1):
            found = np.repeat(found, factor, axis)
        return found


class Interpolate(Layer):
    """Linear interpolation between the centres of neighbouring positions, one axis after the other."""

    def __init__(self, factors: tuple[int, ...]) -> None:
        super().__init__()
        self.factors = factors

    def matrix(self, n: int, factor: int) -> Array:
        """The shares of n positions in n factor ones; output o lies at (o + 1/2) / factor - 1/2."""
        at = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))

    def forward(self, *inputs: Array) -> Array:
        """N x C x H x W to N x C x (H factor) x (W factor)."""
        y = inputs[0]
        self.kept = [self.matrix(n, f) for n, f in zip(y.shape[2:], self.factors, strict=True)]
        for axis, matrix in enumerate(self.kept, 2):
            y = np.moveaxis(np.moveaxis(y, axis, -1) @ matrix.T, -1, axis)
        return y

    def backward(self, dy: Array) -> tuple[Array, ...]:
        """Each position gets its shares back."""
        for axis, matrix in enumerate(self.kept, 2):
            dy = np.moveaxis(np.moveaxis(dy, axis, -1) @ matrix, -1, axis)
        return (dy,)
