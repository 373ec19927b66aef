"""Embedding: numbers that stand for words or symbols become vectors."""

from __future__ import annotations

from typing import ClassVar, Final

from cnnspec.layers.base import Family, Layer, LayerError, Shape, Weight, show
from cnnspec.layers.declaration import option
from cnnspec.layers.options import count

LARGEST_VOCABULARY: Final = 1 << 24
"""Tokens arrive as float32, which holds all whole numbers up to this one."""


class Embedding(Layer):
    """Embedding: gives each token, a whole number from 0 to `vocabulary - 1`, a vector of its own.

    Input a vector of `n` tokens, weight `(vocabulary, dimension)`, output the map `dimension x n`, over which
    a convolution slides along the tokens (Collobert et al. 2011, arXiv:1103.0398).
    """

    family: ClassVar[Family] = "dense"
    example: ClassVar[str] = "embedding 20000 128"

    vocabulary: int = option(count, "number of different tokens", positional=True)
    dimension: int = option(count, "length of each token's vector", positional=True)

    def infer(self, *inputs: Shape) -> Shape:
        """`(n,)` to `(dimension, n)`."""
        (shape,) = inputs
        if len(shape) > 1:
            raise LayerError(
                "needs-vector",
                f"`embedding` needs a vector of tokens, and its input is a map of {show(shape)}",
                help=("write the input as a number of tokens: `input 56`",),
            )
        if self.vocabulary > LARGEST_VOCABULARY:
            raise LayerError(
                "vocabulary-too-large",
                f"a vocabulary of {self.vocabulary} is over the limit of {LARGEST_VOCABULARY} tokens",
                option="vocabulary",
                notes=("limit `LARGEST_VOCABULARY`: tokens arrive as float32",),
            )
        return (self.dimension, *shape)

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """`weight` of `(vocabulary, dimension)`. An output sees the one token that is there."""
        return (Weight("weight", (self.vocabulary, self.dimension), 1, self.dimension),)

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """A vector for each token."""
        return (f"{inputs[0][0]} tokens of {self.dimension} numbers",)
