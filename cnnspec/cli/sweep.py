"""`cnnspec sweep`: train a file many times with other values, and tell which were the best."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_diagnostics, print_table
from cnnspec.cli._parameters import add_parameters, count, whole
from cnnspec.cli._training import add_backend, add_data, print_error
from cnnspec.cli.main import FINDINGS, INTERRUPTED, OK, USAGE, CommandError
from cnnspec.cli.run import overridden
from cnnspec.language.errors import SpecError
from cnnspec.language.parser import parse
from cnnspec.language.reading import read
from cnnspec.language.record import record
from cnnspec.language.syntax import Network
from cnnspec.layers.declaration import written
from cnnspec.network.check import Checked
from cnnspec.network.recipe import check_agreement
from cnnspec.network.settings import check_source_with
from cnnspec.recipe import METRICS, DataKind, Recipe

if TYPE_CHECKING:
    from cnnspec.cli._interruption import Interruption
    from cnnspec.cli._sweeping import Screen
    from cnnspec.language.source import Source
    from cnnspec.layers.options import Value
    from cnnspec.training.backend import Backend
    from cnnspec.training.subject import Subject
    from cnnspec.training.sweep.space import Axis, Held, Space
    from cnnspec.training.sweep.study import Aim, Sweep, Trial

SUMMARY = "train a file many times with other values, and tell which are the best"
EXAMPLES = """examples:
  cnnspec sweep net.cnn --param lr=1e-3..1e-1 --param width=8,16,32      20 trials, in sweeps/NAME
  cnnspec sweep net.cnn --param lr=1e-3..1e-1 --trials 50 --jobs 4       four processes on one sweep
  cnnspec sweep net.cnn --param optimizer=sgd,adam --param batch=32,64   all four combinations
  cnnspec sweep net.cnn --param momentum=0..0.95 --metric test_loss --epochs 5
  cnnspec sweep net.cnn --param seed=1..5 --no-pruning                   how far chance alone goes
  cnnspec sweep net.cnn --param lr=1e-3..1e-1 --backend torch --device cuda    computed by PyTorch, on a GPU

VALUES are a list, kernel=3,5,7, or a range: width=8..64 takes whole numbers, momentum=0..0.95 any, both ends
included. From an end 100 times the beginning on, numbers are spread by orders of magnitude; lr=0.01..0.5:log
says so of any range, lr=1e-3..1:linear the contrary, and dropout=0.1..0.5:0.1 goes in steps. NAME is what
`cnnspec run --set` takes: a parameter of the network, or a setting of the `train` block such as lr,
sgd.momentum, batch, optimizer.

Optuna chooses the values (pip install 'cnnspec[sweep]'); where there are no more combinations than trials,
each is tried once. A trial is a run folder, and `cnnspec runs sweeps/NAME` lists them. One that is behind the
median of the others is ended early. The best epoch counts. The same command again goes on where the last one
stopped, after Ctrl-C or a kill, or with more --trials; called several times at once it shares the work.
"""

SWEEPS: Final = Path("sweeps")
TRIALS: Final = 20
SCHEMA: Final = "cnnspec.sweep/1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument(
        "--param",
        type=_axis,
        action="append",
        required=True,
        metavar="NAME=VALUES",
        help="what to try: a range such as lr=1e-3..1e-1, or a list such as width=8,16,32; several times",
    )
    parser.add_argument(
        "--trials", type=count, default=TRIALS, metavar="N", help="trials in all; 20 unless given"
    )
    parser.add_argument(
        "--jobs", type=_jobs, default=1, metavar="N", help="processes at work; 1 unless given"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the sweep, new or to go on in; sweeps/NAME"
    )
    parser.add_argument(
        "--metric",
        type=_metric,
        metavar="FIGURE",
        help="what decides: test_accuracy where there are classes, test_loss elsewhere; or as `keep` says",
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="what the choice of values follows from"
    )
    parser.add_argument(
        "--epochs", type=count, metavar="N", help="passes over the training images in a trial"
    )
    parser.add_argument("--batch", type=count, metavar="N", help="images in a step")
    parser.add_argument(
        "--no-pruning", dest="pruning", action="store_false", help="let every trial run to its end"
    )
    add_data(parser)
    add_parameters(parser, of="the network, or a setting of the file, in all trials")
    add_backend(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the best trial's folder alone")
    parser.add_argument("--worker", metavar="K/N", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Sweep; 1 where the file has errors or no trial came to an end, 130 where it was interrupted."""
    if arguments.worker:
        _keep_to_own_processors(arguments.worker)
    from cnnspec.cli._backend import check_backend
    from cnnspec.training import TrainingError

    try:
        check_backend(arguments, shares="trials")
    except CommandError as error:
        print(f"error: {error}\nhelp: {error.help}", file=sys.stderr)
        return USAGE
    try:
        return _run(arguments)
    except TrainingError as error:
        print_error(error)
        return FINDINGS


