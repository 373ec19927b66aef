"""A sweep in its folder: Optuna's study in a journal, and a run folder for each trial.

A trial that nobody finished is still `RUNNING` in the journal; whether anybody is at work on it says the lock
of its run folder. So whoever comes next goes on with it, from its checkpoint.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from cnnspec.recipe import higher_is_better
from cnnspec.training.errors import TrainingError
from cnnspec.training.files import WriteError, reason
from cnnspec.training.run_folder import RunFolder, reopen_run_folder
from cnnspec.training.sweep.journal import Journal, exclusive

if TYPE_CHECKING:
    from cnnspec.training.sweep.space import Held, Space

JOURNAL: Final = "journal.log"
CLAIMS: Final = "claims.lock"
NAME: Final = "sweep"
SCHEMA: Final = "cnnspec.sweep/1"
MOST_ATTEMPTS: Final = 3
"""So often a trial is begun whose process is gone each time within an epoch, without a word."""
DUPLICATES: Final = 5
"""So many suggestions that were tried already are passed over before chance chooses."""
STARTUP: Final = 5
"""Trials that end before any is ended early."""

Outcome = Literal["finished", "pruned", "diverged", "failed"]
_STATES: Final[dict[Outcome, TrialState]] = {
    "finished": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "diverged": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a sweep looks for.

    Attributes:
        space: what is tried.
        metric: the figure that decides.
        trials: how many are to be made, in all processes together.
        epochs: passes over the data in a trial.
        seed: what the choice of values follows from.
        pruning: whether trials worse than most are ended early.
        about: everything that decides what a trial comes to, to be noticed where it has changed.
    """

    space: Space
    metric: str
    trials: int
    epochs: int
    seed: int
    pruning: bool
    about: Mapping[str, object]

    @property
    def combinations(self) -> int | None:
        """How many there are, where all of them are tried."""
        size = self.space.size
        return size if size is not None and size <= self.trials else None

    @property
    def wanted(self) -> int:
        """Trials that are to be made: no more than there are combinations."""
        return self.combinations or self.trials

    def written(self) -> dict[str, object]:
        """As the journal keeps it; the number of trials may change."""
        return {
            "schema": SCHEMA,
            **self.about,
            **{f"--param {name}": text for name, text in self.space.written().items()},
            "--metric": self.metric,
            "--seed": self.seed,
            "pruning": self.pruning,
        }


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial as the journal tells of it; `status` is `running` also where nobody is at work on it."""

    number: int
    held: Mapping[str, Held]
    status: Literal["running"] | Outcome
    path: Path
    figures: tuple[float, ...]
    value: float | None
    seconds: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that this process alone is at work on."""

    number: int
    held: Mapping[str, Held]
    folder: RunFolder
    attempt: int


