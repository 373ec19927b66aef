"""`cnnspec render`: a diagram of a network for a page or a slide."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import print_diagnostics
from cnnspec.cli._parameters import add_parameters
from cnnspec.cli.main import FINDINGS, OK, CommandError
from cnnspec.language.saving import save
from cnnspec.network.check import check_file
from cnnspec.render import DIRECTIONS, FORMATS, THEMES, EngineError, NoEngineError, draw, to_dot

if TYPE_CHECKING:
    import argparse

SUMMARY = "draw the network as a diagram: SVG, PNG, PDF or DOT"
EXAMPLES = """examples:
  cnnspec render specs/lenet.cnn                            writes lenet.svg into this folder
  cnnspec render specs/lenet.cnn -o figures/lenet.pdf
  cnnspec render specs/lenet.cnn -o slide.png --direction right --theme dark
  cnnspec render specs/lenet.cnn -o - --format dot | dot -Tsvg > lenet.svg

Pictures are drawn by Graphviz: the `dot` program, or pip install 'cnnspec[render]'.
"""
STDOUT: Final = "-"
GET_ENGINE: Final = "pip install 'cnnspec[render]', or install the system's graphviz"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", help="a .cnn file, or - for the standard input")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="where to write, - for the standard output; unless given, FILE's name with .svg, in this folder",
    )
    parser.add_argument(
        "--format", choices=FORMATS, help="what to write; unless given, the ending of OUT says it"
    )
    parser.add_argument(
        "--direction",
        choices=DIRECTIONS,
        default=DIRECTIONS[0],
        help="where the network flows: down a page (the default) or right across a slide",
    )
    parser.add_argument("--theme", choices=tuple(THEMES), default="light", help="light (the default) or dark")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but findings")
    parser.set_defaults(usage_error=parser.error)
    add_parameters(parser)


def run(arguments: argparse.Namespace) -> int:
    """Draw one file; 1 if it has errors or cannot be drawn or written."""
    output, format = _target(arguments)
    checked = check_file(arguments.file, arguments.set)
    if not checked.ok:
        print_diagnostics(checked.diagnostics, quiet=arguments.quiet)
        return FINDINGS
    graph, facts = checked.network()
    path = None if output == STDOUT else Path(output or f"{_stem(arguments.file, graph.name)}.{format}")
    if path:
        _check_writable(path, arguments.file)
    text = to_dot(graph, facts, theme=arguments.theme, direction=arguments.direction)
    picture = _picture(text, format, path)
    if path is None:
        sys.stdout.buffer.write(picture)
        return OK
    _save(path, picture)
    if not arguments.quiet:
        print(f"wrote {path}")
    return OK


def _target(arguments: argparse.Namespace) -> tuple[str | None, str]:
    """Where to write, and in which format."""
    output, format = arguments.output, arguments.format
    if output is None or output == STDOUT:
        return output, format or FORMATS[0]
    if not output or output.endswith("/") or Path(output).is_dir():
        arguments.usage_error(f"-o wants the name of a file, not of a folder: `{output}`")
    ending = Path(output).suffix.lower().removeprefix(".")
    if ending in FORMATS and format not in (None, ending):
        arguments.usage_error(f"`{output}` ends in .{ending}, but --format says {format}")
    if not format and ending not in FORMATS:
        what = f"cannot tell the format of `{output}` from its ending"
        raise CommandError(what, f"end it in {', '.join('.' + known for known in FORMATS)}, or give --format")
    return output, format or ending


def _stem(file: str, network: str) -> str:
    """The name of the output where none was given: the file's, or the network's from the standard input."""
    return network if file == "-" else Path(file).stem


def _check_writable(path: Path, file: str) -> None:
    """Find a missing folder before the time is spent on drawing, and never draw over the spec."""
    if path.exists() and Path(file).exists() and path.samefile(file):
        raise CommandError(
            f"`{path}` is the spec itself, which the picture would replace", "give another OUT"
        )
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder `{path.parent}`", f"create it: mkdir -p '{path.parent}'")


def _picture(text: str, format: str, path: Path | None) -> bytes:
    """The picture; without one, the DOT text is left beside where it would be."""
    try:
        return draw(text, format)
    except NoEngineError:
        raise CommandError(f"drawing {format} needs Graphviz{_keep(text, path)}", GET_ENGINE) from None
    except EngineError as error:
        raise CommandError(f"Graphviz cannot draw this as {format}: {error}{_keep(text, path)}") from None


def _keep(text: str, path: Path | None) -> str:
    """Write the DOT text beside a picture that could not be drawn, and say so."""
    if path is None:
        return ""
    beside = path.with_name(f"{path.name}.dot")
    _save(beside, text.encode())
    return f"; the DOT text is in `{beside}`"


def _save(path: Path, content: bytes) -> None:
    try:
        save(path, content)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CommandError(f"cannot write `{path}`: {reason}") from None
