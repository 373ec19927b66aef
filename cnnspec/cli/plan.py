"""`cnnspec plan`: how the NumPy backend computes a network, why so, and what memory it takes."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import grouped, print_diagnostics, print_table
from cnnspec.cli._parameters import add_parameters, count
from cnnspec.cli.main import FINDINGS, OK, CommandError
from cnnspec.language.syntax import Train
from cnnspec.network.check import check_file
from cnnspec.network.table import Column, in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnspec.network.check import Checked
    from cnnspec.network.report import Json
    from cnnspec.network.table import Row
    from cnnspec.numpy_backend.choices import Choices
    from cnnspec.numpy_backend.plan import Plan
    from cnnspec.numpy_backend.tuning import Subject

SUMMARY = "show how a network is computed: algorithms, pieces, workers, memory, and why"
EXAMPLES = """examples:
  cnnspec plan specs/lenet.cnn                          the algorithm of each layer, and the predicted memory
  cnnspec plan specs/vgg11.cnn --inference --batch 16   for prediction, 16 images at a time
  cnnspec plan specs/vgg11.cnn --max-memory 500MB       smaller pieces, so that it stays within 500 MB
  cnnspec plan specs/resnet20_cifar.cnn --tune          measure what is fastest here, and keep it
  cnnspec plan specs/resnet20_cifar.cnn --tuned         the plan with what --tune found
  cnnspec plan net.cnn --json | jq .choices             the choices, to be given to make_plan

A plan follows from the network, the batch, the number of processors, their cache and the kernels of NumPy's
BLAS, by estimates that come along: it is the same every time. --tune measures instead: the candidates of each
layer by themselves, then workers and sizes of pieces on the whole network. What it finds is kept in the cache
of this user for this machine, network, batch and pass, and is used by `plan`, `bench` and `run` with --tuned,
and by nothing else: a run that is repeated gives the same bits whether or not something was tuned in between.

