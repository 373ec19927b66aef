"""Completion of the command line: what may stand next, and that bash, zsh and fish themselves complete so."""

import argparse
import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnspec.cli._completing import FILES, NUMBERS, WORDS, complete
from cnnspec.cli.completion import SCRIPTS, split
from cnnspec.cli.main import USAGE, commands, load
from cnnspec.explanations.topics import topics
from cnnspec.recipe import kinds
from tests.training.resuming import called

SPEC = """network Net(width=4, kernel=3) {
    input 1x8x8
    conv width kernel -> relu
    dense 10 -> softmax
}

train {
    data digits
    optimizer sgd lr=0.1 momentum=0.9
}
"""
ALIKE = [
    ("cnnspec che", ["check"]),
    ("cnnspec --vers", ["--version"]),
    ("cnnspec check --for", ["--format"]),
    ("cnnspec check --format sar", ["sarif"]),
    ("cnnspec check --format=mark", ["--format=markdown"]),
    ("cnnspec check --json ne", ["net.cnn"]),
    ("cnnspec check my", ["my net.cnn"]),
    ("cnnspec check inn", ["inner/"]),
    ("cnnspec check inner/de", ["inner/deep.cnn"]),
    ("cnnspec run net.cnn --data fash", ["fashion_mnist"]),
    ("cnnspec run net.cnn --set wid", ["width="]),
    ("cnnspec run net.cnn --set mom", ["momentum="]),
    ("cnnspec run net.cnn --set optimizer=rms", ["optimizer=rmsprop"]),
    ("cnnspec run net.cnn --out inn", ["inner/"]),
    ("cnnspec explain net.cnn co", ["conv1"]),
    ("cnnspec explain kernel-too", ["kernel-too-large"]),
    ("cnnspec check net.cnn --columns name,int", ["name,intensity"]),
    ("cnnspec evaluate runs/Ne", ["runs/Net-1"]),
]
"""A line up to the cursor, and what its last word may become."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files to complete, and a `cnnspec` on the path."""
    for name in ("net.cnn", "my net.cnn", "net.txt", "inner/deep.cnn", "inner/deep.txt"):
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SPEC)
    (tmp_path / "home" / "runs" / "Net-1").mkdir(parents=True)
    (tmp_path / "home" / "runs" / "Net-1" / "run.json").write_text("{}")
    program = tmp_path / "bin" / "cnnspec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cnnspec "$@"\n')
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    return tmp_path / "home"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def words(line: str) -> list[str]:
    """The words that may stand at the end of a line; a file's ending where files may."""
    answer = complete(split(line))
    return [word for word, _ in answer.words]


# --- what may stand next ----------------------------------------------------------------------------------


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=command)
    load(command).configure(parser)
    return parser


@pytest.mark.parametrize("command", commands())
def test_every_option_that_the_help_shows_is_completed(command):
    shown = set(
        re.findall(r"^  (?:-\w, |-\w \w+, )?(--[\w-]+)", parser_of(command).format_help(), re.MULTILINE)
    )
    assert "--help" in shown
    assert shown <= set(words(f"cnnspec {command} --"))


@pytest.mark.parametrize("command", commands())
def test_every_choice_that_the_parser_takes_is_completed(command):
    for action in parser_of(command)._actions:
        if action.option_strings and action.choices:
            option = action.option_strings[-1]
            assert words(f"cnnspec {command} {option} ") == list(action.choices)
            assert words(f"cnnspec {command} {option}=") == [f"{option}={one}" for one in action.choices]


@pytest.mark.parametrize("command", commands())
def test_what_every_value_may_be_is_decided(command):
    """Words, files of a kind, or a number: by the name that the help gives the value."""
    for action in parser_of(command)._actions:
        if action.nargs != 0 and not action.choices and action.help != argparse.SUPPRESS:
            assert action.metavar in {*WORDS, *FILES, *NUMBERS}, action.dest


def test_commands_are_completed_with_their_summaries():
    answer = dict(complete([""]).words)
    assert set(answer) == {*commands(), "--help", "--version"}
    assert answer["check"] == load("check").SUMMARY