class Sweep:
    """The study of a folder."""

    def __init__(self, folder: Path, aim: Aim) -> None:
        """Open the study, or begin it.

        Raises:
            TrainingError: the folder holds something else, or its sweep is another one.
        """
        self.folder, self.aim = folder, aim
        _prepare(folder)
        with exclusive(folder / CLAIMS):
            self._storage = _storage(folder / JOURNAL)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=NAME,
                direction="maximize" if self.higher_is_better else "minimize",
                pruner=self._pruner(),
                load_if_exists=True,
            )
            _check_same(self._study, aim, folder)
        self._id = self._storage.get_study_id_from_name(NAME)

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the figure is better."""
        return higher_is_better(self.aim.metric)

    def _pruner(self) -> optuna.pruners.BasePruner:
        if not self.aim.pruning:
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(STARTUP, n_warmup_steps=max(2, self.aim.epochs // 3))

    # --- what is to be done -------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Whether there are trials to be made, or to go on with."""
        trials = self.trials()
        return len(trials) < self.aim.wanted or any(trial.status == "running" for trial in trials)

    @contextlib.contextmanager
    def claim(self) -> Iterator[Claim | None]:
        """A trial to work on, which somebody left or which is new; nothing where there is none left."""
        with contextlib.ExitStack() as held:
            with exclusive(self.folder / CLAIMS):
                found = self._left_behind(held) or self._new(held)
            yield found

    def _left_behind(self, held: contextlib.ExitStack) -> Claim | None:
        while self._frozen(TrialState.WAITING):  # left by a process that was ended before it could ask
            self._study.ask(self.aim.space.distributions())
        for trial in self._frozen(TrialState.RUNNING):
            if self._is_unborn(trial):
                self._pass_over(trial.number, None)
                continue
            with contextlib.suppress(TrainingError):  # somebody is at work on it
                claim = self._take(trial, held)
                if claim.attempt <= MOST_ATTEMPTS:
                    return claim
                why = f"its process ended {MOST_ATTEMPTS} times without a word"
                self.end(claim.number, "failed", why=why)
        return None

    def _is_unborn(self, trial: FrozenTrial) -> bool:
        """Whether a process was ended while it chose a trial: values are missing, or are those of another."""
        if set(trial.params) != {axis.name for axis in self.aim.space.axes}:
            return True
        before = (one for one in self._frozen() if one.number < trial.number and _counts(one))
        return any(one.params == trial.params for one in before)

    def _pass_over(self, number: int, same: int | None) -> None:
        """Let a trial not count, which would repeat another, or of which no more than the number is known."""
        self._note(number, same_as=same)
        self._study.tell(number, state=TrialState.FAIL)

    def _new(self, held: contextlib.ExitStack) -> Claim | None:
        if len(self.trials()) >= self.aim.wanted:
            return None
        number = self._every() if self.aim.combinations else self._chosen()
        return None if number is None else self._take(self._one(number), held)

    def _take(self, trial: FrozenTrial, held: contextlib.ExitStack) -> Claim:
        path = self.path(trial.number)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(path, error) from error
        folder = held.enter_context(reopen_run_folder(path))
        attempt = int(trial.user_attrs.get("attempts", 0)) + 1
        self._note(trial.number, attempts=attempt)
        return Claim(trial.number, trial.params, folder, attempt)

    def _every(self) -> int | None:
        """The next of all combinations, in an order that follows from the seed."""
        left = self.aim.space.combinations()
        random.Random(self.aim.seed).shuffle(left)
        tried = [trial.params for trial in self._frozen()]
        untried = next((one for one in left if one not in tried), None)
        return None if untried is None else self._ask(untried)

    def _chosen(self) -> int:
        """What Optuna suggests, unless it was tried already."""
        for _ in range(DUPLICATES):
            tried = {trial.number: trial.params for trial in self._frozen()}
            number = self._ask()
            params = self._one(number).params
            same = next((other for other, one in tried.items() if one == params), None)
            if same is None:
                return number
            self._pass_over(number, same)
        return self._ask(self._by_chance())

    def _by_chance(self) -> dict[str, Held]:
        """A combination that was not tried; there are more of them than trials, since not all are tried."""
        tried = [trial.params for trial in self._frozen()]
        chance = random.Random(self._seed(tried))
        while True:
            drawn = {axis.name: chance.choice(axis.values()) for axis in self.aim.space.axes}
            if drawn not in tried:
                return drawn

    def _ask(self, params: Mapping[str, Held] | None = None) -> int:
        """A new trial. What is suggested follows from the seed and the trials so far, in whatever process."""
        self._study.sampler = optuna.samplers.TPESampler(seed=self._seed(self._frozen()))
        if params is not None:
            self._study.enqueue_trial(dict(params))
        return self._study.ask(self.aim.space.distributions()).number

    def _seed(self, trials: list[FrozenTrial] | list[dict[str, Held]]) -> int:
        text = f"{self.aim.seed} {len(trials)}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])

    # --- how it goes --------------------------------------------------------------------------------------

    def report(self, number: int, figures: Mapping[int, float]) -> None:
        """Note the figures of epochs, by their numbers; those that are noted already stay."""
        trial = self._one(number)
        new = {epoch: figure for epoch, figure in figures.items() if epoch not in trial.intermediate_values}
        for epoch, figure in new.items():
            self._storage.set_trial_intermediate_value(self._trial_id(number), epoch, figure)
        if new and trial.user_attrs.get("attempts"):  # it gets on, though its processes may end
            self.leave(number)

    def is_hopeless(self, number: int) -> bool:
        """Whether a trial is worse at its last epoch than the median of the others was at theirs."""
        return self._study.pruner.prune(self._study, self._one(number))

    def end(
        self, number: int, outcome: Outcome, value: float | None = None, seconds: float = 0, why: str = ""
    ) -> None:
        """Note how a trial ended."""
        self._note(number, outcome=outcome, seconds=round(seconds, 3), **({"why": why} if why else {}))
        self._study.tell(number, value, _STATES[outcome])

    def leave(self, number: int) -> None:
        """Note that a trial is worth going on with, however often its processes have ended."""
        self._note(number, attempts=0)

    # --- what has been ------------------------------------------------------------------------------------

    def path(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.folder / f"trial-{number}"

    def trials(self) -> list[Trial]:
        """All trials but those that would have repeated another."""
        return [self._trial(one) for one in self._frozen() if _counts(one)]

    def best_first(self) -> list[Trial]:
        """Those that have a figure, the finished ones before the others."""
        sign = -1 if self.higher_is_better else 1
        scored = [trial for trial in self.trials() if trial.value is not None]
        return sorted(
            scored, key=lambda one: (one.status != "finished", sign * (one.value or 0.0), one.number)
        )

    def _trial(self, one: FrozenTrial) -> Trial:
        figures = tuple(one.intermediate_values[epoch] for epoch in sorted(one.intermediate_values))
        best = max if self.higher_is_better else min
        return Trial(
            one.number,
            one.params,
            one.user_attrs.get("outcome", "failed") if one.state.is_finished() else "running",
            self.path(one.number),
            figures,
            one.value if one.state is TrialState.COMPLETE else best(figures) if figures else None,
            one.user_attrs.get("seconds"),
            one.user_attrs.get("why", ""),
        )

    def _frozen(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def _one(self, number: int) -> FrozenTrial:
        return self._storage.get_trial(self._trial_id(number))

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _note(self, number: int, **facts: object) -> None:
        for name, fact in facts.items():
            self._storage.set_trial_user_attr(self._trial_id(number), name, fact)


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those that are wanted."""
    return "same_as" not in trial.user_attrs


def _prepare(folder: Path) -> None:
    """See that the folder is new, empty or a sweep's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [path for path in folder.iterdir() if path.name != CLAIMS]
    except FileExistsError:
        raise TrainingError(
            f"{folder} is a file: a sweep needs a folder", "give another name to --out"
        ) from None
    except OSError as error:
        raise WriteError(folder, error) from error
    if strangers and not (folder / JOURNAL).is_file():
        raise TrainingError(
            f"the folder {folder} is not empty, and holds no sweep", "give another name to --out"
        )


def _storage(path: Path) -> JournalStorage:
    try:
        return JournalStorage(Journal(path))
    except OSError as error:
        raise TrainingError(f"cannot use {path}: {reason(error)}") from None
    except (ValueError, KeyError, AssertionError, TypeError):
        help = "put it back as it was, or begin another sweep with --out"
        raise TrainingError(f"{path} is not the journal of a sweep, or damaged", help) from None


def _check_same(study: optuna.Study, aim: Aim, folder: Path) -> None:
    """Write down what the sweep is, or see that it is still the same."""
    wanted = aim.written()
    known = study.user_attrs.get(NAME)
    if known is None:
        study.set_user_attr(NAME, wanted)
        return
    changed = [name for name in dict.fromkeys([*known, *wanted]) if known.get(name) != wanted.get(name)]
    if changed:
        changes = (f"  {name}: {_shown(known.get(name))} -> {_shown(wanted.get(name))}" for name in changed)
        raise TrainingError(
            f"this is not what the sweep in {folder} began with:\n" + "\n".join(changes),
            "undo that, or begin another sweep with --out; only --trials and --jobs may change",
        )


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    text = "none" if value is None else str(value)
    return text if len(text) < 60 and "\n" not in text else "another text"
