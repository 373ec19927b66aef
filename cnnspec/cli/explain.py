"""`cnnspec explain`: what a finding means, what a word does, or a layer with its arithmetic."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli._parameters import add_parameters, position
from cnnspec.cli.main import OK
from cnnspec.explanations import topics
from cnnspec.language.diagnostics import did_you_mean
from cnnspec.language.reading import STDIN

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cnnspec.explanations import Topic

SUMMARY = "explain a finding, a word of the language, or a layer of a file with its arithmetic"
EXAMPLES = """examples:
  cnnspec explain kernel-too-large           what the finding means, with its arithmetic
  cnnspec explain 'error[kernel-too-large]'  the same, as it stands in the message
  cnnspec explain conv                       a layer: what it computes, its options
  cnnspec explain sgd                        a setting of the train block
  cnnspec explain net.cnn conv1              this layer's size, parameters, MACs and receptive field
  cnnspec explain net.cnn conv1 --markdown   the same with LaTeX formulas
  cnnspec explain net.cnn conv1 --unit 4,7 --weights runs/net-1 --image digits:0
                                             one output element: window times kernel, sum, bias
  cnnspec explain --list                     everything that can be explained, one a line
  cnnspec explain --json conv | jq '.topics[0].options'
"""

SHOWN: Final = 4
"""Layers and settings that are named of those that have an option."""
SCHEMA: Final = "cnnspec-explain-1"
WIDTH: Final = 100
"""Columns that text is set in on a wide terminal."""

_PASTED: Final = re.compile(r"(?:error|warning)\[([\w-]+)\]")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="a code such as budget, a keyword, or a file and a layer of it",
    )
    parser.add_argument("--list", action="store_true", help="list every code and keyword, and stop")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    layer = parser.add_argument_group("with a file and a layer")
    add_parameters(layer)
    layer.add_argument("--markdown", action="store_true", help="print Markdown with LaTeX formulas")
    layer.add_argument(
        "--unit", type=position, metavar="Y,X", help="walk through the output element at this position"
    )
    layer.add_argument("--channel", type=int, default=0, metavar="N", help="its channel, 0 unless given")
    layer.add_argument("--weights", metavar="RUN", help="with --unit: a run folder or a .safetensors file")
    layer.add_argument(
        "--image",
        metavar="IMAGE",
        help="with --unit: a .npy file, or an image of a data set such as digits:0",
    )
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Print what is known of a word."""
    known = topics()
    if arguments.list:
        if arguments.words:
            arguments.usage_error("--list takes no word")
        _print_list(known, arguments.json)
        return OK
    if len(arguments.words) == 2 and _is_file(arguments.words[0]):
        from cnnspec.cli._layer import explain_in_file

        return explain_in_file(arguments)
    if len(arguments.words) != 1:
        arguments.usage_error(
            "explain takes a code or keyword, which --list shows, or a file and a layer of it"
        )
    word = asked(arguments.words[0])
    found = [topic for topic in known if topic.name == word]
    if not found:
        names = [topic.name for topic in known]
        help = (
            _of_file(word)
            or _of_option(word, known)
            or "; ".join(did_you_mean(word, names))
            or "`cnnspec explain --list` shows all of them"
        )
        arguments.usage_error(f"there is no code or keyword `{word}`\nhelp: {help}")
    if arguments.json:
        _print_json([{**_head(topic), **topic.record, "text": topic.text} for topic in found])
    else:
        _print_page("\n".join(topic.text for topic in found))
    return OK


def asked(word: str) -> str:
    """The code or keyword that is meant: `error[budget]` is what people copy from a message."""
    pasted = _PASTED.match(word)
    return pasted.group(1) if pasted else word.strip("`")


def _is_file(word: str) -> bool:
    return word == STDIN or word.endswith(".cnn") or Path(word).exists()


def _of_file(word: str) -> str:
    if not word.endswith(".cnn"):
        return ""
    if not Path(word).is_file():
        return f"there is no file `{word}` either"
    return f"name a layer of it: `cnnspec explain {shlex.quote(word)} conv1`"


def _of_option(word: str, known: Sequence[Topic]) -> str:
    """Where an option is explained: at the layers and settings that have it."""
    owners = [topic.name for topic in known if word in _options(topic)]
    if not owners:
        return ""
    shown = ", ".join(f"`{name}`" for name in owners[:SHOWN]) + (", ..." if len(owners) > SHOWN else "")
    return f"it is an option of {shown}: `cnnspec explain {owners[0]}` has it"


def _options(topic: Topic) -> list[str]:
    options = topic.record.get("options", [])
    assert isinstance(options, list)
    return [option["name"] for option in options]


def _head(topic: Topic) -> dict[str, object]:
    return {"name": topic.name, "family": topic.family, "summary": topic.summary}


def _print_list(known: Sequence[Topic], as_json: bool) -> None:
    if as_json:
        _print_json([_head(topic) for topic in known])
        return
    names = max(len(topic.name) for topic in known)
    families = max(len(topic.family) for topic in known)
    for topic in known:
        print(f"{topic.name:<{names}}  {topic.family:<{families}}  {topic.summary}")


def _print_json(records: Sequence[dict[str, object]]) -> None:
    print(json.dumps({"schema": SCHEMA, "topics": records}, indent=2))


def _print_page(text: str) -> None:
    """Set out on a terminal; in a pipe as it was written."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    console = Console(theme=Theme({"markdown.code": "bold cyan"}))  # the terminal's own background
    console.print(Markdown(text, code_theme="ansi_dark"), width=min(console.width, WIDTH))
