"""The record of a run, `run.json`: what was run, with what, how it went.

It is a file that others read, so it has a schema, and whoever reads it here is told clearly where it does not
keep to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnspec.layers.declaration import written
from cnnspec.training.checkpoint import Best, PlanFacts
from cnnspec.training.errors import TrainingError
from cnnspec.training.files import read_bytes
from cnnspec.training.loop import Epoch
from cnnspec.training.machine import cpus as cpus

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.plan import Plan
    from cnnspec.recipe import Recipe
    from cnnspec.training.datasets import DataSet

SCHEMA: Final = "cnnspec.run/1"
Status = Literal["running", "finished", "interrupted", "pruned", "diverged", "failed"]
"""How a run stands; `pruned` is one that its sweep has ended for being worse than most."""
Setting = str | int | list[str] | None


class RecordError(TrainingError):
    """A `run.json` is not one that this version understands."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Spec(_Part):
    """The file that was run, and those that it uses, by their paths from its folder on."""

    file: str
    text: str
    uses: dict[str, str] = {}


class Images(_Part):
    """The samples of each part of the data."""

    train: int
    test: int


class Preparation(_Part):
    """What was done to the samples, and what the classes are called: enough to treat another one alike.

    Attributes:
        shape: of a sample, channel first.
        black: what a value of 0 has become by normalising, by channel; one number stands for all channels.
        range: what the way from 0 to 1 has become, likewise.
        labels: SHA-256 of all labels, by which other data are noticed.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    black: tuple[float, ...] = (0.0,)
    range: tuple[float, ...] = (1.0,)
    labels: str = ""


class Versions(_Part):
    """The programs that were at work."""

    cnnspec: str
    numpy: str
    python: str


class Timing(_Part):
    """Wall-clock time, of all parts of a run that was resumed."""

    total_seconds: float
    training_seconds: float
    images_per_second: float


class Session(_Part):
    """One stretch of a run, from its beginning or from a checkpoint on."""

    started: str
    epoch: int = 1
    batch: int = 0
    seconds: float = 0.0
    launch: str = ""
    """The torchrun that started it, where one did."""


class RunRecord(_Part):
    """The content of a `run.json`."""

    schema_: Literal["cnnspec.run/1"] = Field(SCHEMA, alias="schema")
    status: Status
    started: str
    network: str
    parameters: dict[str, str]
    params: int
    trainable_params: int
    recipe: dict[str, Setting]
    images: Images
    preparation: Preparation
    threads: PlanFacts
    versions: Versions
    platform: str
    spec: Spec
    sessions: tuple[Session, ...]
    epochs_finished: int = 0
    error: str | None = None
    timing: Timing | None = None
    final: dict[str, float] | None = None
    best: Best | None = None

    def text(self) -> str:
        """As JSON, one field a line."""
        content = self.model_dump(by_alias=True, exclude_none=True)
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def fingerprint(self) -> str:
        """SHA-256 of all that decides what the run comes to, but for the number of epochs.

        A checkpoint and the record beside it must agree in it.
        """
        recipe = {name: value for name, value in self.recipe.items() if name != "epochs"}
        decisive = [self.spec.text, self.spec.uses, self.parameters, recipe]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def read_record(path: Path) -> RunRecord:
    """Read a `run.json`.

    Raises:
        ReadError: there is no such file, or it cannot be read.
        RecordError: it is not one that this version understands.
    """
    try:
        return RunRecord.model_validate_json(read_bytes(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if place == "schema":
            message = f"{path} has the schema {first['input']!r}, and this version reads {SCHEMA!r}"
            raise RecordError(message, "use the version of cnnspec that wrote it") from None
        why = f"`{place}`: {first['msg'].lower()}" if place else "it is not JSON"
        raise RecordError(f"{path} is not the record of a run: {why}") from None


def start_record(
    graph: Graph,
    facts: Facts,
    recipe: Recipe,
    spec: Spec,
    data: DataSet,
    preparation: Preparation,
    plan: PlanFacts,
) -> RunRecord:
    """What is known of a run when it begins."""
    totals = facts.totals()
    now = timestamp()
    return RunRecord(
        status="running",
        started=now,
        network=graph.name,
        parameters={name: written(value) for name, value in graph.parameters.items()},
        params=totals.params,
        trainable_params=totals.trainable_params,
        recipe=recipe.written(),
        images=Images(train=len(data.train_y), test=len(data.test_y)),
        preparation=preparation,
        threads=plan,
        versions=Versions(
            cnnspec=_version("cnnspec"), numpy=_version("numpy"), python=platform.python_version()
        ),
        platform=platform.platform(),
        spec=spec,
        sessions=(Session(started=now, launch=launch()),),
    )


def end_record(
    record: RunRecord, status: Status, history: Sequence[Epoch], best: Best | None, seconds: float, error: str
) -> RunRecord:
    """The record of a run that has ended, or that has come one epoch further.

    Args:
        record: what it was.
        status: how it ended.
        history: the finished epochs.
        best: the best of them.
        seconds: the time of this session so far, test and writing included.
        error: what went wrong, where something did.
    """
    *earlier, session = record.sessions
    sessions = (*earlier, session.model_copy(update={"seconds": round(seconds, 3)}))
    timing = Timing(
        total_seconds=round(sum(session.seconds for session in sessions), 3),
        training_seconds=round(sum(epoch.seconds for epoch in history), 3),
        images_per_second=round(speed(history), 1),
    )
    return record.model_copy(
        update={
            "status": status,
            "error": error or None,
            "epochs_finished": len(history),
            "sessions": sessions,
            "timing": timing,
            "final": dict(history[-1].figures) if history else None,
            "best": best,
        }
    )


def plan_facts(plan: Plan) -> PlanFacts:
    """What decides the bits of a run on this machine."""
    return PlanFacts(
        workers=plan.workers,
        micro_batch=plan.micro_batch,
        blas_threads=plan.blas_threads,
        cpus=cpus(),
        numpy=_version("numpy"),
        blas=blas(),
        algorithms=_algorithms(plan),
        chosen=dict(plan.choices.algorithms),
    )


def _algorithms(plan: Plan) -> str:
    steps = [(step.name, step.algorithm, step.layout) for step in plan.steps]
    return hashlib.sha256(json.dumps(steps).encode()).hexdigest()[:16]


def speed(history: Sequence[Epoch]) -> float:
    """Images a second over all epochs, the test parts left out; 0 without an epoch."""
    images = sum(epoch.seconds * epoch.images_per_second for epoch in history)
    return images / max(sum(epoch.seconds for epoch in history), 1e-9)


@cache
def blas() -> str:
    """The library behind NumPy's matrix products and the kernels it chose: `openblas 0.3.30 Haswell`."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    found: list[Mapping[str, object]] = [one for one in threadpool_info() if one.get("user_api") == "blas"]
    keys = ("internal_api", "version", "architecture")
    return "; ".join(" ".join(str(one[key]) for key in keys if one.get(key)) for one in found)


def timestamp() -> str:
    """Now, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def launch() -> str:
    """What tells one call of torchrun from another, the same in all of its restarts; empty without one."""
    name = os.environ.get("TORCHELASTIC_RUN_ID", "")
    return f"{platform.node()} {os.getppid()}" if name == "none" else name


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder, not installed
        return "unknown"
