"""What is measured: one network, at one batch size, in training or in prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.layers import product
from cnnspec.layers.embedding import Embedding
from cnnspec.network.graph import FLOAT_BYTES
from cnnspec.numpy_backend.choices import NO_CHOICES, Choices
from cnnspec.recipe import CrossEntropy, Recipe, Sgd
from cnnspec.training.initializers import initial_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.network.graph import Facts, Graph

MOST_IMAGES: Final = 4096
MOST_BYTES: Final = 1 << 28
"""The pool is that large, or two batches where these take more."""
RATE: Final = 0.001
"""The learning rate: small, so that random labels lead nowhere."""


class CannotMeasure(Exception):  # noqa: N818 - it reads as what it is
    """What is asked for cannot be measured; the text is one line for the user."""

    def __init__(self, reason: str, help: str | None = None) -> None:
        super().__init__(reason)
        self.help = help


@dataclass(frozen=True)
class Task:
    """A network with initial weights, and the size of a step.

    Attributes:
        threads: that each system may use.
        training: forward, loss, backward and update; otherwise prediction.
        choices: what is settled about the plan of ours.
    """

    graph: Graph
    facts: Facts
    batch: int
    threads: int
    training: bool
    seed: int = 0
    choices: Choices = NO_CHOICES

    @property
    def recipe(self) -> Recipe:
        """Cross-entropy from logits and plain gradient descent."""
        return Recipe(loss=CrossEntropy(), optimizer=Sgd(lr=RATE), batch=self.batch, seed=self.seed)

    @cached_property
    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """What every system begins with."""
        named = initial_weights(self.graph, self.facts, self.recipe)
        return {name: np.asarray(values, np.float32) for name, values in named}

    @property
    def image_bytes(self) -> int:
        """Bytes of one image, of all inputs together."""
        return sum(product(self.facts.shape(source)) for source in self.graph.sources()) * FLOAT_BYTES

    @cached_property
    def images(self) -> int:
        """How many images the pool has: whole batches."""
        fitting = min(MOST_IMAGES, MOST_BYTES // self.image_bytes) // self.batch
        return max(fitting, 2) * self.batch

    @cached_property
    def inputs(self) -> tuple[NDArray[np.float32], ...]:
        """Normal random numbers for every input, whole ones where an embedding reads them."""
        random = np.random.default_rng(self.seed)
        readers = self.graph.consumers()
        return tuple(
            self._drawn(random, source, [self.graph.nodes[r].layer for r in readers[source]])
            for source in self.graph.sources()
        )

    def _drawn(self, random: np.random.Generator, source: int, readers: list[object]) -> NDArray[np.float32]:
        shape = (self.images, *self.facts.shape(source))
        for reader in readers:
            if isinstance(reader, Embedding):
                return random.integers(0, reader.vocabulary, shape).astype(np.float32)
        return random.standard_normal(shape, np.float32)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """A random class for every image."""
        (output,) = self.graph.outputs
        return np.random.default_rng(self.seed + 1).integers(0, self.facts.shape(output)[0], self.images)

    def rows(self) -> Iterator[slice]:
        """One batch of the pool after the other, without end."""
        while True:
            for start in range(0, self.images, self.batch):
                yield slice(start, start + self.batch)

    def flops(self) -> int:
        """Floating-point operations of a step in convolutions and dense layers, two for each MAC.

        Backward, each multiply-accumulate takes part in the gradient of the weights, and in that of the input
        where weights lie before it.
        """
        return sum(sum(pair) for pair in self.flops_by_node())

    def flops_by_node(self) -> list[tuple[int, int]]:
        """The same of every node, forward and backward."""
        found, learning = [], set[int]()
        for index, (node, facts) in enumerate(zip(self.graph.nodes, self.facts.layers, strict=True)):
            each = 2 * facts.macs * self.batch
            passes = 1 + bool(learning.intersection(node.inputs))
            found.append((each, each * passes if self.training else 0))
            if facts.weights or learning.intersection(node.inputs):
                learning.add(index)
        return found

    def check(self) -> None:
        """Refuse what has no loss.

        Raises:
            CannotMeasure: training is asked for, and the output is not one vector of classes.
        """
        outputs = [self.facts.shape(node) for node in self.graph.outputs]
        if self.training and [len(shape) for shape in outputs] != [1]:
            raise CannotMeasure(
                "training needs a loss, and this network has no single output that is a vector of classes",
                "measure prediction with --inference",
            )
