"""`cnnspec bench`: how long a step takes, layer by layer, beside the machine's limit and other systems."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_diagnostics, print_table
from cnnspec.cli._parameters import add_parameters, count
from cnnspec.cli.main import FINDINGS, OK, CommandError
from cnnspec.language.diagnostics import did_you_mean
from cnnspec.language.syntax import Train
from cnnspec.network.check import check_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnspec.measurement.report import Measurement, Report
    from cnnspec.measurement.task import Task
    from cnnspec.network.check import Checked
    from cnnspec.network.table import Column, Row

SUMMARY = "measure the time of a step, layer by layer, beside other systems"
EXAMPLES = """examples:
  cnnspec bench specs/lenet.cnn                       time and GFLOP/s of every layer, the step, the memory
  cnnspec bench specs/lenet.cnn --versus torch        the same step in PyTorch, turn by turn
  cnnspec bench specs/resnet18.cnn --inference --batch 1,16 --versus torch,onnxruntime
  cnnspec bench net.cnn --set width=32 --threads 1    a network with another parameter, on one thread
  cnnspec bench specs/lenet.cnn --batch 1,64 --versus torch --markdown > bench.md

A step of training is forward, cross-entropy from logits, backward, and plain gradient descent, on random
images of a pool; a step of prediction is forward alone. GFLOP/s count two operations for each
multiply-accumulate of convolutions and dense layers as they are defined: an algorithm that needs fewer may
exceed sgemm, which is the best large matrix product of NumPy's BLAS in the same run.

