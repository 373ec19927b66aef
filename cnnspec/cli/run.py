"""`cnnspec run`: train the network of a file as its `train` block says, and keep what comes of it."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.cli._interruption import Interruption
from cnnspec.cli._output import grouped, print_diagnostics
from cnnspec.cli._parameters import add_parameters, count, whole
from cnnspec.cli.main import FINDINGS, INTERRUPTED, OK
from cnnspec.language.record import replace
from cnnspec.network.check import check_file
from cnnspec.network.recipe import check_agreement, unknown_kind
from cnnspec.recipe import DataKind, Recipe, kinds

if TYPE_CHECKING:
    from cnnspec.cli._progress import Display
    from cnnspec.language.source import Source
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.training import DataSet, Epoch, Step, TrainableModel, TrainingError
    from cnnspec.training.recorder import Recorder

SUMMARY = "train the network of a file, and keep weights, figures and curves in a folder"
EXAMPLES = """examples:
  cnnspec run specs/lenet.cnn                          train as the file's `train` block says
  cnnspec run specs/lenet.cnn --epochs 5 --out first   fewer epochs, in a folder of your choice
  cnnspec run net.cnn --data mnist --data-dir ~/data   another data set, from your own files
  folder=$(cnnspec run net.cnn --quiet)                print nothing but the run's folder

