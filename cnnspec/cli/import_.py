"""`cnnspec import`: a network from elsewhere as a spec, its weights alongside."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.cli._parameters import add_parameters
from cnnspec.cli._writing import check_target, write
from cnnspec.cli.main import OK, CommandError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.bridges.spec import Written
    from cnnspec.layers import Shape

SUMMARY = "make a spec of an ONNX model, or give the weights of a file to a spec"
EXAMPLES = """examples:
  cnnspec import model.onnx -o model.cnn            the spec, and its weights in model.safetensors
  cnnspec import model.onnx -o -                    the spec alone, printed
  cnnspec import model.onnx --input 3x224x224       where the model leaves the sizes of a sample open
  cnnspec import resnet.safetensors --spec specs/resnet18.cnn -o resnet18.safetensors
                                                    weights under the names of the spec

Repeated groups of layers become blocks and `repeat`, where that is exact. An operator that no layer says is
named with its place, all of them at once. ONNX models need pip install 'cnnspec[onnx]'.
"""
STDOUT: Final = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="an .onnx model, or weights in a .safetensors file")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="where to write, - for a spec on the standard output; unless given, FILE's name in this folder, "
        "with .cnn or, for weights, SPEC's name with .safetensors",
    )
    parser.add_argument(
        "--spec", metavar="SPEC", help="the .cnn file whose weights a .safetensors file holds"
    )
    parser.add_argument(
        "--input", type=_shape, metavar="SHAPE", help="the shape of one sample, such as 3x224x224"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but findings")
    parser.set_defaults(usage_error=parser.error)
    add_parameters(parser)


def run(arguments: argparse.Namespace) -> int:
    """Import one file; 1 if it cannot be read, said or written."""
    path = Path(arguments.file)
    if path.suffix.lower() == ".safetensors":
        if not arguments.spec:
            arguments.usage_error("weights need --spec, the .cnn file of their network")
        _import_weights(arguments, path)
        return OK
    if arguments.spec:
        arguments.usage_error("--spec goes with a .safetensors file: a model says its network itself")
    if not path.is_file():
        missing = f"`{path}` is a folder" if path.is_dir() else f"there is no file `{path}`"
        raise CommandError(missing, "give an .onnx model or a .safetensors file")
    if path.suffix.lower() == ".cnn":
        way = f"cnnspec export {shlex.quote(str(path))} --to onnx"
        raise CommandError(f"`{path}` is a spec already", f"`{way}` makes an ONNX model of it")
    _import_model(arguments, path)
    return OK


def _shape(text: str) -> Shape:
    import argparse

    sizes = text.split("x")
    if not all(size.isascii() and size.isdigit() and 0 < int(size) < 1 << 31 for size in sizes):
        raise argparse.ArgumentTypeError(f"must be a shape such as 3x224x224, not `{text}`")
    return tuple(map(int, sizes))


# --- models ---------------------------------------------------------------------------------------------


def _import_model(arguments: argparse.Namespace, path: Path) -> None:
    output = arguments.output or f"{path.stem}.cnn"
    target = None if output == STDOUT else Path(output)
    if target:
        check_target(target, arguments.file)
        if target.suffix == ".safetensors":
            arguments.usage_error(f"-o names the spec, and its weights are written beside it: `{output}`")
    written = _spec_of(path, arguments.input)
    if target is None:
        sys.stdout.write(written.text)
        return
    from safetensors.numpy import save as serialized

    beside = target.with_suffix(".safetensors")
    write(beside, serialized(written.weights))
    write(target, written.text.encode())
    _tell(arguments, target, beside)


def _spec_of(path: Path, shape: Shape | None) -> Written:
    """The spec of a model.

    Raises:
        SpecError: some of its operators have no counterpart.
        CommandError: it is no model, or ONNX is missing.
    """
    from cnnspec.bridges.needed import MissingPackage

    try:
        from cnnspec.bridges.onnx_import import NotAModel, load_model, read_model
    except MissingPackage as error:
        raise CommandError(str(error.msg), error.help) from None
    from cnnspec.bridges.spec import to_spec

    try:
        model = load_model(path)
    except NotAModel as error:
        raise CommandError(str(error)) from None
    network = read_model(model, str(path), shape)
    return to_spec(network, [f"From {path.name}, by cnnspec import."])


def _tell(arguments: argparse.Namespace, *paths: Path) -> None:
    if not arguments.quiet:
        for path in paths:
            print(f"wrote {path}")


# --- weights --------------------------------------------------------------------------------------------


def _import_weights(arguments: argparse.Namespace, path: Path) -> None:
    from safetensors.numpy import save as serialized

    from cnnspec.bridges.weights import WeightsError, assigned, matched
    from cnnspec.cli._weights import read_weights
    from cnnspec.network.check import check_file

    graph, facts = check_file(arguments.spec, arguments.set).network()
    target = Path(arguments.output or f"{Path(arguments.spec).stem}.safetensors")
    check_target(target, arguments.file)
    found: Mapping[str, NDArray[np.generic]] = read_weights(path)
    names: dict[str, Any] = {}
    try:
        names = assigned(graph, facts, found)
        given = {own: found[name] for own, name in names.items()}
        weights = matched(graph, facts, given, f"the weights in `{path}`")
    except WeightsError as error:
        raise CommandError(str(error), "\nhelp: ".join(error.help)) from None
    write(target, serialized(dict(weights)))
    if not arguments.quiet:
        for own, name in names.items():
            if own != name:
                print(f"{own:<32} {name}")
    _tell(arguments, target)
