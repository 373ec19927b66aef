"""The record of a run, `run.json`: what was run, with what, how it went."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final, Literal

from cnnspec.layers.declaration import written

if TYPE_CHECKING:
    from cnnspec.language.source import Source
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import Recipe
    from cnnspec.training.datasets import DataSet
    from cnnspec.training.loop import Epoch

SCHEMA: Final = "cnnspec.run/1"
Status = Literal["running", "finished", "interrupted", "diverged", "failed"]


@dataclass(frozen=True, slots=True)
class Threads:
    """How the work was shared: runs repeat bit for bit where these, the machine and NumPy are the same."""

    workers: int
    micro_batch: int
    cpus: int | None


def start_record(
    source: Source, graph: Graph, facts: Facts, recipe: Recipe, data: DataSet, threads: Threads
) -> dict[str, object]:
    """What is known of a run when it begins."""
    totals = facts.totals()
    return {
        "schema": SCHEMA,
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "network": graph.name,
        "parameters": {name: written(value) for name, value in graph.parameters.items()},
        "params": totals.params,
        "trainable_params": totals.trainable_params,
        "recipe": {
            "data": recipe.data.written(),
            "loss": recipe.loss.written(),
            "optimizer": recipe.optimizer.written(),
            "init": recipe.init.written(),
            "batch": recipe.batch,
            "epochs": recipe.epochs,
            "seed": recipe.seed,
        },
        "images": {"train": len(data.train_y), "test": len(data.test_y)},
        "threads": asdict(threads),
        "versions": {
            "cnnspec": _version("cnnspec"),
            "numpy": _version("numpy"),
            "python": platform.python_version(),
        },
        "platform": platform.platform(),
        "spec": {"file": source.name, "text": source.text},
    }


def end_record(
    start: dict[str, object], status: Status, history: Sequence[Epoch], seconds: float, error: str = ""
) -> dict[str, object]:
    """The record of a run that has ended.

    Args:
        start: the record that it began with.
        status: how it ended.
        history: the finished epochs.
        seconds: from the beginning of the run to its end, test and writing included.
        error: what went wrong, where something did.
    """
    record = {**start, "status": status}
    if error:
        record["error"] = error
    record["epochs_finished"] = len(history)
    record["timing"] = {
        "total_seconds": round(seconds, 3),
        "training_seconds": round(sum(epoch.seconds for epoch in history), 3),
        "images_per_second": round(speed(history), 1),
    }
    if history:
        last = history[-1]
        names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        record["final"] = {name: getattr(last, name) for name in names}
    return record


def speed(history: Sequence[Epoch]) -> float:
    """Images a second over all epochs, the test parts left out; 0 without an epoch."""
    images = sum(epoch.seconds * epoch.images_per_second for epoch in history)
    return images / max(sum(epoch.seconds for epoch in history), 1e-9)


def cpus() -> int | None:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder, not installed
        return "unknown"