The folder holds weights.safetensors (after the last finished epoch), metrics.csv (a row an epoch),
curves.svg and run.json (the file, the settings, the versions, the outcome).
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="new or empty folder for the results; runs/NAME-1, -2 ... unless given",
    )
    parser.add_argument("--epochs", type=count, metavar="N", help="passes over the training images")
    parser.add_argument("--batch", type=count, metavar="N", help="images in a step")
    parser.add_argument("--seed", type=_seed, metavar="N", help="what initial weights and order follow from")
    parser.add_argument("--data", type=_data, metavar="NAME", help="data set: " + ", ".join(kinds("data")))
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder with the data set's files; see also CNNSPEC_DATA_DIR",
    )
    add_parameters(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but the run's folder")


def run(arguments: argparse.Namespace) -> int:
    """Train; 1 where the file has errors or the run cannot go on, 130 where it was interrupted."""
    checked = check_file(arguments.file, arguments.set)
    if not checked.ok:
        print_diagnostics(checked.diagnostics, quiet=arguments.quiet)
        return FINDINGS
    graph, facts = checked.network()
    recipe = overridden(checked.recipe, arguments)
    if faults := check_agreement(graph, facts, recipe.data, None):
        print_diagnostics(faults, quiet=arguments.quiet)
        return FINDINGS
    return _train(checked.source, graph, facts, recipe, arguments)


def overridden(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with what the command line says instead.

    Another data set keeps those options of the file's that it has too, such as `resize`.
    """
    given = {name: getattr(arguments, name) for name in ("epochs", "batch", "seed")}
    changes = {name: value for name, value in given.items() if value is not None}
    kind: type[DataKind] | None = arguments.data
    if kind is not None:
        kept = {name: value for name, value in recipe.data.values().items() if name in kind.options()}
        recipe = replace(recipe, data=kind().replaced(**kept))
    return replace(recipe, **changes)


# --- arguments --------------------------------------------------------------------------------------------


def _seed(text: str) -> int:
    return whole(text, 0, 10**18)


def _data(text: str) -> type[DataKind]:
    kind = kinds("data").get(text)
    if kind is None or not issubclass(kind, DataKind):
        fault = unknown_kind("data", text, None)
        raise argparse.ArgumentTypeError("\nhelp: ".join([fault.message, *fault.help]))
    return kind


# --- the run ----------------------------------------------------------------------------------------------


def _train(source: Source, graph: Graph, facts: Facts, recipe: Recipe, arguments: argparse.Namespace) -> int:
    from cnnspec.cli._progress import choose_display
    from cnnspec.training import TrainingError
    from cnnspec.training.recorder import Recorder
    from cnnspec.training.run_folder import open_run_folder

    display = choose_display(arguments.quiet)
    try:
        _check_memory(graph, facts, recipe)
        with open_run_folder(arguments.out, graph.name) as folder:
            recorder = Recorder(folder, graph.name, recipe)
            status = _guarded(recorder, display, source, graph, facts, arguments.data_dir)
    except TrainingError as error:
        _print_error(error)
        return FINDINGS
    if status == OK:
        _print_summary(recorder, source, arguments.quiet)
    return status


def _guarded(
    recorder: Recorder, display: Display, source: Source, graph: Graph, facts: Facts, data_dir: Path | None
) -> int:
    """Train, and write down how it ended, however it ends."""
    from cnnspec.training import Diverged, TrainingError

    try:
        _learn(recorder, display, source, graph, facts, data_dir)
    except KeyboardInterrupt:
        recorder.end("interrupted")
        print(f"interrupted: {recorder.kept()}", file=sys.stderr)
        return INTERRUPTED
    except TrainingError as error:
        _print_error(error)
        if recorder.record:
            print(f"note: {recorder.kept()}", file=sys.stderr)
        with contextlib.suppress(TrainingError):  # the disk may be full: the first error has been said
            recorder.end("diverged" if isinstance(error, Diverged) else "failed", error.message)
        return FINDINGS
    except Exception as error:  # said by whoever catches it; the record must not stay at `running`
        with contextlib.suppress(TrainingError):
            recorder.end("failed", str(error) or type(error).__name__)
        raise
    recorder.end("finished")
    return OK


def _learn(
    recorder: Recorder, display: Display, source: Source, graph: Graph, facts: Facts, data_dir: Path | None
) -> None:
    from cnnspec.training.datasets import load_data
    from cnnspec.training.model import build_model
    from cnnspec.training.record import Threads, cpus, start_record
    from cnnspec.training.train import run_epochs, usable_batch

    def on_epoch(epoch: Epoch, model: TrainableModel) -> None:
        recorder.finish_epoch(epoch, model)
        display.epoch(epoch)

    def on_step(step: Step) -> None:
        display.step(step)
        interruption.check()

    recipe, interruption = recorder.recipe, Interruption()
    with display.loading():
        data = load_data(recipe.data, data_dir, display.downloading)
    model = build_model(graph, facts, recipe, batch=usable_batch(recipe, data))
    try:
        threads = Threads(model.plan.workers, model.plan.micro_batch, cpus())
        recorder.begin(start_record(source, graph, facts, recipe, data, threads))
        _announce(recorder, display, facts, data)
        with interruption, display.training(recipe.epochs):
            run_epochs(model, recipe, data, on_epoch=on_epoch, on_step=on_step)
    finally:
        model.close()


def _check_memory(graph: Graph, facts: Facts, recipe: Recipe) -> None:
    from cnnspec.training.datasets.load import data_bytes, image_count
    from cnnspec.training.machine import available_memory
    from cnnspec.training.memory import check_memory, plan_training
    from cnnspec.training.optimizers import state_bytes

    check_memory(
        lambda batch: plan_training(graph, facts, recipe, batch),
        min(recipe.batch, image_count(recipe.data)),
        data_bytes=data_bytes(recipe.data),
        state_bytes=state_bytes(recipe.optimizer, facts),
        available=available_memory(),
    )


# --- what is printed --------------------------------------------------------------------------------------


def _announce(recorder: Recorder, display: Display, facts: Facts, data: DataSet) -> None:
    parameters = grouped(facts.totals().trainable_params)
    images = f"{grouped(len(data.train_y))} images to train, {grouped(len(data.test_y))} to test"
    display.say(f"{recorder.title}: {parameters} parameters, {images}")
    display.say(f"{recorder.settings}, {_epochs(recorder.recipe.epochs)}")


def _epochs(count: int) -> str:
    return "1 epoch" if count == 1 else f"{count} epochs"


def _print_error(error: TrainingError) -> None:
    print(f"error: {error.message}", file=sys.stderr)
    for line in error.help:
        print(f"help: {line}", file=sys.stderr)


def _print_summary(recorder: Recorder, source: Source, quiet: bool) -> None:
    from cnnspec.training.record import speed

    folder, history = recorder.folder, recorder.history
    if quiet:
        print(folder.path)
        return
    name = "FILE" if source.name == "<stdin>" else shlex.quote(source.name)
    print()
    print(f"test accuracy  {history[-1].test_accuracy:.4f} after {_epochs(len(history))}")
    print(f"time           {recorder.seconds:.1f} s, {speed(history):,.0f} images a second in training")
    print(f"run folder     {folder.path} (weights.safetensors, metrics.csv, curves.svg, run.json)")
    print(f"next           cnnspec render {name} -o {recorder.network}.svg")
