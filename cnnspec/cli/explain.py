"""`cnnspec explain`: what a finding means and how to mend it, or what a word of the language does."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Final

from cnnspec.cli.main import OK
from cnnspec.explanations import topics
from cnnspec.language.diagnostics import did_you_mean

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cnnspec.explanations import Topic

SUMMARY = "explain a finding by its code, or a word of the language"
EXAMPLES = """examples:
  cnnspec explain kernel-too-large           what the finding means, with its arithmetic
  cnnspec explain 'error[kernel-too-large]'  the same, as it stands in the message
  cnnspec explain conv                       a layer: what it computes, its options
  cnnspec explain sgd                        a setting of the train block
  cnnspec explain --list                     everything that can be explained, one a line
  cnnspec explain --json conv | jq '.topics[0].options'
"""

SCHEMA: Final = "cnnspec-explain-1"
WIDTH: Final = 100
"""Columns that text is set in on a wide terminal."""

_PASTED: Final = re.compile(r"(?:error|warning)\[([\w-]+)\]")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("words", nargs="*", metavar="WORD", help="a code, such as budget, or a keyword")
    parser.add_argument("--list", action="store_true", help="list every code and keyword, and stop")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.set_defaults(usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Print what is known of a word."""
    known = topics()
    if arguments.list:
        if arguments.words:
            arguments.usage_error("--list takes no word")
        _print_list(known, arguments.json)
        return OK
    if len(arguments.words) != 1:
        arguments.usage_error(
            f"explain takes one code or keyword, not {len(arguments.words)}; --list shows them"
        )
    word = asked(arguments.words[0])
    found = [topic for topic in known if topic.name == word]
    if not found:
        names = [topic.name for topic in known]
        help = "; ".join(did_you_mean(word, names)) or "`cnnspec explain --list` shows all of them"
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
