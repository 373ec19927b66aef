"""What every command has in common: exit status, streams, wrong uses, pipes, interruption."""

import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnspec.cli.main import FINDINGS, INTERRUPTED, OK, USAGE, commands, main

ROOT = Path(__file__).parent.parent.parent
LENET = str(ROOT / "specs" / "lenet.cnn")
FAULTY = "network N {\n input 1x28x28\n conv 6 30x30\n}\n"


def run(*words, data=b"", **environment):
    """The real command in a process of its own; its output is bytes."""
    return subprocess.run(
        [sys.executable, "-m", "cnnspec", *words],
        input=data,
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment},
    )


@pytest.fixture
def status(capsys):
    """Calls the command in this process: exit status, stdout, stderr."""

    def call(*words):
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def faulty(tmp_path):
    path = tmp_path / "faulty.cnn"
    path.write_text(FAULTY, "utf-8")
    return str(path)


# --- exit status -----------------------------------------------------------------------------------------


def test_a_fine_file_exits_with_0(status):
    code, out, err = status("check", LENET)
    assert (code, err) == (OK, "")
    assert out.startswith("network LeNet\n")


def test_findings_exit_with_1_on_stderr(status, faulty):
    code, out, err = status("check", "--quiet", faulty)
    assert (code, out) == (FINDINGS, "")
    assert err.startswith("error[kernel-too-large]")


def test_the_command_itself_exits_with_its_status(faulty):
    assert run("check", LENET).returncode == OK
    assert run("check", faulty).returncode == FINDINGS
    assert run("chek").returncode == USAGE


@pytest.mark.parametrize("command", commands())
def test_help_has_examples_on_stdout(status, command):
    code, out, err = status(command, "--help")
    assert (code, err) == (OK, "")
    assert "examples:" in out
    assert f"cnnspec {command}" in out


def test_help_names_every_command(status):
    code, out, err = status("--help")
    assert (code, err) == (OK, "")
    assert all(f"\n  {command} " in out for command in commands())


def test_version(status):
    assert status("--version") == (OK, f"cnnspec {importlib.metadata.version('cnnspec')}\n", "")


def test_nothing_shows_the_help_as_a_usage_error(status):
    code, out, err = status()
    assert (code, out) == (USAGE, "")
    assert "commands:" in err


def test_an_unknown_command_suggests_one(status):
    code, out, err = status("chek")
    assert (code, out) == (USAGE, "")
    assert err == "error: there is no command `chek`\nhelp: did you mean `check`?\n"
    assert "help: the commands are bench, check, " in status("zzz")[2]


MISUSES = {
    ("check", LENET, "--depth", "0"): (
        "error: --depth: must be a number of at least 1, not `0`",
        "help: cnnspec check --help",
    ),
    ("check", LENET, "--layer", "conv9"): (
        "error: `LeNet` has no layer `conv9`",
        "help: did you mean `conv2` or `conv1`?",
    ),
    ("check", LENET, "--format", "jsn"): ("error: --format: there is no `jsn`", "help: did you mean `json`?"),
    ("check", LENET, "--emit", "ir"): (
        "error: --emit: there is no `ir`",
        "help: there is tree, graph, facts",
    ),
    ("check", LENET, "--memmory"): (
        "error: unrecognized arguments: --memmory",
        "help: did you mean `--memory`?",
    ),
    ("check", LENET, "--depth"): ("error: --depth: expected one argument", "help: cnnspec check --help"),
}


@pytest.mark.parametrize("words", MISUSES)
def test_a_misuse_is_told_alone_with_what_to_do(status, words):
    assert status(*words) == (USAGE, "", "\n".join(MISUSES[words]) + "\n")


@pytest.mark.parametrize("words", [("fmt",), ("diff", LENET), ("diff", LENET, LENET, LENET)])
def test_words_missing_or_too_many_also_show_how_all_is_written(status, words):
    code, out, err = status(*words)
    assert (code, out) == (USAGE, "")
    assert err.startswith("error: ")
    assert f"\nusage: cnnspec {words[0]} " in err
    assert err.endswith(f"help: cnnspec {words[0]} --help\n")


def test_a_setting_of_training_is_no_parameter_and_told_where_it_goes(status):
    code, _, err = status("check", "--quiet", LENET, "--set", "lr=1")
    assert code == FINDINGS
    assert (
        "help: `lr` is a setting of the `train` block: change it there, or by `cnnspec run --set lr=" in err
    )


