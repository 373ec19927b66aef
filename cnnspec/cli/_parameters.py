"""`--set name=value`: values for the parameters of a network, for every command that reads a file."""

from __future__ import annotations

import argparse
from typing import Final

from cnnspec.network.assignment import read_assignment

MOST: Final = 10**9
"""The largest number of epochs or of images in a batch that is taken."""


def add_parameters(
    parser: argparse._ActionsContainer, option: str = "--set", of: str = "the network"
) -> None:
    """Let a command take `--set`; its values are `arguments.set`."""
    parser.add_argument(
        option,
        action=_Assignment,
        default={},
        metavar="NAME=VALUE",
        help=f"value for a parameter of {of}, such as classes=10; may be given several times",
    )


class _Assignment(argparse.Action):
    """Reads `name=value` as the language reads `let name = value`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        try:
            name, value = read_assignment(str(values))
        except ValueError as error:
            parser.error(f"{option_string} {values}: {error}")
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: value})


def position(text: str) -> tuple[int, ...]:
    """The place of a unit, `4,7`."""
    numbers = [number.strip() for number in text.split(",")]
    if all(number.isdecimal() for number in numbers):
        return tuple(map(int, numbers))
    raise argparse.ArgumentTypeError(f"must be a position such as 4,7, not `{text}`")


def whole(text: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    if not (text.isascii() and text.lstrip("-").isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}")
    if not least <= int(text) <= most:
        bound = f"at least {least}" if int(text) < least else f"at most {most}"
        raise argparse.ArgumentTypeError(f"must be {bound}, not {int(text)}")
    return int(text)


def count(text: str) -> int:
    """A number of epochs or of images in a batch."""
    return whole(text, 1, MOST)
