"""`cnnspec export`: the network as PyTorch, Keras or NumPy source code, or as an ONNX model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_diagnostics
from cnnspec.cli._parameters import add_parameters
from cnnspec.cli._weights import weights_for
from cnnspec.cli._writing import check_target, write
from cnnspec.cli.main import FINDINGS, OK, CommandError
from cnnspec.network.check import check_file

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.bridges.source.file import SourceFile
    from cnnspec.network.check import Checked

SUMMARY = "write the network as PyTorch, Keras or NumPy source code, or as an ONNX model"
EXAMPLES = """examples:
  cnnspec export specs/lenet.cnn --to torch                 the source of a module, printed
  cnnspec export specs/lenet.cnn --to torch -o lenet.py --weights runs/LeNet-1
                                                            and lenet.safetensors beside it
  cnnspec export specs/lenet.cnn --to onnx -o lenet.onnx --weights runs/LeNet-1
  cnnspec export specs/resnet18.cnn --to keras --set classes=10
  cnnspec export specs/lenet.cnn --to numpy -o lenet_np.py  forward, backward and a step, in NumPy

Source code needs none of the packages to be written. ONNX needs pip install 'cnnspec[onnx]'; without
--weights its model holds the initial weights that the spec's recipe gives.
"""
STDOUT: Final = "-"
ENDINGS: Final = {"torch": ".py", "keras": ".py", "numpy": ".py", "onnx": ".onnx"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument("--to", required=True, choices=tuple(ENDINGS), help="what to write")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="where to write, - for the standard output; source code is printed unless it is given, a model "
        "goes into FILE's name with .onnx, in this folder",
    )
    parser.add_argument(
        "--weights",
        metavar="RUN",
        help="a run folder or a .safetensors file; for source code they are written beside OUT, as "
        "OUT's name with .safetensors",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but findings")
    parser.set_defaults(usage_error=parser.error)
    add_parameters(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export one file; 1 if it has errors, cannot be said, or cannot be written."""
    checked = check_file(arguments.file, arguments.set)
    if not checked.ok:
        print_diagnostics(checked.diagnostics, quiet=arguments.quiet)
        return FINDINGS
    path = _target(arguments, checked)
    if path:
        check_target(path, arguments.file)
    if arguments.to == "onnx":
        _write_model(arguments, checked, path)
    else:
        _write_source(arguments, checked, path)
    return OK


def _target(arguments: argparse.Namespace, checked: Checked) -> Path | None:
    """The file to write, or nothing for the standard output."""
    output = arguments.output
    if output is None and arguments.to == "onnx":
        graph, _ = checked.network()
        output = f"{graph.name if arguments.file == STDOUT else Path(arguments.file).stem}.onnx"
    if output is None or output == STDOUT:
        return None
    if not output or output.endswith("/") or Path(output).is_dir():
        arguments.usage_error(f"-o wants the name of a file, not of a folder: `{output}`")
    ending = ENDINGS[arguments.to]
    if Path(output).suffix.lower() != ending and Path(output).suffix.lower() in ENDINGS.values():
        arguments.usage_error(f"`{output}` does not end in {ending}, as what --to {arguments.to} writes")
    return Path(output)


def _tell(arguments: argparse.Namespace, *paths: Path) -> None:
    if not arguments.quiet:
        for path in paths:
            print(f"wrote {path}")


# --- source code ----------------------------------------------------------------------------------------


def _write_source(arguments: argparse.Namespace, checked: Checked, path: Path | None) -> None:
    graph, facts = checked.network()
    if arguments.weights and path is None:
        arguments.usage_error("--weights needs -o, the file beside which the weights are written")
    source = _source(arguments.to, checked)
    if path is None:
        sys.stdout.write(source.text)
        return
    beside = path.with_suffix(".safetensors")
    if arguments.weights:
        from safetensors.numpy import save as serialized

        if Path(arguments.weights).exists() and beside.exists() and beside.samefile(arguments.weights):
            message = f"the weights would be written over `{beside}`, from which they are read"
            raise CommandError(message, "give OUT another name")
        arrays = source.arrays(weights_for(graph, facts, arguments.weights))
        write(beside, serialized(arrays))
    write(path, source.text.encode())
    _tell(arguments, path, *([beside] if arguments.weights else []))


def _source(system: str, checked: Checked) -> SourceFile:
    """The file that a system's exporter makes.

    Raises:
        SpecError: it cannot say some of the layers.
    """
    from importlib import import_module

    from cnnspec.bridges.source.file import SourceFile, about

    exporter = import_module(f"cnnspec.bridges.{system}_source")
    made = exporter.to_source(*checked.network(), about(checked.source))
    assert isinstance(made, SourceFile)
    return made


# --- models ---------------------------------------------------------------------------------------------


def _write_model(arguments: argparse.Namespace, checked: Checked, path: Path | None) -> None:
    from cnnspec.bridges.needed import MissingPackage

    graph, facts = checked.network()
    try:
        from cnnspec.bridges.onnx import to_onnx
    except MissingPackage as error:
        raise CommandError(str(error.msg), error.help) from None
    model = to_onnx(graph, facts, _weights(arguments, checked))
    content: bytes = model.SerializeToString()
    if path is None:
        sys.stdout.buffer.write(content)
        return
    write(path, content)
    _tell(arguments, path)


def _weights(arguments: argparse.Namespace, checked: Checked) -> dict[str, NDArray[np.float32]]:
    """The given weights, or those that the recipe begins with."""
    graph, facts = checked.network()
    if arguments.weights:
        return weights_for(graph, facts, arguments.weights)
    from cnnspec.training.initializers import initial_weights

    return {name: array.astype("f4") for name, array in initial_weights(graph, facts, checked.recipe)}
