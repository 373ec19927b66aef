"""What may stand next on a command line, by the parsers of the commands and the file that it names."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cnnspec.cli.main import commands, load
from cnnspec.language.errors import SpecError
from cnnspec.language.record import field, record, state

if TYPE_CHECKING:
    from cnnspec.network.check import Checked

Words = Iterable[tuple[str, str]]
"""Words that may stand there, and a few words about each."""

ANY_FILE: Final = "files"
CNN_FILE: Final = "files .cnn"
FOLDER: Final = "folders"
NO_FILE: Final = "words"


@record
class Answer:
    """What may stand there: these words, and files of a kind, which the shell itself completes."""

    files: str = NO_FILE
    words: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """As the shells' scripts read it: the kind of files, then a word a line, a tab before its help."""
        return "\n".join([self.files, *("\t".join(word) for word in self.words)]) + "\n"


@state
class Line:
    """How far a command line has come.

    Attributes:
        command: the name of the command.
        parser: its parser.
        positionals: the words that are no options, and no values of such.
        given: the options that were given.
        pending: the option that the present word may be a value of.
        options_over: whether `--` was given.
    """

    command: str
    parser: argparse.ArgumentParser
    positionals: list[str] = field(default_factory=list)
    given: list[argparse.Action] = field(default_factory=list)
    pending: argparse.Action | None = None
    options_over: bool = False

    def read(self, words: Sequence[str]) -> None:
        """Go through the words before the present one."""
        for word in words:
            if self.pending is not None and not self._is_option(word):
                self.pending = self.pending if self.pending.nargs in ("*", "+") else None
            elif word == "--" and not self.options_over:
                self.options_over, self.pending = True, None
            elif self._is_option(word):
                self._take(word)
            else:
                self.positionals.append(word)

    def _is_option(self, word: str) -> bool:
        return len(word) > 1 and word.startswith("-") and not self.options_over

    def _take(self, word: str) -> None:
        name, equals, _ = word.partition("=")
        action = self.option(name)
        self.pending = None if action is None or equals or not takes_value(action) else action
        self.given += [action] if action else []

    def option(self, name: str) -> argparse.Action | None:
        """The option of a name."""
        return self.parser._option_string_actions.get(name)

    def options(self) -> Iterator[argparse.Action]:
        """Those that may still be given."""
        excluded = set(self.given)
        for group in self.parser._mutually_exclusive_groups:
            if excluded & set(group._group_actions):
                excluded |= set(group._group_actions)
        for action in self.parser._actions:
            hidden = not action.option_strings or action.help == argparse.SUPPRESS
            if not hidden and (action not in excluded or repeats(action)):
                yield action

    def positional(self) -> argparse.Action | None:
        """The argument that the present word would be."""
        own = [action for action in self.parser._actions if not action.option_strings]
        if len(self.positionals) < len(own):
            return own[len(self.positionals)]
        return own[-1] if own and own[-1].nargs in ("*", "+") else None

    def checked(self) -> Checked | None:
        """The file that the line names, as far as it can be understood."""
        from cnnspec.network.check import check_file

        named = (Path(word).expanduser() for word in self.positionals)
        with contextlib.suppress(SpecError, OSError, ValueError):
            for path in named:
                if path.suffix == ".cnn":
                    return check_file(path)
        return None


def complete(words: Sequence[str]) -> Answer:
    """What may stand in place of the last of the words behind `cnnspec`."""
    *before, present = words or [""]
    if not before:
        return _begun(Answer(words=tuple(_commands())), present)
    if before[0] not in commands():
        return Answer()
    parser = argparse.ArgumentParser(prog=f"cnnspec {before[0]}")
    load(before[0]).configure(parser)
    line = Line(before[0], parser)
    line.read(before[1:])
    return _begun(_answer(line, present), present)


def _begun(answer: Answer, present: str) -> Answer:
    words = tuple(word for word in answer.words if word[0].startswith(present))
    return Answer(answer.files, words)


def _commands() -> Words:
    for name in commands():
        yield name, load(name).SUMMARY
    yield "--help", "show the help and stop"
    yield "--version", "print the version and stop"


def _answer(line: Line, present: str) -> Answer:
    if present.startswith("-") and not line.options_over:
        name, equals, begun = present.partition("=")
        action = line.option(name)
        if not equals:
            return Answer(words=tuple(_options(line)))
        if action is None or not takes_value(action):
            return Answer()
        line.pending = action
        answer = _values(line, action, begun)
        return Answer(answer.files, tuple((f"{name}={word}", help) for word, help in answer.words))
    if line.pending is not None:
        answer = _values(line, line.pending, present)
        if line.pending.nargs is None:
            return answer
        return _both(answer, _positional(line, present))  # its value may be left out
    return _positional(line, present)


def _positional(line: Line, present: str) -> Answer:
    action = line.positional()
    own = _values(line, action, present) if action is not None else Answer()
    return own if own.files != NO_FILE or own.words else Answer(words=tuple(_options(line)))


def _both(one: Answer, other: Answer) -> Answer:
    return Answer(one.files if one.files != NO_FILE else other.files, (*one.words, *other.words))


