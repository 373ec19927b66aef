"""`cnnspec run`: train the network of a file as its `train` block says, and keep what comes of it."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_diagnostics
from cnnspec.cli._parameters import add_parameters, count, whole
from cnnspec.cli._training import add_backend, add_data, another_data, print_error
from cnnspec.cli.main import FINDINGS, INTERRUPTED, OK, USAGE, CommandError
from cnnspec.language.record import replace
from cnnspec.language.syntax import Train
from cnnspec.network.check import Checked, check_source
from cnnspec.network.recipe import check_agreement
from cnnspec.network.settings import check_with
from cnnspec.recipe import DataKind
from cnnspec.recipe.figures import headline

if TYPE_CHECKING:
    from cnnspec.numpy_backend.choices import Choices
    from cnnspec.recipe import Recipe
    from cnnspec.training.conduct import Job
    from cnnspec.training.record import RunRecord
    from cnnspec.training.recorder import Recorder
    from cnnspec.training.run_folder import RunFolder
    from cnnspec.training.subject import Subject

SUMMARY = "train the network of a file, and keep weights, figures and curves in a folder"
EXAMPLES = """examples:
  cnnspec run specs/lenet.cnn                          train as the file's `train` block says
  cnnspec run specs/lenet.cnn --epochs 5 --out first   fewer epochs, in a folder of your choice
  cnnspec run net.cnn --data mnist --data-dir ~/data   another data set, from your own files
  cnnspec run net.cnn --set width=32 --set lr=0.05     a parameter of the network, a setting of the file
  cnnspec run --resume runs/LeNet-1                    go on with a run that was stopped, as if it never was
  cnnspec run net.cnn --resume --epochs 80             go on with the newest run of this network, for longer
  cnnspec run net.cnn --tuned                          computed as `cnnspec plan net.cnn --tune` found fastest
  cnnspec run net.cnn --backend torch --device cuda    computed by PyTorch, on a GPU
  torchrun --nproc-per-node 2 --max-restarts 3 -m cnnspec run net.cnn --backend torch
                                                       each batch shared by two processes
  folder=$(cnnspec run net.cnn --quiet)                print nothing but the run's folder