# --- arguments --------------------------------------------------------------------------------------------


def _axis(text: str) -> Axis:
    from cnnspec.training.sweep.space import SpaceError, read_axis

    try:
        return read_axis(text)
    except SpaceError as error:
        raise argparse.ArgumentTypeError(f"{error}\nhelp: {error.help}") from None


def _metric(text: str) -> str:
    from cnnspec.recipe.figures import metric_help

    if text not in METRICS:
        raise argparse.ArgumentTypeError(f"there is no figure `{text}`\nhelp: {metric_help(text)}")
    return text


def _seed(text: str) -> int:
    return whole(text, 0, 10**18)


def _jobs(text: str) -> int:
    return whole(text, 1, 1000)


def _keep_to_own_processors(worker: str) -> None:
    """Take an equal share of the processors, before anything asks how many there are."""
    number, _, workers = worker.partition("/")
    if hasattr(os, "sched_getaffinity"):
        mine = sorted(os.sched_getaffinity(0))[int(number) :: int(workers)]
        if mine:
            os.sched_setaffinity(0, mine)


# --- what is swept ----------------------------------------------------------------------------------------


@record
class Task:
    """The file, and all that the command line says of it."""

    arguments: argparse.Namespace
    source: Source
    space: Space

    def checked(self, held: Mapping[str, Held]) -> Checked:
        """The file with the values of a trial.

        Raises:
            SpecError: a name is unknown, or a setting cannot have its value.
        """
        from cnnspec.training.sweep.space import values_of

        values: dict[str, Value] = {**self.arguments.set, **values_of(held)}
        return check_source_with(self.source, values)

    def recipe(self, checked: Checked) -> Recipe:
        """Its recipe, with what the command line says instead."""
        arguments = self.arguments
        given = argparse.Namespace(
            epochs=arguments.epochs, batch=arguments.batch, seed=None, data=arguments.data
        )
        return overridden(checked.recipe, given)

    def subject(self, held: Mapping[str, Held]) -> Subject:
        """What a trial trains.

        Raises:
            SpecError: these values do not fit together.
            TrainingError: there is too little memory.
        """
        from cnnspec.training.memory import check_room
        from cnnspec.training.subject import make_subject

        checked = self.checked(held)
        graph, facts = checked.network()
        recipe = self.recipe(checked)
        if faults := check_agreement(graph, facts, recipe, {}):
            raise SpecError(faults)
        subject = make_subject(checked, recipe)
        if self.arguments.backend != "torch":
            check_room(subject)
        return subject

    def needed(self) -> dict[str, Held]:
        """A value for each parameter of the network that has no default, among those that are swept."""
        network = next((one for one in parse(self.source).tree.items if isinstance(one, Network)), None)
        bare = {one.name.text for one in network.parameters if one.default is None} if network else set()
        return {axis.name: axis.first for axis in self.space.axes if axis.name in bare}


def _run(arguments: argparse.Namespace) -> int:
    from cnnspec.training.sweep import check_installed
    from cnnspec.training.sweep.space import SpaceError, make_space

    check_installed()
    try:
        space = make_space(arguments.param)
        _check_once(arguments, space)
    except SpaceError as error:
        print(f"error: {error}\nhelp: {error.help}", file=sys.stderr)
        return USAGE
    task = Task(arguments, read(arguments.file), space)
    checked = _check(task)
    if not checked.ok:
        print_diagnostics(checked.diagnostics, quiet=arguments.quiet)
        return FINDINGS
    recipe = task.recipe(checked)
    if faults := check_agreement(*checked.network(), recipe, {}):
        print_diagnostics(faults, quiet=arguments.quiet)
        return FINDINGS
    return _sweep(task, checked, recipe)


def _check_once(arguments: argparse.Namespace, space: Space) -> None:
    """See that nothing is both swept and given, and that there is a file for several processes."""
    from cnnspec.training.sweep.space import SpaceError

    names = [axis.name for axis in space.axes]
    for name in names:
        if name in arguments.set:
            raise SpaceError(f"`{name}` is both in --set and in --param", "leave one of them out")
        if name in ("epochs", "batch") and getattr(arguments, name) is not None:
            raise SpaceError(f"`{name}` is both in --{name} and in --param", "leave one of them out")
    if arguments.file == "-" and arguments.jobs > 1:
        raise SpaceError("several processes cannot read the standard input", "name a file")


