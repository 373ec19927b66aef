"""Normalization: subtract a mean and divide by a standard deviation, or by what the neighbours hold.

The kinds differ in which elements are normalised together: of one channel over the batch, or of one sample
over everything, over groups of channels, over one channel, over one position.

A unit of these layers depends on every element that was normalised with it. By the field's convention this
does not count in receptive fields, which would otherwise be the whole input behind the first such layer:
all of them are `pointwise`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from cnnspec.layers.base import Family, Layer, LayerError, Shape, Weight, divisors_of, product, show
from cnnspec.layers.declaration import option
from cnnspec.layers.options import count, flag, fraction, one_of, positive
from cnnspec.layers.windows import spatial


class _Normalization(Layer):
    """What these kinds share: the shape stays."""

    family: ClassVar[Family] = "normalization"

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs[0]


class _Standardization(_Normalization):
    """Kinds that give mean 0 and variance 1, then scale and shift by learned `weight` and `bias`."""

    epsilon: float = option(positive, "what is added to the variance", default=1e-5)

    affine: bool

    def affine_shape(self, shape: Shape) -> Shape:
        """The shape of `weight` and `bias`: one number a channel."""
        return shape[:1]

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight`, which begins with 1, and `bias`, which begins with 0."""
        if not self.affine:
            return ()
        shape = self.affine_shape(inputs[0])
        return (
            Weight("weight", shape, fan_in=1, fan_out=1, initial=1.0),
            Weight("bias", shape, fan_in=1, fan_out=1, role="bias", initial=0.0),
        )