With --versus, the systems take turns of --seconds in --rounds rounds, with a rest before each; a system
counts in its fastest mode (PyTorch: eager, channels last, compiled), and ONNX Runtime predicts only. Ratios
are the median of the rounds with their quartiles, above 1 where cnnspec is faster. Figures want a quiet
machine: rows during which others took processors are marked.
"""

SYSTEMS: Final = ("torch", "onnxruntime", "jax")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument(
        "--batch",
        type=_batches,
        metavar="N,...",
        help="images in a step; the train block's in training, else 1",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--training", action="store_true", help="measure training; the default where there is a train block"
    )
    mode.add_argument("--inference", action="store_true", help="measure prediction; the default elsewhere")
    parser.add_argument(
        "--versus",
        type=_systems,
        default=(),
        metavar="SYSTEM,...",
        help=f"other systems to measure in the same run: {', '.join(SYSTEMS)}",
    )
    threads, rounds = "for every system; all processors unless given", "turns of each system; 5 unless given"
    parser.add_argument("--threads", type=count, metavar="N", help=threads)
    parser.add_argument("--rounds", type=count, default=5, metavar="N", help=rounds)
    parser.add_argument(
        "--seconds", type=_seconds, default=0.25, metavar="S", help="length of a turn; 0.25 unless given"
    )
    parser.add_argument(
        "--layers",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the table of layers; shown unless there are several batch sizes",
    )
    parser.add_argument(
        "--tuned", action="store_true", help="with what `cnnspec plan --tune` found for each batch size"
    )
    add_parameters(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON document")
    output.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not tell what is being done")


def run(arguments: argparse.Namespace) -> int:
    """Measure; 1 where the file has errors or cannot be measured so."""
    checked = check_file(arguments.file, arguments.set)
    if not checked.ok:
        print_diagnostics(checked.diagnostics, quiet=arguments.quiet)
        return FINDINGS
    report = _measured(checked, arguments)
    if arguments.json:
        from cnnspec.measurement.report import document

        print(json.dumps(document(report), indent=2))
    else:
        _print(report, markdown=arguments.markdown)
    return OK


# --- arguments --------------------------------------------------------------------------------------------


def _batches(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(count(word.strip()) for word in text.split(",")))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, up to 3600, not {text!r}")
    return seconds


def _systems(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for name in names:
        if name not in SYSTEMS:
            help = "; ".join(did_you_mean(name, SYSTEMS)) or f"the systems are {', '.join(SYSTEMS)}"
            raise argparse.ArgumentTypeError(f"there is no system `{name}`\nhelp: {help}")
    return names


def _is_training(checked: Checked, arguments: argparse.Namespace) -> bool:
    described = any(isinstance(item, Train) for item in checked.tree.items)
    return bool(arguments.training or (described and not arguments.inference))


# --- measuring --------------------------------------------------------------------------------------------


def _measured(checked: Checked, arguments: argparse.Namespace) -> Report:
    from cnnspec.measurement.comparison import set_threads
    from cnnspec.measurement.machine import describe, sgemm_flops
    from cnnspec.measurement.memory import check_fits
    from cnnspec.measurement.report import Report
    from cnnspec.measurement.task import CannotMeasure, Task
    from cnnspec.numpy_backend.blas import cores

    graph, facts = checked.network()
    threads = arguments.threads or cores()
    if threads > cores():
        raise CommandError(f"there are {cores()} processors, fewer than {threads} threads")
    training = _is_training(checked, arguments)
    batches = arguments.batch or ((checked.recipe.batch,) if training else (1,))
    layers = len(batches) == 1 if arguments.layers is None else arguments.layers
    tasks = [Task(graph, facts, batch, threads, training) for batch in batches]
    if arguments.tuned:
        from cnnspec.cli._tuned import tuned_choices

        tasks = [replace(task, choices=tuned_choices(graph, facts, task.batch, training)) for task in tasks]
    set_threads(arguments.versus, threads)
    say = _teller(arguments.quiet)
    try:
        for task in tasks:
            task.check()
            check_fits(task)
        say("measuring sgemm")
        sgemm = sgemm_flops(threads)
        measurements = tuple(_measure(task, arguments, layers, say) for task in tasks)
    except CannotMeasure as error:
        raise CommandError(str(error), error.help) from error
    finally:
        say("")
    sgemm = max(sgemm, sgemm_flops(threads))
    return Report(checked.source.name, describe(threads), sgemm, measurements)


def _measure(
    task: Task, arguments: argparse.Namespace, layers: bool, say: Callable[[str], None]
) -> Measurement:
    from cnnspec.measurement.comparison import compare
    from cnnspec.measurement.layers import layer_times
    from cnnspec.measurement.memory import can_measure, measured_bytes, predicted_bytes
    from cnnspec.measurement.report import Measurement

    def tell(words: str) -> None:
        say(f"batch {task.batch}: {words}")

    predicted, measured = predicted_bytes(task), {}
    if "torch" in arguments.versus and can_measure():
        for system in ("cnnspec", "torch"):
            tell(f"measuring the memory of {system}")
            if (size := measured_bytes(task, system)) is not None:
                measured[system] = size
    times = None
    if layers:
        tell("timing the layers")
        times = layer_times(task, arguments.seconds * arguments.rounds)
    found = compare(task, arguments.versus, rounds=arguments.rounds, seconds=arguments.seconds, say=tell)
    return Measurement(found, times, predicted, measured)


def _teller(quiet: bool) -> Callable[[str], None]:
    """Tells on the last line of a terminal what is being done; nothing takes it away."""

    def say(words: str) -> None:
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)

    return say if sys.stderr.isatty() and not quiet else lambda words: None


# --- printing ---------------------------------------------------------------------------------------------


def _print(report: Report, *, markdown: bool) -> None:
    from cnnspec.measurement.report import (
        VERSUS,
        layer_columns,
        layer_rows,
        step_lines,
        title,
        versus_rows,
    )

    show = _markdown_table if markdown else print_table
    print(f"## {title(report)}\n" if markdown else title(report))
    print(f"{report.machine}\n")
    for measurement in report.measurements:
        comparison = measurement.comparison
        if len(report.measurements) > 1:
            print(f"batch {comparison.task.batch}" + ("\n" if markdown else ""))
        if measurement.layers is not None:
            training = comparison.task.training
            show(layer_columns(training), layer_rows(measurement.layers, report.sgemm, training))
            print()
        lines = step_lines(measurement, report.sgemm)
        print("\n".join(f"* {line}" if markdown else line for line in lines) + "\n")
    if any(m.comparison.rivals for m in report.measurements):
        show(VERSUS, versus_rows(report))
        print()
    for note in report.notes:
        print(f"note: {note}" + ("\n" if markdown else ""))


def _markdown_table(columns: Sequence[Column], rows: Sequence[Row]) -> None:
    from cnnspec.cli._sheets import markdown_table

    print("\n".join(markdown_table(columns, rows)))