def test_an_option_is_offered_once_unless_it_may_repeat():
    assert "--json" not in words("cnnspec run net.cnn --json --")
    assert "--set" in words("cnnspec run net.cnn --set a=1 --")
    assert "--param" in words("cnnspec sweep net.cnn --param a=1,2 --")
    assert "--markdown" not in words("cnnspec bench net.cnn --json --")  # one excludes the other


def test_values_of_options_are_no_arguments(here):
    assert words("cnnspec explain --weights net.cnn kernel-too") == ["kernel-too-large"]
    assert words("cnnspec explain --weights=w net.cnn co") == ["conv1"]
    assert complete(split("cnnspec run --epochs 3 ")).files == "files .cnn"
    assert complete(split("cnnspec run -- --")).words == ()


def test_kinds_and_topics_are_read_from_their_registries(here):
    assert words("cnnspec run net.cnn --data ") == list(kinds("data"))
    assert words("cnnspec run net.cnn --set optimizer=") == [f"optimizer={one}" for one in kinds("optimizer")]
    assert set(words("cnnspec explain ")) == {topic.name for topic in topics()}


def test_parameters_are_those_of_the_file(here):
    assert words("cnnspec check net.cnn --set ") == ["width=", "kernel="]
    assert {"width=", "kernel=", "lr=", "momentum="} <= set(words("cnnspec sweep net.cnn --param "))
    assert words("cnnspec run net.cnn --set sgd.l") == ["sgd.lr="]
    assert words("cnnspec run nothing.cnn --set ") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cnnspec ", [""]),
        ("cnnspec check", ["check"]),
        ("cnnspec check ", ["check", ""]),
        ("cnnspec check 'my n", ["check", "my n"]),
        ('cnnspec check "my n', ["check", "my n"]),
        ("cnnspec check my\\ n", ["check", "my n"]),
        ("cnnspec check my\\", ["check", "my\\"]),
        ("cnnspec check 'my\\", ["check", "my\\"]),
        ("~/bin/cnnspec check a.cnn ", ["check", "a.cnn", ""]),
        ("A=1 cnnspec ru", ["ru"]),
        ("", [""]),
    ],
)
def test_lines_are_split_as_a_shell_does(line, expected):
    assert list(split(line)) == expected


@pytest.mark.parametrize(
    "line",
    [
        "cnnspec zzz ",
        "cnnspec --zzz ",
        "cnnspec check --zzz ",
        "cnnspec check --depth ",
        "cnnspec '",
        "\0",
        "cnnspec check \0.cnn --set ",
    ],
)
def test_lines_that_make_no_sense_are_borne(line):
    assert complete(split(line)).text()


def test_the_command_says_what_it_needs(here):
    result = called(here, "completion")
    assert result.returncode == USAGE
    assert result.stderr.endswith(
        "error: which shell is it for?\nhelp: cnnspec completion bash, zsh or fish\n"
    )
    assert called(here, "completion", "tcsh").returncode == USAGE
    for shell, script in SCRIPTS.items():
        assert called(here, "completion", shell).stdout == script


# --- the shells themselves --------------------------------------------------------------------------------


