"""The `cnnspec` command: finds the command's file, runs it, and turns every outcome into an exit status.

Each command is one file of this folder with `SUMMARY`, `EXAMPLES`, `configure(parser)` and `run(arguments)`.
Only the file of the command that was asked for is imported, since start-up time is part of the product.
Exit status: 0 fine, 1 findings or a failed run, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

OK: Final = 0
FINDINGS: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

WORDS: Final = ("import",)
"""Commands whose names no module can have."""
DEBUG: Final = "CNNSPEC_DEBUG"
"""Environment variable: when set, an internal error shows its traceback."""


class Command(Protocol):
    """What the file of a command provides."""

    SUMMARY: str
    EXAMPLES: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Carry the command out and return the exit status."""


class CommandError(Exception):
    """A command cannot go on; the text is one line for the user, the help a second one."""

    def __init__(self, message: str, help: str | None = None) -> None:
        super().__init__(message)
        self.help = help


def commands() -> list[str]:
    """The names of all commands, read from this folder."""
    files = [name for name in os.listdir(os.path.dirname(__file__)) if name.endswith(".py")]
    names = sorted(name.removesuffix(".py") for name in files)
    return [name.removesuffix("_") for name in names if name != "main" and not name.startswith("_")]


def load(name: str) -> Command:
    """Import the file of a command; where its name is a word of Python's, a line stands behind it there."""
    file = f"{name}_" if name in WORDS else name
    return cast("Command", importlib.import_module(f"cnnspec.cli.{file}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        _drop_output()
        return FINDINGS
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError):  # what is left of the output would fail again at the very end
            _drop_output()
        return _report(error, quiet=not {"-q", "--quiet"}.isdisjoint(words))


def _open_streams() -> None:
    """Open those of the three standard streams that the caller has closed, as in `cnnspec check FILE 2>&-`.

    A file that is opened later would take the free number, and get what C libraries print there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open to the end


def _drop_output() -> None:
    """Send what is still to be written on the standard output nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(words: list[str]) -> int:
    known = commands()
    if words and words[0] in known:
        command = load(words[0])
        parser = _Parser(prog=f"cnnspec {words[0]}", description=command.SUMMARY, epilog=command.EXAMPLES)
        command.configure(parser)
        return command.run(parser.parse_args(words[1:]))
    parser = _Parser(
        prog="cnnspec", description="A compiler for convolutional networks.", epilog=_overview(known)
    )
    parser.add_argument("--version", action="store_true", help="print the version and stop")
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="one of: " + ", ".join(known))
    arguments = parser.parse_args(words[:1])
    if arguments.version:
        from importlib.metadata import version

        print(f"cnnspec {version('cnnspec')}")
        return OK
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    from cnnspec.language.diagnostics import did_you_mean

    help = "; ".join(did_you_mean(arguments.command, known)) or f"the commands are {', '.join(known)}"
    return parser.error(f"there is no command `{arguments.command}`\nhelp: {help}")


def _overview(known: Sequence[str]) -> str:
    lines = [f"  {name:<10} {load(name).SUMMARY}" for name in known]
    return "\n".join(["commands:", *lines, "", "Help on one of them: cnnspec COMMAND --help"])


class _Parser(argparse.ArgumentParser):
    """Help with its line breaks kept; usage errors in the words of the other messages."""

    def __init__(self, *, prog: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and what to do; of words missing or too many also how all is written."""
        lines = [f"error: {message.removeprefix('argument ')}"]
        if "\nhelp: " not in message:
            lines += self._help(message)
        self.exit(USAGE, "\n".join(lines) + "\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """See that a value is one of those that there are."""
        from cnnspec.language.diagnostics import did_you_mean

        choices = list(map(str, action.choices or ()))
        if choices and str(value) not in choices:
            help = "; ".join(did_you_mean(str(value), choices)) or f"there is {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"there is no `{value}`\nhelp: {help}")

    def _help(self, message: str) -> list[str]:
        """What to do, where the message does not say so."""
        from cnnspec.language.diagnostics import did_you_mean

        _, unknown, words = message.partition("unrecognized arguments: ")
        if unknown and words.startswith("--"):
            option = words.split()[0].partition("=")[0].removeprefix("--")
            known = [name.removeprefix("--") for name in self._option_string_actions if len(name) > 2]
            if close := did_you_mean(option, known):
                return [f"help: {line.replace(' `', ' `--')}" for line in close]
        if "arguments are required" in message:
            return [self.format_usage().strip(), *self._example(), f"help: {self.prog} --help"]
        return [*([self.format_usage().strip()] if unknown else ()), f"help: {self.prog} --help"]

    def _example(self) -> list[str]:
        """The first of the command's examples, without its explanation."""
        _, _, examples = (self.epilog or "").partition("examples:\n")
        return [f"help: for example `{examples.strip().partition('  ')[0]}`"] if examples else []


def _report(error: Exception, *, quiet: bool) -> int:
    """One error, in the user's words; an error of ours says so."""
    from cnnspec.language.errors import SpecError

    if isinstance(error, SpecError):
        from cnnspec.cli._output import print_diagnostics

        print_diagnostics(error.diagnostics, quiet=quiet)
    elif isinstance(error, CommandError):
        print(f"error: {error}", file=sys.stderr)
        if error.help:
            print(f"help: {error.help}", file=sys.stderr)
    elif isinstance(error, OSError) and error.strerror:
        where = f" `{error.filename}`" if error.filename else ""
        print(f"error: cannot use{where or ' a file'}: {error.strerror.lower()}", file=sys.stderr)
    elif isinstance(error, MemoryError):
        print(f"error: {error or 'there is not enough memory'}", file=sys.stderr)
    elif os.environ.get(DEBUG):
        raise error
    else:
        print(f"internal error: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"help: this is a fault of cnnspec; {DEBUG}=1 shows where it arose", file=sys.stderr)
    return FINDINGS


if __name__ == "__main__":
    sys.exit(main())
