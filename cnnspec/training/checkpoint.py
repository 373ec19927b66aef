"""Checkpoints: everything that a run needs to go on as if it had never stopped, in one file.

Weights and the state of the model (what optimizer and schedule keep, and the number of the step) are the
file's arrays; the rest is its text, an `About`. No time is in it, so that equal runs have equal checkpoints.
What is random needs no state: order, augmentation and dropout follow from seed, position and step.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnspec.training.errors import TrainingError
from cnnspec.training.files import write_keeping
from cnnspec.training.loop import Epoch, Position
from cnnspec.training.tensors import Arrays, DamagedFile, read_arrays, serialize

if TYPE_CHECKING:
    from cnnspec.training.model import TrainableModel

SCHEMA: Final = "cnnspec.checkpoint/1"
WEIGHTS, STATE = "weights/", "state/"
MAY_BE_UNKNOWN: Final = "schedule/"
"""The part of the state that may hold what is no number: the best figure before there is one."""
TIMES: Final = {"seconds", "images_per_second"}
"""Fields of an epoch that differ from run to run."""


class NotFinite(TrainingError):  # noqa: N818 - a state of the weights
    """Weights or the optimizer's state hold a number that is not finite: they are not worth keeping."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} holds numbers that are not finite: training has diverged",
            "try a smaller learning rate, `lr`, or other initial weights, `init`",
        )


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PlanFacts(_Model):
    """What decides the bits of a run beside network, recipe and data.

    `algorithms` is a digest of how the plan computes each layer, and in which layout; `chosen` names the
    algorithm of each layer that has several. Where PyTorch computes, `workers` are processes, `micro_batch`
    is the share of each, and `blas_threads` are PyTorch's.
    """

    workers: int = Field(ge=1)
    micro_batch: int = Field(ge=1)
    blas_threads: int = Field(ge=1)
    cpus: int | None = None
    numpy: str = ""
    blas: str = ""
    algorithms: str = ""
    chosen: dict[str, str] = {}
    backend: str = "numpy"
    torch: str = ""
    device: str = ""
    precision: str = ""


class Best(_Model):
    """The best epoch so far, by the score that decides which weights are kept."""

    epoch: int
    metric: str
    score: float


class About(_Model):
    """The text of a checkpoint.

    Attributes:
        spec: SHA-256 of what is run: the network, its parameters, the recipe; see `RunRecord.fingerprint`.
        position: where the run stands; `history` has the epochs before it.
    """

    schema_: Literal["cnnspec.checkpoint/1"] = Field(SCHEMA, alias="schema")
    network: str
    spec: str
    position: Position
    history: tuple[Epoch, ...]
    best: Best | None
    plan: PlanFacts

    def text(self) -> str:
        """As JSON. Floats are written so that reading gives the same bits."""
        return json.dumps(self.model_dump(by_alias=True, exclude={"history": {"__all__": TIMES}}))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run goes on from."""

    about: About
    weights: Arrays
    state: Arrays


def capture(
    model: TrainableModel,
    *,
    network: str,
    spec: str,
    position: Position,
    history: tuple[Epoch, ...],
    best: Best | None,
    plan: PlanFacts,
) -> Checkpoint:
    """The state of a run between two batches; the arrays are the model's own.

    Raises:
        NotFinite: it is not worth keeping.
    """
    state = model.state()
    kept = {name: array for name, array in state.items() if not name.startswith(MAY_BE_UNKNOWN)}
    check_finite(model.weights, "the weight")
    check_finite(kept, "the state")
    about = About(
        network=network,
        spec=spec,
        position=position,
        history=history,
        best=best,
        plan=plan,
    )
    return Checkpoint(about, model.weights, state)


def check_finite(arrays: Arrays, what: str) -> None:
    """Refuse infinities and what is no number.

    Raises:
        NotFinite: it names the first array that holds some.
    """
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise NotFinite(f"{what} `{name}`")


def restore(model: TrainableModel, checkpoint: Checkpoint) -> None:
    """Give a model the state of a checkpoint.

    Raises:
        ValueError: they do not belong together.
    """
    if set(checkpoint.weights) != set(model.weights):
        odd = sorted(set(checkpoint.weights) ^ set(model.weights))
        raise ValueError(f"the weights differ: {', '.join(odd[:3])}")
    for name, array in checkpoint.weights.items():
        model.weights[name] = array.astype(np.float32, copy=False)
    model.load_state(checkpoint.state)


def write_checkpoint(path: Path, previous: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the one before is kept as `previous`.

    Raises:
        WriteError: it cannot be written; the one before is still there.
    """
    arrays = {WEIGHTS + name: array for name, array in checkpoint.weights.items()}
    arrays |= {STATE + name: array for name, array in checkpoint.state.items()}
    write_keeping(path, previous, *serialize(arrays, checkpoint.about.text()))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ReadError: there is no such file, or it cannot be read.
        DamagedFile: it is not what was written, or no checkpoint of this version.
    """
    stored = read_arrays(path)
    try:
        about = About.model_validate(json.loads(stored.about))
    except (ValidationError, ValueError, RecursionError) as error:
        raise DamagedFile(path, f"it is no checkpoint that this version reads ({_first(error)})") from None
    return Checkpoint(about, _part(stored.arrays, WEIGHTS), _part(stored.arrays, STATE))


def _part(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"`{'.'.join(map(str, first['loc']))}`: {first['msg'].lower()}"
    return str(error)
