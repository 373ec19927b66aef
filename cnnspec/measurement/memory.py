"""The peak memory of a step: what the plan predicts, and what a process of its own then takes.

A process makes the step, runs it a few times, and compares the most memory that was resident with what was
before the system built anything: the system itself, the images of the pool and the initial weights do not
count.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.language.source import Source
from cnnspec.measurement.processes import peak_memory, tells
from cnnspec.measurement.systems.numpy import plan_for
from cnnspec.measurement.task import CannotMeasure
from cnnspec.network.check import check_source
from cnnspec.network.table import in_bytes
from cnnspec.training.machine import available_memory

if TYPE_CHECKING:
    from cnnspec.measurement.systems import Way
    from cnnspec.measurement.task import Task
    from cnnspec.measurement.turns import Step

STEPS: Final = 3
SMALL: Final = "network Small { input 1x8x8\n conv 2 3x3 -> relu -> batchnorm -> maxpool 2x2 -> dense 3 }"
_CHILD: Final = "import sys; from cnnspec.measurement.memory import child; child(*sys.argv[1:])"


def predicted_bytes(task: Task) -> int:
    """All memory of the model; plain gradient descent keeps nothing beside it."""
    return plan_for(task).total_bytes


def check_fits(task: Task) -> None:
    """Refuse what memory does not hold, before anything is allocated.

    Raises:
        CannotMeasure: the network or the pool of images is too large.
    """
    pool = task.images * task.image_bytes
    needed, available = predicted_bytes(task) + pool, available_memory()
    if available is not None and needed > available:
        raise CannotMeasure(
            f"a batch of {task.batch} needs {in_bytes(needed)} of memory, of which images {in_bytes(pool)},"
            f" and {in_bytes(available)} are available",
            "use a smaller --batch" if task.batch > 1 else None,
        )


def can_measure() -> bool:
    """Whether the system tells what is resident."""
    return tells()


def measured_bytes(task: Task, system: str) -> int | None:
    """The most that a step takes in a system in its plainest mode; nothing where it does not work."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "task", Path(folder) / "found"
        given.write_bytes(pickle.dumps(replace(task)))  # without what it has cached
        words = [sys.executable, "-c", _CHILD, str(given), system, str(found)]
        subprocess.run(words, capture_output=True, check=False, env={**os.environ, **_one_arena()})
        return json.loads(found.read_text())["bytes"] if found.exists() else None


def _one_arena() -> dict[str, str]:
    """Glibc gives freed memory back at once, so that the peak of one step does not hide in the next."""
    return {"MALLOC_ARENA_MAX": "1"}


def child(given: str, system: str, found: str) -> None:
    """What the process does: write the bytes into a file."""
    from cnnspec.measurement.systems import SYSTEMS

    task: Task = pickle.loads(Path(given).read_bytes())
    SYSTEMS[system].threads(task.threads)
    way = next(SYSTEMS[system].ways(task), None)
    if way is None:
        return
    _run(way, replace(task, **_small()))
    ready = task.inputs, task.weights, task.labels if task.training else None
    with peak_memory() as peak:
        step = _run(way, task)  # held, since its workers end with it
    Path(found).write_text(json.dumps({"bytes": peak[0], "arrays": len(ready), "step": str(step)}))


def _run(way: Way, task: Task) -> Step:
    """Make a step, and run it a few times."""
    step = way.make(task)
    for _ in range(STEPS):
        step()
    return step


def _small() -> dict[str, Any]:
    """A network with which a system loads all that it loads once."""
    graph, facts = check_source(Source("small", SMALL)).network()
    return {"graph": graph, "facts": facts, "batch": 2}
