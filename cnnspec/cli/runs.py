"""`cnnspec runs`: the run folders in a table, and some of them side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import grouped, print_table
from cnnspec.cli._training import print_error
from cnnspec.cli.main import FINDINGS, OK
from cnnspec.network.table import Column
from cnnspec.recipe.figures import headline

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cnnspec.training.loop import Epoch
    from cnnspec.training.runs import SavedRun

SUMMARY = "list the runs that have been, and compare some of them"
EXAMPLES = """examples:
  cnnspec runs                                 those in the folder `runs`, the newest last
  cnnspec runs experiments                     those in another folder
  cnnspec runs runs/LeNet-1 runs/LeNet-2       the settings in which they differ, and what they came to
  cnnspec runs --json | jq '.runs[].best'

A run is `killed` where its process ended without a word; `cnnspec run --resume` goes on with it. It is
`pruned` where its sweep ended it for being worse than most.
"""

COLUMNS: Final = (
    Column("run"),
    Column("network"),
    Column("data"),
    Column("status"),
    Column("epochs", "right"),
    Column("test", "right"),
    Column("best", "right"),
    Column("params", "right"),
    Column("time", "right"),
    Column("started", optional=True),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "folders",
        metavar="RUN",
        type=Path,
        nargs="*",
        help="run folders, or folders of such; `runs` unless given",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the folders alone, a line each")


def run(arguments: argparse.Namespace) -> int:
    """List or compare; 1 where a folder cannot be read."""
    from cnnspec.training import TrainingError

    try:
        found, status = _gather(arguments.folders)
    except TrainingError as error:
        print_error(error)
        return FINDINGS
    compared = len(arguments.folders) > 1 and len(found) > 1
    if arguments.json:
        document: dict[str, object] = {"schema": "cnnspec.runs/1", "runs": [_report(one) for one in found]}
        if compared:
            document["differences"] = dict(_differences(found))
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif arguments.quiet:
        for one in found:
            print(one.path)
    elif compared:
        _compare(found)
    elif found:
        print_table(COLUMNS, [_row(one) for one in found])
    else:
        print("there are no runs here yet: `cnnspec run FILE` makes one", file=sys.stderr)
    return status


def _gather(folders: Sequence[Path]) -> tuple[list[SavedRun], int]:
    """The runs, and the exit status: a record that cannot be read is told, and the others are shown."""
    from cnnspec.training import TrainingError
    from cnnspec.training.run_folder import RUNS
    from cnnspec.training.runs import load_run, runs_in

    status, found = OK, []
    places = folders or ([RUNS] if RUNS.is_dir() else [])
    for place in places:
        inside = runs_in(place)
        if not inside and folders:
            raise TrainingError(f"{place} is no run folder, and holds none")
        for path in inside:
            try:
                found.append(load_run(path))
            except TrainingError as error:
                print_error(error)
                status = FINDINGS
    return found, status


def _row(one: SavedRun) -> tuple[str, ...]:
    record, history = one.record, one.history
    epochs = f"{len(history)}/{record.recipe.get('epochs')}"
    return (
        str(one.path),
        record.network,
        str(record.recipe.get("data", "")).partition(" ")[0],
        one.status,
        epochs,
        *_headline(history),
        grouped(record.params),
        _time(_seconds(one)),
        record.started.replace("T", " ")[:16],
    )


def _headline(history: Sequence[Epoch]) -> tuple[str, str]:
    """The accuracy on the test part, last and best; of a network without, R2 or the loss under its name."""
    if not history:
        return "", ""
    from cnnspec.training.train import best_epoch

    metric = headline(history[-1].figures)
    last, best = (one.figures[metric] for one in (history[-1], history[best_epoch(metric, history) - 1]))
    name = "" if metric == "test_accuracy" else f"{metric.removeprefix('test_')} "
    return f"{name}{last:.4f}", f"{best:.4f}"


def _seconds(one: SavedRun) -> float:
    """All sessions together; of one that was killed the training of its epochs."""
    if one.record.timing is not None and one.status != "killed":
        return one.record.timing.total_seconds
    return sum(epoch.seconds for epoch in one.history)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


# --- side by side -----------------------------------------------------------------------------------------


def _compare(found: Sequence[SavedRun]) -> None:
    columns = (Column(""), *(Column(str(one.path), wide=True) for one in found))
    rows = [(name, *values) for name, values in _differences(found)]
    if rows:
        print_table(columns, rows)
    else:
        print("the runs do not differ in any setting")
    print()
    print_table(columns, [(name, *values) for name, values in _figures(found)])


def _differences(found: Sequence[SavedRun]) -> list[tuple[str, list[str]]]:
    """The settings that are not the same in all runs."""
    tables = [_settings(one) for one in found]
    names = dict.fromkeys(name for table in tables for name in table)
    rows = [(name, [table.get(name, "") for table in tables]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _settings(one: SavedRun) -> dict[str, str]:
    record = one.record
    settings = {"network": record.network, "params": grouped(record.params)}
    settings |= {f"--set {name}": value for name, value in record.parameters.items()}
    for name, value in record.recipe.items():
        settings[name] = "; ".join(value) if isinstance(value, list) else str(value)
    settings["layers"] = ", ".join(_layers(one))
    plan = record.threads
    of_torch = f" {plan.torch} on {plan.device}, {plan.precision}" if plan.torch else ""
    settings["backend"] = plan.backend + of_torch
    settings["workers"] = f"{plan.workers}, {plan.micro_batch} images at a time"
    settings["numpy"], settings["blas"], settings["cnnspec"] = plan.numpy, plan.blas, record.versions.cnnspec
    return settings


def _layers(one: SavedRun) -> list[str]:
    """Every layer as it is written; nothing where this version cannot read the network."""
    from cnnspec.training import TrainingError

    try:
        return [str(node.layer) for node in one.subject.graph.nodes]
    except TrainingError:
        return []


def _figures(found: Sequence[SavedRun]) -> list[tuple[str, list[str]]]:
    """What each run came to."""
    last = [dict(one.history[-1].figures) if one.history else {} for one in found]
    names = dict.fromkeys(name for figures in last for name in figures)
    rows: list[tuple[str, list[str]]] = [
        ("status", [str(one.status) for one in found]),
        ("epochs", [str(len(one.history)) for one in found]),
    ]
    for name in names:
        rows.append((name.replace("_", " "), [_number(figures.get(name)) for figures in last]))
    rows.append(("best test accuracy", [_best(one.history) for one in found]))
    rows.append(("time", [_time(_seconds(one)) for one in found]))
    return rows


def _best(history: Sequence[Epoch]) -> str:
    if not history or "test_accuracy" not in history[-1].figures:
        return ""
    return _headline(history)[1]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _report(one: SavedRun) -> dict[str, object]:
    record, history = one.record, one.history
    return {
        "path": str(one.path),
        "network": record.network,
        "status": one.status,
        "started": record.started,
        "params": record.params,
        "parameters": dict(record.parameters),
        "recipe": dict(record.recipe),
        "epochs": len(history),
        "final": dict(history[-1].figures) if history else None,
        "best": record.best.model_dump() if record.best else None,
        "seconds": round(_seconds(one), 3),
    }
