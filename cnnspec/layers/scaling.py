"""Layers that scale and shift each channel."""

from __future__ import annotations

from typing import ClassVar

from cnnspec.layers.base import Family, Layer, Shape, Weight
from cnnspec.layers.declaration import option
from cnnspec.layers.options import flag, real_number


class Scale(Layer):
    """A factor for each channel: `y_c = weight_c * x_c`, with `bias` also `+ bias_c`.

    Learned unless told otherwise. Uses: the layer scale at the end of a residual branch, which begins near 0
    (Touvron et al. 2021, arXiv:2103.17239; ConvNeXt: `initial=1e-6`); a fixed factor (`initial=1.7159
    trainable=false` after `tanh`, LeCun et al. 1998); the scale and shift after a frozen normalization.
    """

    family: ClassVar[Family] = "normalization"
    linear: ClassVar[bool] = True
    example: ClassVar[str] = "scale initial=0.1"

    initial: float = option(real_number, "what every factor begins with", default=1.0)
    bias: bool = option(flag, "whether a bias, beginning with 0, is added to each channel", default=False)
    trainable: bool = option(flag, "whether factors and biases are learned", default=True)

    def infer(self, *inputs: Shape) -> Shape:
        """The shape of the input."""
        return inputs[0]

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` of `(C,)`, and `bias` of `(C,)`."""
        channels, learned = inputs[0][:1], self.trainable
        weight = Weight("weight", channels, 1, 1, trainable=learned, initial=self.initial)
        if not self.bias:
            return (weight,)
        return weight, Weight("bias", channels, 1, 1, role="bias", trainable=learned, initial=0.0)
