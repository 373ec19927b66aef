"""One task beside other systems, each in its fastest mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cnnspec.language.errors import SpecError
from cnnspec.measurement.systems import SYSTEMS, System, Way, available
from cnnspec.measurement.task import Task
from cnnspec.measurement.turns import REST, Rounds, Spread, Step, take_turns, turn

OURS: Final = "cnnspec"
TRIALS: Final = 2
"""Turns of each mode before the rounds, of which the better one counts."""
NEAR: Final = 1.1
"""Modes that take up to so many times the fastest one's time stay in the rounds."""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another system in its fastest mode.

    Attributes:
        mode: its name, empty where there is one only.
        seconds: a step.
        ratio: how many times as fast cnnspec is.
        trials: seconds a step of every mode that works, as tried before the rounds.
    """

    system: str
    mode: str
    seconds: Spread
    ratio: Spread
    trials: dict[str, float]

    @property
    def title(self) -> str:
        """`PyTorch eager`."""
        return f"{SYSTEMS[self.system].title} {self.mode}".strip()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured of one task.

    Attributes:
        seconds: a step of ours.
        rivals: the other systems.
        busy: the share of the machine that others used meanwhile.
        disturbed: whether they left too little.
        notes: what could not be measured, and why.
    """

    task: Task
    seconds: Spread
    rivals: tuple[Rival, ...]
    busy: float
    disturbed: bool
    notes: tuple[str, ...]


def set_threads(systems: Sequence[str], threads: int) -> None:
    """Tell every system how many threads it may use; before the first task."""
    for name in systems:
        if available(SYSTEMS[name]):
            SYSTEMS[name].threads(threads)


def compare(
    task: Task,
    systems: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    rest: float = REST,
    say: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Measure our step and those of other systems in interleaved turns; `say` is told what comes next."""
    notes: list[str] = []
    say("compiling for NumPy")
    steps: dict[tuple[str, str], Step] = {}
    steps[OURS, ""] = next(iter(SYSTEMS[OURS].ways(task))).make(task)
    trials: dict[str, dict[str, float]] = {}
    for name in systems:
        made = _ready(task, name, notes, say)
        trials[name] = {mode: _trial(step, seconds, rest) for mode, step in made.items()}
        fastest = min(trials[name].values(), default=0.0)
        steps |= {(name, mode): step for mode, step in made.items() if trials[name][mode] <= NEAR * fastest}
    say("taking turns")
    found = take_turns(
        {_key(*way): step for way, step in steps.items()}, rounds=rounds, seconds=seconds, rest=rest
    )
    rivals = [_rival(found, name, list(steps), trials[name]) for name in systems if trials[name]]
    return Comparison(
        task,
        found.spread(_key(OURS, "")),
        tuple(rivals),
        found.busy,
        found.disturbed(task.threads),
        tuple(notes),
    )


def _key(system: str, mode: str) -> str:
    return f"{system} {mode}"


def _rival(found: Rounds, name: str, ways: list[tuple[str, str]], trials: dict[str, float]) -> Rival:
    """The mode whose median is the smallest."""
    modes = [mode for system, mode in ways if system == name]
    mode = min(modes, key=lambda mode: found.spread(_key(name, mode)).middle)
    key = _key(name, mode)
    return Rival(name, mode, found.spread(key), found.ratio(_key(OURS, ""), key), trials)


def _trial(step: Step, seconds: float, rest: float) -> float:
    return min(turn(step, seconds / 2, rest) for _ in range(TRIALS))


def _ready(task: Task, name: str, notes: list[str], say: Callable[[str], None]) -> dict[str, Step]:
    """The modes of a system that work; the others are noted."""
    system, made = SYSTEMS[name], {}
    if not available(system):
        notes.append(f"{system.title} is not installed: {system.install}")
        return {}
    if task.training and not system.trains:
        notes.append(f"{system.title} predicts only, and is left out of training")
        return {}
    for way in system.ways(task):
        say(f"preparing {system.title} {way.name}".strip())
        step = _made(task, system, way, notes)
        if step is not None:
            made[way.name] = step
    return made


def _made(task: Task, system: System, way: Way, notes: list[str]) -> Step | None:
    try:
        return way.make(task)
    except SpecError as error:
        notes.append(f"{system.title} is left out: {error.diagnostics[0].message}")
    except Exception as error:  # whatever a compiler of another system runs into
        title = f"{system.title} {way.name}".strip()
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        notes.append(f"{title} does not work here: {reason}")
    return None