The folder holds weights.safetensors (after the last finished epoch), best.safetensors (after the best one),
checkpoint.safetensors (to go on from), metrics.csv and metrics.jsonl (a row an epoch), times.csv, curves.svg,
report.html and run.json (the file, the settings, the versions, the outcome).
Ctrl-C finishes the batch, saves and exits with 130; once more stops at once. SIGTERM does the same.
"""

HERE: Final = "."
"""The value of `--resume` where no folder is named."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .cnn file, or - for the standard input")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="new or empty folder for the results; runs/NAME-1, -2 ... unless given",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=HERE,
        metavar="RUN",
        help="go on with the run in this folder; of a FILE: with that in --out, or with its newest one",
    )
    parser.add_argument("--epochs", type=count, metavar="N", help="passes over the training images")
    parser.add_argument("--batch", type=count, metavar="N", help="images in a step")
    parser.add_argument("--seed", type=_seed, metavar="N", help="what initial weights and order follow from")
    add_data(parser)
    add_parameters(parser, of="the network, or a setting of the file")
    add_backend(parser)
    parser.add_argument(
        "--tuned",
        action="store_true",
        help="compute as `cnnspec plan --tune` found fastest; a run that is resumed stays as it was",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but the run's folder")
    parser.add_argument("--json", action="store_true", help="print the run's record as JSON at the end")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write events for TensorBoard into the run's folder, too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train; 1 where the file has errors or the run cannot go on, 130 where it was interrupted."""
    from cnnspec.cli._backend import check_backend, follow
    from cnnspec.training import TrainingError
    from cnnspec.training.crew import WorkerLost, launched

    place = launched()
    follows = place is not None and place.rank > 0
    try:
        check_backend(arguments)
        _check_tuned(arguments)
        file, resume = (None, None) if follows else _what(arguments)
    except CommandError as error:
        if not follows:
            print(f"error: {error}\nhelp: {error.help}", file=sys.stderr)
        return USAGE
    try:
        return follow(arguments) if follows else _run(arguments, file, resume)
    except TrainingError as error:
        if not follows or not isinstance(error, WorkerLost):
            print_error(error)
        return FINDINGS


def _check_tuned(arguments: argparse.Namespace) -> None:
    if arguments.tuned and arguments.backend == "torch":
        raise CommandError("--tuned is for NumPy: PyTorch has no plan", "leave out --tuned")


def _what(arguments: argparse.Namespace) -> tuple[str | None, Path | None]:
    """The file, and the folder to go on in; `--resume net.cnn` means that file."""
    file, resume = arguments.file, arguments.resume
    if file is None and resume is not None and resume != HERE and Path(resume).is_file():
        file, resume = resume, HERE
    if resume is not None and resume != HERE:
        _check_named(file, Path(resume), arguments.out)
    if file is None and resume == HERE and arguments.out is None:
        raise CommandError("which run is to go on?", "name its folder: cnnspec run --resume runs/NAME-1")
    if file is None and resume is None:
        raise CommandError("a FILE is needed, or --resume with the folder of a run", "cnnspec run --help")
    if file is not None and _is_run(Path(file)):
        way_on = f"cnnspec run --resume {shlex.quote(file)}"
        raise CommandError(f"`{file}` is the folder of a run", f"go on with it by {way_on}")
    return file, None if resume is None else Path(arguments.out or resume if resume == HERE else resume)


def _check_named(file: str | None, resume: Path, out: Path | None) -> None:
    """Refuse what `--resume RUN` cannot mean: a folder that is not there, or another one for the results."""
    if not (resume.is_dir() if file is None else _is_run(resume)):
        raise CommandError(f"there is no folder `{resume}` with a run", "`cnnspec runs` lists the runs")
    if out is not None:
        raise CommandError(f"the run in `{resume}` goes on where it is, not in `{out}`", "leave out --out")


def _is_run(path: Path) -> bool:
    from cnnspec.training.run_folder import RunFolder

    return RunFolder(path).record.is_file()


def _run(arguments: argparse.Namespace, file: str | None, resume: Path | None) -> int:
    from cnnspec.cli._backend import restarted

    if arguments.tensorboard:
        from cnnspec.training.events import check_installed

        check_installed()
    if file is None:
        assert resume is not None
        return _go_on(arguments, resume, None)
    checked = check_with(file, arguments.set)
    if not checked.ok:
        print_diagnostics(checked.diagnostics, quiet=arguments.quiet)
        return FINDINGS
    graph, facts = checked.network()
    earlier = restarted(arguments.out, graph.name) if resume is None else _earlier(resume, graph.name)
    if earlier is not None:
        return _go_on(arguments, earlier, checked)
    recipe = overridden(checked.recipe, arguments)
    if not arguments.quiet and not any(isinstance(item, Train) for item in checked.tree.items):
        _tell_defaults(recipe, arguments)
    if faults := check_agreement(graph, facts, recipe, {}):
        print_diagnostics(faults, quiet=arguments.quiet)
        return FINDINGS
    return _begin(arguments, checked, recipe)


def _tell_defaults(recipe: Recipe, arguments: argparse.Namespace) -> None:
    """Say from what a file without a `train` block learns, and how to choose."""
    data = "" if arguments.data else f" from `{recipe.data.keyword}`"
    print(
        f"note: {arguments.file} has no `train` block: it learns{data} by default settings", file=sys.stderr
    )
    choose = "--set NAME=VALUE" if arguments.data else "--data NAME and --set NAME=VALUE"
    print(f"help: `cnnspec explain train` shows such a block; {choose} choose without one", file=sys.stderr)


def overridden(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with what the command line says instead.

    Another data set keeps those options of the file's that it has too, such as `resize`.
    """
    given = {name: getattr(arguments, name) for name in ("epochs", "batch", "seed")}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(recipe, data=another_data(recipe.data, arguments.data), **changes)


# --- arguments --------------------------------------------------------------------------------------------


def _seed(text: str) -> int:
    return whole(text, 0, 10**18)


# --- the run ----------------------------------------------------------------------------------------------


def _begin(arguments: argparse.Namespace, checked: Checked, recipe: Recipe) -> int:
    from cnnspec.cli._backend import open_backend
    from cnnspec.training.conduct import Job
    from cnnspec.training.memory import check_room
    from cnnspec.training.run_folder import open_run_folder
    from cnnspec.training.subject import make_subject

    subject = make_subject(checked, recipe)
    with (
        open_backend(arguments, choices=_choices(arguments, subject)) as backend,
        open_run_folder(arguments.out, subject.graph.name) as folder,
    ):
        if backend.name == "numpy":
            check_room(subject)
        return _conduct(arguments, folder, Job(subject, arguments.data_dir, backend=backend))


def _choices(arguments: argparse.Namespace, subject: Subject) -> Choices:
    """What is settled about the plan of a run that begins."""
    from cnnspec.cli._tuned import tuned_choices
    from cnnspec.numpy_backend.choices import NO_CHOICES

    if not arguments.tuned:
        return NO_CHOICES
    return tuned_choices(subject.graph, subject.facts, subject.recipe.batch, training=True)


def _go_on(arguments: argparse.Namespace, path: Path, given: Checked | None) -> int:
    from cnnspec.cli._backend import open_backend
    from cnnspec.cli._watch import Watch
    from cnnspec.training.conduct import call_the_others, resume_job
    from cnnspec.training.memory import check_room
    from cnnspec.training.record import read_record
    from cnnspec.training.run_folder import RunFolder, reopen_run_folder

    record = read_record(RunFolder(path).record)
    epochs = _same_run(arguments, record, given)
    watch = Watch.choose(arguments)
    with open_backend(arguments, record.threads) as backend, reopen_run_folder(path) as folder:
        job = resume_job(folder, record, arguments.data_dir, epochs, watch, backend)
        if _is_over(job, path, arguments):
            call_the_others(None, backend)
            return OK
        if backend.name == "numpy":
            check_room(job.subject)
        return _conduct(arguments, folder, job)


def _conduct(arguments: argparse.Namespace, folder: RunFolder, job: Job) -> int:
    """Train, and write down how it ended, however it ends."""
    from cnnspec.cli._watch import Watch
    from cnnspec.training import TrainingError
    from cnnspec.training.conduct import Stopped, call_the_others, closing, conduct
    from cnnspec.training.crew import WorkerLost
    from cnnspec.training.recorder import Recorder

    recorder = Recorder(folder, job.subject.graph.name, job.subject.recipe)
    try:
        with Watch.choose(arguments) as watch, closing(recorder):
            call_the_others(job, job.backend)
            conduct(recorder, job, watch).model.close()
    except (KeyboardInterrupt, Stopped):
        print(f"interrupted: {recorder.kept()}", file=sys.stderr)
        _print_way_on(recorder)
        return INTERRUPTED
    except TrainingError as error:
        print_error(error)
        if recorder.record is not None:
            print(f"note: {recorder.kept()}", file=sys.stderr)
        if isinstance(error, WorkerLost):
            _print_way_on(recorder)
        return FINDINGS
    _print_summary(recorder, job.subject, arguments)
    return OK


# --- going on ---------------------------------------------------------------------------------------------


def _earlier(resume: Path, name: str) -> Path | None:
    """The folder in which a run of this network is to go on; nothing where it is to begin."""
    from cnnspec.training.run_folder import RunFolder, newest_run

    newest = str(resume) == HERE
    found = newest_run(name) if newest else resume if RunFolder(resume).record.is_file() else None
    if found is None:
        where = "in `runs`" if newest else f"in {resume}"
        print(f"note: there is no run of {name} {where} yet: it begins", file=sys.stderr)
    return found


def _same_run(arguments: argparse.Namespace, record: RunRecord, given: Checked | None) -> int | None:
    """See that the run is still what it was; the epochs that it is to have, where others than before.

    Raises:
        TrainingError: something has changed that decides what comes of it.
    """
    from cnnspec.training import TrainingError
    from cnnspec.training.subject import check_recorded, differences, recorded_parameters

    changes: list[str] = []
    epochs: int | None = arguments.epochs
    for name, value in (("batch", arguments.batch), ("seed", arguments.seed)):
        if value is not None and value != record.recipe[name]:
            changes.append(f"{name}: {record.recipe[name]} -> {value}")
    if arguments.data is not None and not _same_data(arguments.data, str(record.recipe["data"])):
        given_data = arguments.data if isinstance(arguments.data, DataKind) else arguments.data.keyword
        changes.append(f"data: {record.recipe['data']} -> {given_data}")
    if given is not None:
        own = given.network()[0].parameters
        parameters = {name: value for name, value in arguments.set.items() if name in own}
        now = check_source(given.source, {**recorded_parameters(record), **parameters})
        recorded = check_recorded(record)
        changes += differences(recorded, now)
        changes += [
            f"{name}: {record.recipe.get(name)} -> {value}"
            for name, value in given.recipe.written().items()
            if name != "epochs" and value not in (now.recipe.written().get(name), record.recipe.get(name))
        ]
        if epochs is None and now.recipe.epochs != recorded.recipe.epochs:
            epochs = now.recipe.epochs
    if changes:
        raise TrainingError(
            f"this is not what the run of {record.network} began with:\n  " + "\n  ".join(changes),
            "undo that, or begin a new run, without --resume; only the number of epochs may change",
        )
    return epochs


def _same_data(given: DataKind | type[DataKind], recorded: str) -> bool:
    if isinstance(given, DataKind):
        return given.written() == recorded
    return given.keyword == recorded.partition(" ")[0]


def _is_over(job: Job, path: Path, arguments: argparse.Namespace) -> bool:
    """Whether all epochs are done; then so is said."""
    from cnnspec.training import TrainingError
    from cnnspec.training.train import ended_early

    history = job.checkpoint.about.history if job.checkpoint else ()
    done, wanted = len(history), job.subject.recipe.epochs
    if wanted < done:
        raise TrainingError(
            f"the run in {path} has {_epochs(done)} already, more than {wanted}", "leave out --epochs"
        )
    early = ended_early(job.subject.recipe, history)
    if (wanted > done and not early) or job.record is None or job.record.status != "finished":
        return False
    if arguments.quiet:
        print(path)
    elif arguments.json:
        print(job.record.text(), end="")
    elif early:
        print(f"{path}: it ended after {_epochs(done)}: {early}")
    else:
        print(f"{path}: all of its {_epochs(done)} are done; --epochs {2 * done} would go on with it")
    return True


# --- what is printed --------------------------------------------------------------------------------------


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _print_way_on(recorder: Recorder) -> None:
    if recorder.record is not None:
        print(f"help: cnnspec run --resume {shlex.quote(str(recorder.folder.path))}", file=sys.stderr)


def _print_summary(recorder: Recorder, subject: Subject, arguments: argparse.Namespace) -> None:
    from cnnspec.training.record import speed
    from cnnspec.training.train import ended_early

    folder, history = recorder.folder, recorder.history
    assert recorder.record is not None
    if arguments.json:
        print(recorder.record.text(), end="")
        return
    if arguments.quiet:
        print(folder.path)
        return
    path = shlex.quote(str(folder.path))
    print()
    if history:
        metric = headline(history[-1].figures)
        figure, words = history[-1].figures[metric], metric.replace("_", " ")
        print(f"{words:<13}  {figure:.4f} after {_epochs(len(history))}{_best(recorder)}")
    if early := ended_early(recorder.recipe, history):
        print(f"ended early    {early}")
    print(f"time           {recorder.seconds:.1f} s, {speed(history):,.0f} images a second in training")
    print(f"run folder     {folder.path} (weights, curves, report.html, run.json)")
    print(f"next           cnnspec evaluate {path}")
    print(f"               cnnspec predict {path} {recorder.recipe.data.like}")


def _best(recorder: Recorder) -> str:
    """Which epoch was better than the last one, if one was."""
    best = recorder.best
    if best is None or best.epoch == recorder.history[-1].number:
        return ""
    return f" (epoch {best.epoch} had the best {best.metric.replace('_', ' ')}, {best.score:.4f})"