def _check(task: Task) -> Checked:
    """The file as it is; or, where some name has no value that fits, with one of these values.

    Raises:
        SpecError: there is nothing of a name, or a setting cannot have one of its values.
    """
    needed = task.needed()
    base = task.checked(needed)
    for axis in task.space.axes:
        tried = [task.checked({**needed, axis.name: value}) for value in axis.probes]
        if base.ok and not any(checked.ok for checked in tried):
            return tried[0]
    return base


def _sweep(task: Task, checked: Checked, recipe: Recipe) -> int:
    from cnnspec.cli._sweeping import choose_screen
    from cnnspec.training.sweep.study import Sweep

    arguments = task.arguments
    graph, _ = checked.network()
    own = arguments.jobs == 1 or arguments.worker
    if not own:
        with _turn(arguments):  # to refuse what no job could use, before there is a folder
            pass
    with _turn(arguments) if own else nullcontext() as backend:
        sweep = Sweep(arguments.out or SWEEPS / graph.name, _aim(task, checked, recipe))
        screen = choose_screen(sweep, arguments.quiet or arguments.json)
        if not arguments.worker:
            for line in _heading(sweep, graph.name, recipe):
                screen.say(line)
        if backend is not None:
            status = _work(task, sweep, screen, recipe.data, backend)
        else:
            from cnnspec.cli._jobs import share_out

            status = share_out(arguments, sweep, screen)
    return status if arguments.worker else _finish(task, sweep, graph.name, status)


def _turn(arguments: argparse.Namespace) -> AbstractContextManager[Backend]:
    """What computes the trials of this process; several of them take the GPUs in turn."""
    from cnnspec.cli._backend import open_backend

    number = int(arguments.worker.partition("/")[0]) if arguments.worker else None
    return open_backend(arguments, turn=number)


def _aim(task: Task, checked: Checked, recipe: Recipe) -> Aim:
    from cnnspec.training.subject import spec_of
    from cnnspec.training.sweep.study import Aim

    arguments = task.arguments
    graph, _ = checked.network()
    about = {
        "network": graph.name,
        "text": spec_of(checked).model_dump(exclude={"file"}),
        **{name: value for name, value in recipe.written().items() if name not in task.space.written()},
        "parameters": {name: written(value) for name, value in graph.parameters.items()},
    }
    metric = arguments.metric or recipe.keep.best or _usual_metric(recipe)
    return Aim(task.space, metric, arguments.trials, recipe.epochs, arguments.seed, arguments.pruning, about)


def _usual_metric(recipe: Recipe) -> str:
    classes = "accuracy" in recipe.loss.figures or recipe.data.class_count() is not None
    return "test_accuracy" if classes else "test_loss"


def _heading(sweep: Sweep, network: str, recipe: Recipe) -> list[str]:
    aim = sweep.aim
    tried = ", ".join(f"{name}={text}" for name, text in aim.space.written().items())
    number = f"all {aim.wanted} combinations" if aim.combinations else f"{aim.wanted} trials"
    lines = [
        f"{network} on {recipe.data.keyword}: {number} of {tried}",
        f"{aim.metric.replace('_', ' ')} decides, {'high' if sweep.higher_is_better else 'low'} is good",
    ]
    if done := sum(trial.status != "running" for trial in sweep.trials()):
        lines.append(f"goes on in {sweep.folder}: {done} are done")
    return lines


# --- at work ----------------------------------------------------------------------------------------------


class _Eyes:
    """Hands what happens to a screen, and Ctrl-C to the trial."""

    def __init__(self, screen: Screen, interruption: Interruption, parent: int | None) -> None:
        self._screen, self._interruption, self._parent = screen, interruption, parent

    def loading(self) -> AbstractContextManager[None]:
        """Around reading the data, and downloads."""
        return self._screen.loading()

    def downloading(self, name: str, done: int, total: int | None) -> None:
        """Show how far a download is."""
        self._screen.downloading(name, done, total)

    def changed(self) -> None:
        """Show how the trials stand."""
        self._screen.changed()

    def wants_to_stop(self) -> bool:
        """Whether Ctrl-C or SIGTERM has come, or the process that started this one is gone."""
        return self._interruption.asked or self._parent not in (None, os.getppid())