class Terminal:
    """An interactive shell that believes to be used by hand.

    The terminal is its controlling one: when the tests are killed it hangs up, and the shell ends with it.
    """

    def __init__(self, *command: str) -> None:
        self._own, theirs = pty.openpty()
        self._shell = subprocess.Popen(command, pass_fds=[theirs], preexec_fn=lambda: os.login_tty(theirs))
        os.close(theirs)

    @property
    def pid(self) -> int:
        """The shell's number."""
        return self._shell.pid

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._shell.wait()
        os.close(self._own)

    def type(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read until a pattern is on the screen."""
        seen, until = "", time.monotonic() + 30
        while not (found := re.search(pattern, seen, re.DOTALL)):
            ready, _, _ = select.select([self._own], [], [], max(0, until - time.monotonic()))
            assert ready, f"not seen: {pattern}\n{seen}"
            with contextlib.suppress(OSError):
                seen += os.read(self._own, 4096).decode(errors="replace").replace("\r", "")
        return found

    def completed(self, line: str) -> list[str]:
        """The words of a line after a tab; the shell itself tells them, in angle brackets."""
        self.type(f"{line}\t")
        self.type("\x01tell \n")  # to the beginning of the line
        told = self.wait_for(r"\n((?:<[^\n]*>\n)+)END").group(1)
        return [word[1:-1] for word in told.splitlines()]


TELL = "tell() { printf '<%s>\\n' \"$@\"; echo END; }"


@pytest.fixture
def bash(here):
    (here / "rc").write_text(
        f'PS1="> "\nbind "set bell-style none"\n{TELL}\neval "$(cnnspec completion bash)"\necho READY\n'
    )
    with Terminal(program("bash"), "--noprofile", "--rcfile", "rc", "-i") as terminal:
        terminal.wait_for("READY")
        yield terminal


@pytest.fixture
def zsh(here):
    (here / ".zshrc").write_text(
        "PS1='> '\nbindkey -e\nunsetopt beep zle_bracketed_paste 2>/dev/null\nautoload -Uz compinit\n"
        f'compinit -u -D\n{TELL}\neval "$(cnnspec completion zsh)"\necho READY\n'
    )
    with Terminal(program("zsh"), "-i") as terminal:
        terminal.wait_for("READY")
        yield terminal


def check_shell(terminal: Terminal) -> None:
    for line, expected in ALIKE:
        *before, _ = shlex.split(line)
        found = terminal.completed(line)  # zsh takes a slash off the end of a folder as the cursor leaves it
        assert [word.rstrip("/") for word in found] == [*before, *(word.rstrip("/") for word in expected)], (
            line
        )


OUTLIVED = """import sys, time
from tests.cli.test_completion import Terminal
shell = Terminal(*sys.argv[1:])
shell.type("echo RE''ADY\\n")
shell.wait_for("READY")
print(shell.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_does_not_outlive_the_tests(shell, here):
    command = [sys.executable, "-c", OUTLIVED, program(shell), "-i"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        stat = Path("/proc", process.stdout.readline().strip(), "stat")
        assert stat.exists()
        process.kill()
    until = time.monotonic() + 10
    while stat.exists() and ") Z " not in stat.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_bash_completes(bash):
    check_shell(bash)
    bash.type("cnnspec run net.cnn --set wid\t8 --set kern\t5")  # no blank behind `=`
    assert bash.completed("") == shlex.split("cnnspec run net.cnn --set width=8 --set kernel=5")
    bash.type("echo | cnnspec che\tnet\t--js\t; ")
    assert "cnnspec check net.cnn --json" in bash.wait_for(r"cnnspec che.*--json").group()


def test_bash_shows_what_there_is(bash):
    bash.type("cnnspec check --format \t\t")
    assert set(bash.wait_for(r"csv.*table").group().split()) == {
        "csv",
        "github",
        "json",
        "markdown",
        "sarif",
        "table",
    }


def test_zsh_completes(zsh):
    check_shell(zsh)
    zsh.type("cnnspec run net.cnn --set wid\t8 --set kern\t5")
    assert zsh.completed("") == shlex.split("cnnspec run net.cnn --set width=8 --set kernel=5")


def test_zsh_completes_from_its_folder_of_functions(here):
    """The same script as a file `_cnnspec`, with help beside each word."""
    (here / "functions").mkdir()
    (here / "functions" / "_cnnspec").write_text(SCRIPTS["zsh"])
    (here / ".zshrc").write_text(
        "PS1='> '\nbindkey -e\nunsetopt beep\nfpath=(~/functions $fpath)\nautoload -Uz compinit\n"
        "compinit -u -D\necho READY\n"
    )
    with Terminal(program("zsh"), "-i") as terminal:
        terminal.wait_for("READY")
        terminal.type("cnnspec f\t\t")
        terminal.wait_for("cnnspec fmt")
        terminal.type("--ch\t")
        terminal.wait_for("--check")


def test_fish_completes(here):
    (here / "script.fish").write_text(SCRIPTS["fish"])
    for line, expected in ALIKE:
        asked = f"source script.fish; complete -C {shlex.quote(line)}"
        out = subprocess.run([program("fish"), "-N", "-c", asked], capture_output=True, text=True, check=True)
        assert [one.partition("\t")[0] for one in out.stdout.splitlines()] == expected, line
        assert out.stderr == ""
    asked = "source script.fish; complete -C 'cnnspec check --js'"
    out = subprocess.run([program("fish"), "-N", "-c", asked], capture_output=True, text=True, check=True)
    assert out.stdout == "--json\tprint one JSON document instead of tables\n"