WRONG = [
    ["zzz"],
    [""],
    ["-"],
    ["--"],
    ["--zzz"],
    ["--json"],
    ["-x"],
    ["CHECK", LENET],
    ["check"],
    ["check", ""],
    ["check", "--zzz", LENET],
    ["check", "--emit"],
    ["check", "--emit", "zzz", LENET],
    ["check", "nothing.cnn"],
    ["check", "."],
    ["check", "/dev/null"],
    ["check", "\0"],
    ["check", "a" * 5000],
    ["check", "\udcff.cnn"],
    ["check", "--jso", LENET],
    ["check", "--quiet=1", LENET],
    ["check", "--json", "nothing.cnn"],
    ["check", "é\x1b[31m"],
    ["check", "--set", LENET],
    ["check", "--set", "zzz", LENET],
    ["check", "--set", "=1", LENET],
    ["check", "--set", "a=", LENET],
    ["check", "--set", "a=1", LENET],
    ["check", "--set", "a=1\n}", LENET],
    ["check", "--set", "a=1/0", LENET],
    ["check", "--set", "a=" + "(" * 100, LENET],
    ["check", sys.executable],
    *([command] for command in commands() if command != "runs"),  # which is content with none
    *([command, "--zzz"] for command in commands()),
    *([command, "nothing.cnn"] for command in commands()),
    *([command, "."] for command in commands() if command != "runs"),
]


@pytest.mark.parametrize("words", WRONG, ids=range(len(WRONG)))
def test_wrong_uses_end_in_words(status, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = status(*words)
    assert code in (FINDINGS, USAGE)
    assert not out or "--json" in words or LENET in words
    assert err.strip()
    assert "Traceback" not in err
    assert "internal error" not in err
    assert "\x1b" not in err


# --- streams ---------------------------------------------------------------------------------------------


def test_claims_are_written_in_one_go():
    """Also at the end of a statement that shared its line until it was formatted."""
    text = b"network N{input 1x8x8\nconv 4 3x3->relu\ndense 10 -> softmax}"
    once = run("fmt", "--shapes", "-", data=text).stdout
    assert b"conv 4 3x3 -> relu  : 4x6x6\n" in once
    assert b"dense 10 -> softmax : 10\n" in once
    assert run("fmt", "--shapes", "-", data=once).stdout == once


def test_a_dash_reads_stdin():
    result = run("check", "-", data=FAULTY.encode())
    assert result.returncode == FINDINGS
    assert b"--> <stdin>:3:9" in result.stderr


def test_colours_are_for_terminals_only(status, faulty):
    assert "\x1b" not in status("check", faulty)[2]


@pytest.mark.parametrize(
    ("environment", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_no_color_is_obeyed_on_a_terminal(faulty, environment, colored):
    pty = pytest.importorskip("pty")
    parent, child = pty.openpty()
    plain = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnspec", "check", "--quiet", faulty],
        stderr=child,
        env={**plain, "TERM": "xterm", **environment},
    )
    assert process.wait(30) == FINDINGS
    os.close(child)
    written = os.read(parent, 65536)
    os.close(parent)
    assert (b"\x1b[" in written) == colored


def test_a_closed_pipe_ends_quietly():
    """As with `| head -1`: the reader goes away while there is more to print."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnspec", "check", "--emit", "tree", *[LENET] * 60],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"File\n"
    process.stdout.close()
    assert process.wait(30) in (OK, FINDINGS)
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_full_disk_is_reported():
    if not os.path.exists("/dev/full"):
        return
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "cnnspec", "check", LENET], stdout=full, stderr=subprocess.PIPE, timeout=60
        )
    assert result.returncode == FINDINGS
    assert b"no space left on device" in result.stderr.lower()
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed, faulty):
    """What a shell closes, Python gives as no stream at all."""
    line = f'exec "$0" -m cnnspec check "$1" {closed}'
    result = subprocess.run(["sh", "-c", line, sys.executable, faulty], capture_output=True, timeout=60)
    assert result.returncode == FINDINGS
    assert b"internal error" not in result.stdout + result.stderr
    assert (result.stdout == b"") == (" >&-" in f" {closed}")
    assert (result.stderr == b"") == ("2>&-" in closed)


def test_an_interruption_exits_with_130():
    process = subprocess.Popen(
        [sys.executable, "-m", "cnnspec", "check", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _wait_until_it_reads(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == INTERRUPTED
    assert process.stderr.read() == b"interrupted\n"
    process.stdin.close()
    process.stderr.close()


def _wait_until_it_reads(process):
    """Until the command sleeps in a read of its input; where that cannot be seen, for two seconds."""
    for _ in range(200):
        time.sleep(0.01)
        try:
            if "pipe" in Path(f"/proc/{process.pid}/wchan").read_text("ascii"):
                return
        except OSError:
            break
    time.sleep(2)


def test_other_scripts_are_printed_in_the_c_locale(tmp_path):
    path = tmp_path / "netz.cnn"
    path.write_text("network N {\n input 4\n dense größe # 日本\n}\n", "utf-8")
    result = run(
        "check", str(path), LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii"
    )
    assert result.returncode == FINDINGS
    assert b"has no meaning in the language" in result.stderr
    assert b"Traceback" not in result.stderr
    assert result.stderr.isascii()


def test_the_module_and_the_script_are_the_same_command():
    script = Path(sys.executable).parent / "cnnspec"
    if script.exists():
        direct = subprocess.run([script, "check", LENET], capture_output=True, timeout=60)
        assert direct.stdout == run("check", LENET).stdout
