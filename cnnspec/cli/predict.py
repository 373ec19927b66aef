"""`cnnspec predict`: what a trained network says of images, from its run folder alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_table
from cnnspec.cli._parameters import count
from cnnspec.cli._training import print_error
from cnnspec.cli.main import FINDINGS, OK
from cnnspec.network.table import Column

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from cnnspec.training.predictions import Prediction

SUMMARY = "tell what a trained network takes images for, from its run folder"
EXAMPLES = """examples:
  cnnspec predict runs/LeNet-1 seven.png              the likeliest classes, with their probabilities
  cnnspec predict runs/LeNet-1 scans/*.png --top 1    many files, one class each
  cnnspec predict runs/LeNet-1 - < seven.png          an image from the standard input
  cnnspec predict runs/LeNet-1 digits.npy --json      arrays: one sample, or N of them

Images are PNG or JPEG (with the package Pillow), recordings WAV, arrays .npy. They are resized and normalised
as the run did with its own: nothing but the run folder is needed.
"""

STDIN: Final = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", type=Path, help="a run folder")
    parser.add_argument("files", metavar="IMAGE", nargs="+", help="a file, or - for the standard input")
    parser.add_argument(
        "--top", type=count, default=3, metavar="N", help="classes to show of each; 3 unless given"
    )
    parser.add_argument("--weights", choices=("last", "best"), default="last", help="after which epoch")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="print the likeliest class alone, a line each"
    )


def run(arguments: argparse.Namespace) -> int:
    """Predict; 1 where the run cannot be used, or one of the files."""
    from cnnspec.training import TrainingError
    from cnnspec.training.predictions import predict
    from cnnspec.training.runs import load_run

    found: list[Prediction] = []
    status = OK
    try:
        saved = load_run(arguments.run)
        with saved.compile(arguments.weights) as model:
            for name, content in _contents(arguments.files):
                try:
                    found += predict(saved, model, name, content if content is not None else _read(name))
                except TrainingError as error:
                    print_error(error)
                    status = FINDINGS
    except TrainingError as error:
        print_error(error)
        return FINDINGS
    _print(found, arguments)
    return status


def _contents(files: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """The name of each file, and the content of the standard input."""
    for name in files:
        yield ("<stdin>", sys.stdin.buffer.read()) if name == STDIN else (name, None)


def _read(name: str) -> bytes:
    from cnnspec.training.inputs import read_content

    return read_content(Path(name))


def _print(found: Sequence[Prediction], arguments: argparse.Namespace) -> None:
    if arguments.json:
        samples = [one.report(arguments.top) for one in found]
        document = {"schema": "cnnspec.predictions/1", "run": str(arguments.run), "samples": samples}
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if arguments.quiet:
        for one in found:
            print(one.top(1)[0][0] if one.classes else one.numbers())
        return
    if not found:
        return
    if not found[0].classes:
        print_table((Column("file"), Column("output")), [(one.name, one.numbers()) for one in found])
        return
    top = min(arguments.top, len(found[0].classes))
    head = ("class", *(f"{place}." for place in range(2, top + 1)))
    columns = [Column("file")]
    for title in head:
        columns += [Column(title), Column("probability" if title == "class" else "", "right")]
    print_table(columns, [_row(one, top) for one in found])


def _row(one: Prediction, top: int) -> tuple[str, ...]:
    cells = [one.name]
    for name, probability in one.top(top):
        cells += [name, f"{probability:.4f}"]
    return tuple(cells)
