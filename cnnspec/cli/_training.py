"""What the commands about training share: options, and how their errors are printed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.language.parser import parse
from cnnspec.language.source import Source
from cnnspec.language.syntax import Train
from cnnspec.network.recipe import lower_recipe
from cnnspec.recipe import DataKind, kinds

if TYPE_CHECKING:
    from cnnspec.training import TrainingError

BACKENDS: Final = ("numpy", "torch")
PRECISIONS: Final = ("float32", "bfloat16", "float16")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Let a command take `--data` and `--data-dir`."""
    parser.add_argument(
        "--data",
        type=_data,
        metavar="NAME",
        help="another data set, with options as in a file if need be: " + ", ".join(kinds("data")),
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder with the data set's files; see also CNNSPEC_DATA_DIR",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Let a command take `--backend`, `--device` and `--precision`."""
    parser.add_argument("--backend", choices=BACKENDS, help="what computes it: numpy unless given")
    parser.add_argument("--device", metavar="NAME", help="of PyTorch: cpu, cuda, or cuda:1")
    parser.add_argument(
        "--precision", choices=PRECISIONS, help="of PyTorch: mixed with float32 where it is another"
    )


def _data(text: str) -> DataKind | type[DataKind]:
    """A kind where only its name is given, else a data set as a `data` line says it."""
    kind = kinds("data").get(text)
    if kind is not None and issubclass(kind, DataKind) and not _required(kind):
        return kind
    parsed = parse(Source("--data", f"train {{\ndata {text}\n}}\n"))
    train = next((item for item in parsed.tree.items if isinstance(item, Train)), None)
    lowered = lower_recipe(train, None, None)
    for fault in (*parsed.faults, *lowered.faults):
        raise argparse.ArgumentTypeError("\nhelp: ".join([fault.message, *fault.help]))
    return lowered.recipe.data


def _required(kind: type[DataKind]) -> bool:
    return any(option.required for option in kind.options().values())


def another_data(own: DataKind, given: DataKind | type[DataKind] | None) -> DataKind:
    """Another data set; where only its name is given, with those options of a file's own that it has too."""
    if given is None:
        return own
    if isinstance(given, DataKind):
        return given
    kept: dict[str, Any] = {name: value for name, value in own.values().items() if name in given.options()}
    return given(**kept)


def print_error(error: TrainingError) -> None:
    """Print an error and what to do on the standard error."""
    print(f"error: {error.message}", file=sys.stderr)
    for line in error.help:
        print(f"help: {line}", file=sys.stderr)