class BatchNorm(_Standardization):
    """Batch normalization: each channel over all positions of all samples of the batch.

    `y = weight * (x - mean) / sqrt(var + epsilon) + bias`, in training with mean and variance of the batch
    (divided by the number of values). Otherwise with `running_mean` and `running_var`, which each training
    step moves towards those of the batch: `running = (1 - momentum) * running + momentum * batch`, the
    variance here divided by one less than the number of values (Ioffe & Szegedy 2015, arXiv:1502.03167).
    """

    keyword: ClassVar[str] = "batchnorm"
    cancels_bias: ClassVar[bool] = True
    example: ClassVar[str] = "batchnorm"

    momentum: float = option(fraction, "weight of the batch's statistics in the running ones", default=0.1)
    affine: bool = option(flag, "whether a scale and a shift are learned for each channel", default=True)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` and `bias` of `(C,)`, and the state `running_mean` and `running_var`."""
        channels = inputs[0][:1]
        return (
            *super().weights(*inputs),
            Weight("running_mean", channels, 1, 1, role="state", trainable=False, initial=0.0),
            Weight("running_var", channels, 1, 1, role="state", trainable=False, initial=1.0),
        )


class _OfSample(_Standardization):
    """Kinds whose statistics are those of each sample apart, in training as in prediction."""

    advice: ClassVar[str] = "put it where there are more elements"
    """How to have more elements that are normalised together."""

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        (shape,) = inputs
        if product(self.together(shape)) < 2:
            raise self._nothing_to_normalize(shape)
        return shape

    @abstractmethod
    def together(self, shape: Shape) -> Shape:
        """The sizes of the elements that are normalised together: channels, then positions."""

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """How many elements are normalised together."""
        sizes = self.together(inputs[0])
        number = product(sizes)
        many = f"{number} elements are" if number > 1 else "1 element is"
        factors = f"{' * '.join(map(str, sizes))} = " if len(sizes) > 1 else ""
        return (f"{factors}{many} normalised together",)

    def _nothing_to_normalize(self, shape: Shape) -> LayerError:
        what = f"the {show(shape)} map" if len(shape) > 1 else f"a vector of {shape[0]}"
        return LayerError(
            "nothing-to-normalize",
            f"`{self.keyword}` would normalise each element of {what} by itself, which always gives 0",
            label=self.arithmetic(shape)[0],
            help=(f"{self.advice}, or use `batchnorm`, which compares with the rest of the batch",),
        )


class LayerNorm(_OfSample):
    """Layer normalization: all elements of a sample, or with `over=channels` those of each position.

    `y = weight * (x - mean) / sqrt(var + epsilon) + bias`. Over all of them there is a weight and a bias for
    each element, as in `torch.nn.LayerNorm(shape)` (Ba, Kiros & Hinton 2016, arXiv:1607.06450); over the
    channels there is one for each channel, as in ConvNeXt (Liu et al. 2022, arXiv:2201.03545).
    """

    keyword: ClassVar[str] = "layernorm"
    example: ClassVar[str] = "layernorm"

    over: str = option(
        one_of("all", "channels"),
        "what is normalised together: `all` elements or the `channels`",
        default="all",
    )
    affine: bool = option(flag, "whether scales and shifts are learned", default=True)

    def together(self, shape: Shape) -> Shape:
        """The whole shape, or the channels."""
        return shape if self.over == "all" else shape[:1]

    def affine_shape(self, shape: Shape) -> Shape:
        """A number for each element, or for each channel."""
        return self.together(shape)


class GroupNorm(_OfSample):
    """Group normalization: the channels of each group of a sample, over all positions.

    `y = weight * (x - mean) / sqrt(var + epsilon) + bias`, with a weight and a bias for each channel
    (Wu & He 2018, arXiv:1803.08494).
    """

    keyword: ClassVar[str] = "groupnorm"
    example: ClassVar[str] = "groupnorm 2"
    advice: ClassVar[str] = "use fewer groups"

    groups: int = option(count, "number of groups, which divides the channels", positional=True)
    affine: bool = option(flag, "whether a scale and a shift are learned for each channel", default=True)

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        channels = inputs[0][0]
        if channels % self.groups:
            raise LayerError(
                "groups-do-not-divide",
                f"{self.groups} groups do not divide the {channels} channels",
                option="groups",
                label=f"{channels} / {self.groups} leaves {channels % self.groups}",
                help=(f"groups that divide them: {divisors_of(channels)}",),
            )
        return super().infer(*inputs)

    def together(self, shape: Shape) -> Shape:
        """The channels of a group, and all positions."""
        return (shape[0] // self.groups, *shape[1:])


class InstanceNorm(_OfSample):
    """Instance normalization: each channel of a sample, over its positions.

    `y = (x - mean) / sqrt(var + epsilon)`; with `affine`, times `weight` plus `bias`, one for each channel
    (Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022).
    """

    keyword: ClassVar[str] = "instancenorm"
    cancels_bias: ClassVar[bool] = True
    example: ClassVar[str] = "instancenorm"
    advice: ClassVar[str] = "put it where the map is larger"

    affine: bool = option(flag, "whether a scale and a shift are learned for each channel", default=False)

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        spatial(inputs[0], self.keyword)
        return super().infer(*inputs)

    def together(self, shape: Shape) -> Shape:
        """The positions of one channel."""
        return (1, *shape[1:])


class LocalResponseNorm(_Normalization):
    """Local response normalization: divides by what the neighbouring channels hold at the same position.

    `y_c = x_c / (k + alpha / size * sum(x_j^2))^beta`, the sum over the `size` channels from
    `c - floor(size / 2)` on, those outside being 0 (as `torch.nn.LocalResponseNorm`). Krizhevsky, Sutskever &
    Hinton 2012 do not divide by `size`: their 1e-4 over 5 channels is `alpha=5e-4` here, with `k=2`.
    """

    keyword: ClassVar[str] = "lrn"
    example: ClassVar[str] = "lrn"

    size: int = option(count, "channels in the window", default=5, positional=True)
    alpha: float = option(positive, "factor of the mean of squares", default=1e-4)
    beta: float = option(positive, "exponent of the divisor", default=0.75)
    k: float = option(positive, "what is added to the mean of squares", default=1.0)