def _options(line: Line) -> Words:
    for action in line.options():
        longest = max(action.option_strings, key=len)
        names = action.option_strings if isinstance(action, argparse.BooleanOptionalAction) else [longest]
        for name in names:
            yield name, (action.help or "") % {"default": action.default}


def takes_value(action: argparse.Action) -> bool:
    """Whether words behind an option belong to it."""
    return action.nargs != 0


def repeats(action: argparse.Action) -> bool:
    """Whether an option may be given again, for more of the same."""
    return isinstance(action, argparse._AppendAction) or action.metavar == "NAME=VALUE"


# --- values -----------------------------------------------------------------------------------------------


def _values(line: Line, action: argparse.Action, begun: str) -> Answer:
    """What an argument may be."""
    if action.choices is not None:
        return Answer(words=tuple((str(choice), "") for choice in action.choices))
    metavar = str(action.metavar)
    words = WORDS.get(metavar)
    files = FILES.get(metavar, NO_FILE if metavar in NUMBERS or words else ANY_FILE)
    if metavar == "FILE" and (action.option_strings or line.command == "import"):  # not the network
        files = ANY_FILE
    known = tuple(words(line, begun)) if words else ()
    if files == FOLDER and any(word.startswith(begun) for word, _ in known):  # such a folder is known by name
        files = NO_FILE
    return Answer(files, known)


def _parameters(line: Line, begun: str) -> Words:
    """`width=` of the network, and settings of the file where the command takes them."""
    checked = line.checked()
    if checked is None:
        return
    for name, value in checked.graph.parameters.items() if checked.graph else ():
        yield f"{name}=", f"a parameter of the network, {value} unless given"
    if line.command in ("run", "sweep"):
        yield from _settings(checked, begun)


def _settings(checked: Checked, begun: str) -> Words:
    from cnnspec.network.settings import settings_of
    from cnnspec.recipe import ROLES, kinds

    role, equals, _ = begun.partition("=")
    if equals and role in ROLES:
        yield from ((f"{role}={kind}", declared.summary) for kind, declared in kinds(role).items())
        return
    for name, places in settings_of(checked.recipe).items():
        if len(places) == 1 and ("." in begun or "." not in name):
            yield f"{name}=", f"a setting of the `train` block: {places[0].field}"


def _layers(line: Line, begun: str) -> Words:
    checked = line.checked()
    graph = checked.graph if checked is not None else None
    return [(node.name, str(node.layer)) for node in graph.nodes] if graph is not None else []


def _explained(line: Line, begun: str) -> Words:
    """A code or keyword; behind a file its layers."""
    if line.positionals:
        return _layers(line, begun)
    from cnnspec.explanations.topics import topics

    return [(topic.name, topic.summary) for topic in topics()]


def _runs(line: Line, begun: str) -> Words:
    """The run folders in the usual places."""
    for found in sorted([*Path().glob("runs/*/run.json"), *Path().glob("sweeps/*/*/run.json")]):
        yield str(found.parent), "a run"


def _names(line: Line, begun: str) -> Words:
    """Data sets; behind `--device` processors."""
    from cnnspec.recipe import kinds

    if line.pending is not None and line.pending.dest == "device":
        return [("cpu", ""), ("cuda", "the first GPU")]
    return [(kind, declared.summary) for kind, declared in kinds("data").items()]


def _figures(line: Line, begun: str) -> Words:
    from cnnspec.recipe import METRICS

    return [(metric, "") for metric in METRICS]


def _columns(line: Line, begun: str) -> Words:
    from cnnspec.network.columns import CHOICES

    return _listed(((choice.name, choice.help) for choice in CHOICES), begun)


def _systems(line: Line, begun: str) -> Words:
    from cnnspec.cli.bench import SYSTEMS

    return _listed(((system, "") for system in SYSTEMS), begun)


def _listed(words: Words, begun: str) -> Words:
    """Each as the next item of a list with commas, but for those that are there already."""
    before = begun.split(",")[:-1]
    return [(",".join([*before, word]), help) for word, help in words if word not in before]


WORDS: Final[dict[str, Callable[[Line, str], Words]]] = {
    "NAME=VALUE": _parameters,
    "NAME=VALUES": _parameters,
    "LAYER": _layers,
    "WORD": _explained,
    "RUN": _runs,
    "NAME": _names,
    "FIGURE": _figures,
    "NAMES": _columns,
    "SYSTEM,...": _systems,
}
"""By what the help calls it, the words that an argument may be."""

FILES: Final[dict[str, str]] = {
    "FILE": CNN_FILE,
    "A": CNN_FILE,
    "B": CNN_FILE,
    "SPEC": CNN_FILE,
    "WORD": CNN_FILE,
    "DIR": FOLDER,
    "RUN": FOLDER,
    "OUT": ANY_FILE,
    "IMAGE": ANY_FILE,
}
"""By what the help calls it, the files that an argument may be."""

NUMBERS: Final = ("N", "N,...", "S", "SIZE", "SHAPE", "Y,X")
"""What nothing can be said of."""
