"""`cnnspec evaluate`: how well a trained network does; of classes what it gets right and wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.cli._output import grouped, print_table
from cnnspec.cli._training import add_data, another_data, print_error
from cnnspec.cli.main import FINDINGS, OK
from cnnspec.network.table import Column

if TYPE_CHECKING:
    import argparse

    from cnnspec.network.report import Json
    from cnnspec.training.evaluation import Evaluation
    from cnnspec.training.runs import SavedRun

SUMMARY = "tell how well a trained network does, class by class, from its run folder"
EXAMPLES = """examples:
  cnnspec evaluate runs/LeNet-1                       on the test part of its own data
  cnnspec evaluate runs/LeNet-1 --weights best        the weights after its best epoch
  cnnspec evaluate runs/LeNet-1 --part train          on what it was trained with
  cnnspec evaluate runs/LeNet-1 --data fashion_mnist  on other data, prepared as its own were
  cnnspec evaluate runs/LeNet-1 --json | jq .accuracy

All it needs is the run folder and the data. Rows of the confusion matrix are the classes, columns what they
were taken for; top5 is the share of samples whose class is among the five likeliest. Where targets are
numbers, mae is the mean absolute difference of outputs from targets, and r2 the coefficient of determination,
1 where they are equal.
"""

WIDEST = 20
"""The most classes whose confusion matrix is printed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument("--weights", choices=("last", "best"), default="last", help="after which epoch")
    parser.add_argument("--part", choices=("test", "train"), default="test", help="which part of the data")
    add_data(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the accuracy alone, or r2")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; 1 where the run or the data cannot be used."""
    from cnnspec.training import TrainingError

    try:
        return _evaluate(arguments)
    except TrainingError as error:
        print_error(error)
        return FINDINGS


def _evaluate(arguments: argparse.Namespace) -> int:
    from cnnspec.training.evaluation import evaluate_samples, labelled
    from cnnspec.training.runs import load_run

    saved = load_run(arguments.run)
    kind = another_data(saved.subject.recipe.data, arguments.data)
    x, labels = labelled(saved, kind, arguments.part, arguments.data_dir)
    with saved.compile(arguments.weights) as model:
        found = evaluate_samples(model, x, labels, saved)
    if arguments.json:
        print(json.dumps(_report(saved, arguments, kind.written(), found), indent=2, ensure_ascii=False))
    elif arguments.quiet:
        print(f"{_headline(found):.4f}")
    else:
        _print(saved, arguments, kind.written(), found)
    return OK


def _print(saved: SavedRun, arguments: argparse.Namespace, data: str, found: Evaluation) -> None:
    epoch = saved.epoch_of(arguments.weights)
    print(f"{saved.record.network} after epoch {epoch}, on the {arguments.part} part of {data}")
    for name, figure in sorted(found.figures.items(), key=lambda item: item[0] == "loss"):
        right = f", {grouped(found.correct)} of {grouped(found.count)}" if name == "accuracy" else ""
        print(f"{name:<8}  {figure:.4f}{right if found.class_names else ''}")
    if not found.class_names:
        print(f"samples   {grouped(found.count)}")
        return
    print()
    columns = (Column("class"), *(Column(title, "right") for title in ("samples", "precision", "recall")))
    rows = [
        (one.name, grouped(one.count), _figure(one.precision), _figure(one.recall)) for one in found.classes
    ]
    print_table(columns, rows)
    if len(found.class_names) > WIDEST:
        print(f"\n--json has the confusion matrix of the {len(found.class_names)} classes", file=sys.stderr)
        return
    print()
    print_table(
        (Column("taken for"), *(Column(name, "right") for name in found.class_names)),
        [
            (name, *(str(count) if count else "." for count in row))
            for name, row in zip(found.class_names, found.confusion.tolist(), strict=True)
        ],
    )


def _headline(found: Evaluation) -> float:
    """The figure that says most: the accuracy, or R2, or else the loss."""
    return next(found.figures[name] for name in ("accuracy", "r2", "loss") if name in found.figures)


def _figure(share: float) -> str:
    return "none" if share != share else f"{share:.4f}"


def _report(saved: SavedRun, arguments: argparse.Namespace, data: str, found: Evaluation) -> Json:
    return {
        "schema": "cnnspec.evaluation/1",
        "run": str(saved.path),
        "network": saved.record.network,
        "weights": arguments.weights,
        "epoch": saved.epoch_of(arguments.weights),
        "data": data,
        "part": arguments.part,
        "count": found.count,
        **found.figures,
        **(_by_class(found) if found.class_names else {}),
    }


def _by_class(found: Evaluation) -> dict[str, Json]:
    return {
        "correct": found.correct,
        "classes": [
            {
                "name": one.name,
                "count": one.count,
                "precision": None if one.precision != one.precision else one.precision,
                "recall": None if one.recall != one.recall else one.recall,
            }
            for one in found.classes
        ],
        "confusion": found.confusion.tolist(),
        "mistakes": [
            {
                "index": one.index,
                "class": found.class_names[one.label],
                "taken_for": found.class_names[one.taken_for],
                "probability": one.probability,
                "probability_of_class": one.probability_of_label,
            }
            for one in found.mistakes
        ],
    }