def _work(task: Task, sweep: Sweep, screen: Screen, data: DataKind, backend: Backend) -> int:
    """Train until there is nothing left to do."""
    from cnnspec.cli._interruption import Interruption
    from cnnspec.training.conduct import Stopped
    from cnnspec.training.sweep.work import Worker

    parent = os.getppid() if task.arguments.worker else None
    try:
        with Interruption() as interruption:
            eyes = _Eyes(screen, interruption, parent)
            worker = Worker(sweep, task.subject, task.arguments.data_dir, eyes, backend)
            if sweep.has_work():
                worker.load(data)
            with interruption.deferred(), screen.working():
                worker.work()
                return INTERRUPTED if interruption.asked else OK
    except (KeyboardInterrupt, Stopped):
        return INTERRUPTED


# --- what is printed --------------------------------------------------------------------------------------


def _finish(task: Task, sweep: Sweep, network: str, status: int) -> int:
    """Tell what came of it, and give the exit status."""
    arguments, trials, best = task.arguments, sweep.trials(), sweep.best_first()
    finished = bool(best) and best[0].status == "finished"
    if arguments.json:
        print(json.dumps(_document(task, sweep, network, trials, best), indent=2, ensure_ascii=False))
    elif arguments.quiet:
        if finished:
            print(best[0].path)
    elif best:
        _print_best(task, sweep, best)
    if status == INTERRUPTED:
        done = sum(trial.status != "running" for trial in trials)
        print(f"interrupted: {done} of {sweep.aim.wanted} trials are done", file=sys.stderr)
        print(f"help: the same command goes on with {sweep.folder}", file=sys.stderr)
    elif not finished and status == OK:
        why = next((trial.why for trial in trials if trial.why), "")
        print("error: no trial came to its end" + (f": {why}" if why else ""), file=sys.stderr)
        return FINDINGS
    return status


def _print_best(task: Task, sweep: Sweep, best: list[Trial]) -> None:
    from cnnspec.cli._sweeping import best_table

    print()
    dim = [i for i, trial in enumerate(best) if trial.status != "finished"]
    print_table(*best_table(sweep, best), dim=dim)
    trials = sweep.trials()
    ended = {
        status: sum(trial.status == status for trial in trials) for status in ("pruned", "diverged", "failed")
    }
    notes = [f"{number} {status}" for status, number in ended.items() if number]
    print()
    print(f"trials   {len(trials)}{', ' + ', '.join(notes) if notes else ''}, in {sweep.folder}")
    if best[0].status == "finished":
        print(f"best     {best[0].path}, {sweep.aim.metric.replace('_', ' ')} {best[0].value:.4f}")
        print(f"repeat   {_command(task, best[0])}")


def _command(task: Task, trial: Trial) -> str:
    """What trains the same network again."""
    from cnnspec.training.sweep.space import assignments

    arguments = task.arguments
    words = ["cnnspec", "run", arguments.file]
    given = [f"{name}={written(value)}" for name, value in arguments.set.items()]
    for assignment in [*given, *assignments(trial.held)]:
        words += ["--set", assignment]
    return shlex.join(words + same_options(arguments))


def same_options(arguments: argparse.Namespace) -> list[str]:
    """The options that `cnnspec run` has too, as they were given."""
    data = arguments.data
    text = data.written() if isinstance(data, DataKind) else data and data.keyword
    options = {"--epochs": arguments.epochs, "--batch": arguments.batch, "--data": text}
    options["--data-dir"] = arguments.data_dir
    options |= {f"--{name}": getattr(arguments, name) for name in ("backend", "device", "precision")}
    return [word for name, value in options.items() if value is not None for word in (name, str(value))]


def _document(
    task: Task, sweep: Sweep, network: str, trials: list[Trial], best: list[Trial]
) -> dict[str, object]:
    from cnnspec.cli._sweeping import status_of

    finished = bool(best) and best[0].status == "finished"
    return {
        "schema": SCHEMA,
        "file": task.arguments.file,
        "network": network,
        "folder": str(sweep.folder),
        "metric": sweep.aim.metric,
        "direction": "maximize" if sweep.higher_is_better else "minimize",
        "space": sweep.aim.space.written(),
        "wanted": sweep.aim.wanted,
        "best": best[0].number if finished else None,
        "command": _command(task, best[0]) if finished else None,
        "trials": [
            {
                "number": trial.number,
                "status": status_of(trial),
                "values": dict(trial.held),
                sweep.aim.metric: trial.value,
                "figures": list(trial.figures),
                "seconds": trial.seconds,
                "folder": str(trial.path),
                "why": trial.why or None,
            }
            for trial in trials
        ],
    }