--max-memory takes pieces of fewer images, then fewer workers, then algorithms that need least. Layers that
normalise by the whole batch in training keep all its images in memory: then a smaller --batch helps.
"""

UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
COLUMNS: Final = (
    Column("layer"),
    Column("what it is", optional=True),
    Column("computed by"),
    Column("tile"),
    Column("output lies as", optional=True),
    Column("memory", "right"),
    Column("because", wide=True),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument(
        "--batch", type=count, metavar="N", help="images in a step; the train block's in training, else 1"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--training", action="store_true", help="plan training; the default where there is a train block"
    )
    mode.add_argument("--inference", action="store_true", help="plan prediction; the default elsewhere")
    measured = parser.add_mutually_exclusive_group()
    measured.add_argument(
        "--tune", action="store_true", help="measure what is fastest on this machine, and keep it"
    )
    measured.add_argument("--tuned", action="store_true", help="use what --tune found for this")
    parser.add_argument(
        "--max-memory", type=size, metavar="SIZE", help="stay within so much memory, such as 500MB or 2GiB"
    )
    add_parameters(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not tell what is being tried")


def size(text: str) -> int:
    """A number of bytes: `500MB`, `1.5GiB`, `800000`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([a-zA-Z]*)", text.strip(), re.ASCII)
    if found is None or found[2].lower() not in UNITS:
        raise argparse.ArgumentTypeError(f"must be a size such as 500MB or 2GiB, not {text!r}")
    bytes_ = float(found[1]) * UNITS[found[2].lower()]
    if not 1 <= bytes_ < 2**62:
        raise argparse.ArgumentTypeError(f"must be at least one byte and of this world, not {text!r}")
    return int(bytes_)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan; 1 where the file has errors, or there is no such plan."""
    checked = check_file(arguments.file, arguments.set)
    if not checked.ok:
        print_diagnostics(checked.diagnostics, quiet=arguments.quiet)
        return FINDINGS
    subject = _subject(checked, arguments)
    choices = _choices(subject, arguments)
    plan = _plan(checked, subject, choices, arguments)
    if arguments.json:
        print(json.dumps(_document(checked, plan, _optimizer_bytes(checked, plan)), indent=2))
    else:
        _print(plan, _optimizer_bytes(checked, plan))
    return OK


# --- planning ---------------------------------------------------------------------------------------------


def _subject(checked: Checked, arguments: argparse.Namespace) -> Subject:
    from cnnspec.numpy_backend.tuning import Subject
    from cnnspec.training.model import usable_loss

    graph, facts = checked.network()
    described = any(isinstance(item, Train) for item in checked.tree.items)
    training = bool(arguments.training or (described and not arguments.inference))
    batch = arguments.batch or (checked.recipe.batch if training else 1)
    return Subject(graph, facts, batch, training, usable_loss(graph, facts, checked.recipe))


def _choices(subject: Subject, arguments: argparse.Namespace) -> Choices:
    """What is settled: measured now, found before, or nothing."""
    from cnnspec.cli._tuned import tuned_choices
    from cnnspec.numpy_backend.choices import Choices

    if arguments.tune:
        return _tuned(subject, _teller(arguments.quiet))
    if not arguments.tuned:
        return Choices()
    return tuned_choices(subject.graph, subject.facts, subject.batch, subject.training)


def _tuned(subject: Subject, say: Callable[[str], None]) -> Choices:
    from cnnspec.numpy_backend import tuning

    _check_plan(subject)
    _check_room(subject)
    try:
        choices = tuning.tune(subject, say)
    finally:
        say("")
    try:
        tuning.keep(subject, choices)
    except OSError as error:
        print(f"note: what was found cannot be kept in {tuning.folder()}: {error.strerror}", file=sys.stderr)
    return choices


def _check_room(subject: Subject) -> None:
    """Refuse trials that would not fit: two models are there at a time."""
    from cnnspec.numpy_backend.choices import Choices
    from cnnspec.training.machine import available_memory

    need, room = 2 * subject.plan(Choices()).total_bytes, available_memory()
    if room is not None and need > room:
        raise CommandError(
            f"tuning takes two models, {in_bytes(need)} of memory, and {in_bytes(room)} are available",
            "a smaller --batch needs less",
        )


def _check_plan(subject: Subject) -> Plan:
    from cnnspec.numpy_backend.choices import Choices

    try:
        return subject.plan(Choices())
    except (ValueError, NotImplementedError) as error:
        raise CommandError(f"there is no plan for this network: {error}") from error


def _plan(checked: Checked, subject: Subject, choices: Choices, arguments: argparse.Namespace) -> Plan:
    from cnnspec.numpy_backend.fitting import CannotFit, plan_within

    first = _check_plan(subject)
    if arguments.max_memory is None:
        return subject.plan(choices)
    kept = _optimizer_bytes(checked, first)
    try:
        return plan_within(subject.plan, choices, arguments.max_memory - kept)
    except CannotFit as error:
        need = in_bytes(error.least.total_bytes + kept)
        raise CommandError(
            f"{subject.graph.name} at batch {subject.batch} needs at least {need}, more than"
            f" {in_bytes(arguments.max_memory)}: {error.why}",
            _advice(subject, choices, arguments.max_memory - kept),
        ) from error


def _advice(subject: Subject, choices: Choices, limit: int) -> str:
    """The largest of half the batch, a quarter and so on that fits."""
    from dataclasses import replace

    from cnnspec.numpy_backend.fitting import CannotFit, plan_within

    batch = subject.batch // 2
    while batch:
        try:
            plan_within(replace(subject, batch=batch).plan, choices, limit)
        except CannotFit:
            batch //= 2
            continue
        return f"`--batch {batch}` fits"
    return "not even a batch of 1 fits: the network must become smaller"


def _optimizer_bytes(checked: Checked, plan: Plan) -> int:
    """What the optimizer keeps beside the plan, in training."""
    from cnnspec.training.optimizers import state_bytes

    return state_bytes(checked.recipe.optimizer, plan.facts) if plan.training else 0


def _teller(quiet: bool) -> Callable[[str], None]:
    """Tells what is being tried: on the last line of a terminal, line by line elsewhere."""
    if quiet:
        return lambda words: None
    if sys.stderr.isatty():
        return lambda words: print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)
    return lambda words: print(f"trying {words}", file=sys.stderr, flush=True) if words else None


# --- printing ---------------------------------------------------------------------------------------------


def _print(plan: Plan, optimizer: int) -> None:
    print("\n".join(_head(plan)) + "\n")
    print_table(COLUMNS, _rows(plan))
    print("\n" + "\n".join(_feet(plan, optimizer)))


def _head(plan: Plan) -> list[str]:
    from cnnspec.numpy_backend.plan import why_pieces, why_workers

    doing = "training" if plan.training else "prediction"
    kind = "processes" if plan.processes else "threads"
    workers = "1 worker" if plan.workers == 1 else f"{plan.workers} {kind}"
    pieces = f"pieces of {plan.micro_batch}" if plan.micro_batch < plan.batch else "one piece"
    blas = "1 thread" if plan.blas_threads == 1 else f"{plan.blas_threads} threads"
    return [
        f"{plan.graph.name}: {doing}, batches of {plan.batch}, in {plan.dtype}",
        f"{workers} with a BLAS of {blas}: {why_workers(plan)}",
        f"{pieces}: {why_pieces(plan)}",
    ]


def _rows(plan: Plan) -> list[Row]:
    return [(s.name, s.layer, s.algorithm, s.tile, s.layout, in_bytes(s.bytes), s.why) for s in plan.steps]


def _feet(plan: Plan, optimizer: int) -> list[str]:
    parts = _parts(plan, optimizer)
    told = ", ".join(f"{name} {in_bytes(size)}" for name, size in parts.items() if size)
    total = sum(parts.values())
    lines = [f"peak memory {in_bytes(total)} ({grouped(total)} bytes): {told}"]
    if plan.in_step_for:
        from cnnspec.numpy_backend.plan import listed

        lines.append(
            f"all pieces of a batch are in memory together, for the statistics of {listed(plan.in_step_for)}"
        )
    return lines


def _parts(plan: Plan, optimizer: int) -> dict[str, int]:
    from cnnspec.numpy_backend.account import account

    parts = account(plan)
    return {
        "weights": parts.weights,
        "gradients": parts.gradients,
        "optimizer": optimizer,
        "activations": parts.activations,
        "scratch": parts.scratch,
    }


def _document(checked: Checked, plan: Plan, optimizer: int) -> Json:
    """As plain data."""
    from cnnspec.numpy_backend.plan import why_pieces, why_workers

    parts = _parts(plan, optimizer)
    return {
        "schema": 1,
        "file": checked.source.name,
        "network": plan.graph.name,
        "training": plan.training,
        "batch": plan.batch,
        "workers": plan.workers,
        "processes": plan.processes,
        "blas_threads": plan.blas_threads,
        "why_workers": why_workers(plan),
        "micro_batch": plan.micro_batch,
        "why_micro_batch": why_pieces(plan),
        "peak_bytes": sum(parts.values()),
        **{f"{name.removesuffix('s')}_bytes": size for name, size in parts.items()},
        "in_step_for": list(plan.in_step_for),
        "layers": [
            {
                "name": step.name,
                "layer": step.layer,
                "algorithm": step.algorithm,
                "tile": step.tile,
                "layout": step.layout,
                "bytes": step.bytes,
                "why": step.why,
                "candidates": list(selected.rivals),
            }
            for step, selected in zip(plan.steps, plan.selected, strict=True)
        ],
        "choices": json.loads(plan.choices.as_json()),
    }
