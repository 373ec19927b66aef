"""Tasks: what workers do with the images of a batch, wherever they work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.numpy_backend.meetings import Pass
    from cnnspec.numpy_backend.ports import Arrays
    from cnnspec.numpy_backend.program import Program


@dataclass(frozen=True, slots=True)
class Task(ABC):
    """Work on a batch.

    Attributes:
        reads: arrays with a row for each image, the first `inputs` of them the network's inputs.
        writes: arrays that are filled, row by row.
        inputs: how many inputs the network has.
        rows: the rows of `reads` that are the batch, in its order; all of them if there is nothing.
    """

    reads: tuple[NDArray[Any], ...]
    writes: Arrays
    inputs: int
    rows: NDArray[np.integer] | None = None

    @abstractmethod
    def begin(self, program: Program, images: slice) -> Pass:
        """The pass over one piece, these images of the batch."""

    def told(self) -> tuple[object, ...]:
        """What beside the arrays makes it the task it is."""
        return (self.inputs,)

    def assisting(self) -> Task:
        """What the other members of a team do meanwhile."""
        raise NotImplementedError

    def _load(self, program: Program, images: slice) -> None:
        if self.rows is None:
            program.load(tuple(array[images] for array in self.reads[: self.inputs]))
        else:
            program.load(self.reads[: self.inputs], self.rows[images])

    def _beside(self, images: slice) -> tuple[NDArray[Any], ...]:
        """What is read beside the inputs."""
        rows = images if self.rows is None else self.rows[images]
        return tuple(array[rows] for array in self.reads[self.inputs :])

    def _written(self, images: slice) -> Arrays:
        return tuple(array[images] for array in self.writes)


@dataclass(frozen=True, slots=True)
class Forward(Task):
    """Compute the outputs."""

    def begin(self, program: Program, images: slice) -> Pass:
        """Load and run forward."""
        self._load(program, images)
        return (yield from program.forward(self._written(images)))

    def at_once(self, program: Program, images: slice) -> None:
        """The same of a plan for prediction, without a stop on the way."""
        program.predict(tuple(array[images] for array in self.reads), self._written(images))

    def assisting(self) -> Task:
        """Their part of every layer."""
        return Assist((), (), 0)


@dataclass(frozen=True, slots=True)
class Backward(Task):
    """From the outputs' gradients to the inputs'; with `again`, forward first."""

    again: bool = False

    def told(self) -> tuple[object, ...]:
        """Whether it goes forward first."""
        return (self.inputs, self.again)

    def begin(self, program: Program, images: slice) -> Pass:
        """Run backward, on the activations that are there or on new ones."""
        if self.again:
            self._load(program, images)
            yield from program.forward()
        return (yield from program.backward(self._beside(images), self._written(images)))


@dataclass(frozen=True, slots=True)
class Judge(Task):
    """Tally the loss."""

    def begin(self, program: Program, images: slice) -> Pass:
        """Run up to the logits."""
        self._load(program, images)
        (targets,) = self._beside(images)
        return (yield from program.loss(targets))

    def assisting(self) -> Task:
        """Their part of every layer up to the logits."""
        return Assist((), (), 0, judged=True)


@dataclass(frozen=True, slots=True)
class Assist(Task):
    """Do a member's part of what the first member of a team predicts, or judges."""

    judged: bool = False

    def told(self) -> tuple[object, ...]:
        """How far it goes."""
        return (self.inputs, self.judged)

    def begin(self, program: Program, images: slice) -> Pass:
        """Run forward on what the first member loads."""
        return (yield from program.assist(judged=self.judged))


@dataclass(frozen=True, slots=True)
class Learn(Task):
    """Tally the loss, and add up the gradients of its mean over a batch of this weight."""

    weight: float = 1.0

    def told(self) -> tuple[object, ...]:
        """The weight of the batch."""
        return (self.inputs, self.weight)

    def begin(self, program: Program, images: slice) -> Pass:
        """Run forward and backward."""
        self._load(program, images)
        (targets,) = self._beside(images)
        return (yield from program.loss_and_gradients(targets, self.weight))
