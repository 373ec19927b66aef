"""`cnnspec run` as a person uses it, right and wrong: in a process of its own where that can matter."""

import contextlib
import csv
import json
import os
import resource
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.training.idx_files import write_set
from tests.training.resuming import called

SPEC = """network Small {
    input 1x8x8
    conv 4 3x3 -> relu
    maxpool 2x2
    dense 10 -> softmax
}

train {
    data digits normalize=true
    optimizer sgd lr=LR momentum=0.9
    init xavier_uniform
    batch 50
    epochs 3
}
"""
FILES = [
    "best.safetensors",
    "checkpoint.previous.safetensors",
    "checkpoint.safetensors",
    "curves.svg",
    "metrics.csv",
    "metrics.jsonl",
    "run.json",
    "times.csv",
    "weights.safetensors",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CNNSPEC_DATA_DIR", raising=False)
    for name, value in private(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "small.cnn").write_text(SPEC.replace("LR", "0.05"))
    (tmp_path / "wild.cnn").write_text(SPEC.replace("LR", "1e17"))
    (tmp_path / "broken.cnn").write_text("network Broken {\n    input 1x8x8\n    conv 4 9x9\n}\n")
    (tmp_path / "large.cnn").write_text(SPEC.replace("LR", "0.1").replace("1x8x8", "1x28x28"))
    (tmp_path / "seven.cnn").write_text(SPEC.replace("LR", "0.1").replace("dense 10", "dense 7"))
    (tmp_path / "cube.cnn").write_text(SPEC.replace("LR", "0.1").replace("digits", "digits resize=8x8x8"))
    (tmp_path / "binary.cnn").write_bytes(b"\xff\xfe\x00network")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    return tmp_path


def private(here: Path) -> dict[str, str]:
    """No cache or home of the person who runs the tests."""
    return {"XDG_CACHE_HOME": str(here / "cache"), "HOME": str(here), "PYTHONWARNINGS": "error"}


def command(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`cnnspec run` in this process, which is much faster."""
    return called(here, "run", *arguments)


def in_a_process(here: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """`cnnspec run` in a process of its own."""
    words = [sys.executable, "-m", "cnnspec", "run", *arguments]
    return subprocess.run(words, cwd=here, capture_output=True, text=True, timeout=120, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_files_and_says_so(here: Path):
    result = in_a_process(here, "small.cnn")
    assert result.returncode == 0
    assert result.stderr == ""
    folder = here / "runs" / "Small-1"
    assert names(folder) == sorted([*FILES, "report.html"])
    assert [row["epoch"] for row in rows(folder)] == ["1", "2", "3"]
    lines = result.stdout.splitlines()
    assert lines[0] == "Small on digits: 410 parameters, 1,437 images to train, 360 to test"
    assert lines[1] == "sgd lr=0.05 momentum=0.9, batch 50, xavier_uniform, seed 0, 3 epochs"
    assert lines[2] == "epoch  train loss  train acc  test loss  test acc  images/s"
    assert [line.split()[0] for line in lines[3:6]] == ["1", "2", "3"]
    assert lines[7].startswith(
        f"test accuracy  {float(rows(folder)[-1]['test_accuracy']):.4f} after 3 epochs"
    )
    assert lines[9].startswith("run folder     runs/Small-1")
    assert lines[10] == "next           cnnspec evaluate runs/Small-1"
    assert lines[11] == "               cnnspec predict runs/Small-1 IMAGE.png"
    assert "\x1b" not in result.stdout
    assert "\r" not in result.stdout


def test_the_record_says_what_was_run_and_how_it_went(here: Path):
    command(here, "small.cnn", "--epochs", "2", "--batch", "100", "--seed", "7", "--out", "first")
    record = json.loads((here / "first" / "run.json").read_text())
    last = rows(here / "first")[-1]
    assert record["schema"] == "cnnspec.run/1"
    assert record["status"] == "finished"
    assert record["spec"] == {"file": "small.cnn", "text": (here / "small.cnn").read_text(), "uses": {}}
    assert record["params"] == 410
    assert record["recipe"] == {
        "data": "digits normalize=true",
        "loss": "cross_entropy",
        "optimizer": "sgd lr=0.05 momentum=0.9",
        "schedule": "constant",
        "init": "xavier_uniform",
        "keep": "keep",
        "batch": 100,
        "epochs": 2,
        "seed": 7,
    }
    assert set(record["versions"]) == {"cnnspec", "numpy", "python"}
    assert record["threads"]["workers"] >= 1
    assert record["epochs_finished"] == 2
    assert record["final"]["test_accuracy"] == pytest.approx(float(last["test_accuracy"]), abs=1e-6)
    assert record["timing"]["total_seconds"] > 0
    ElementTree.parse(here / "first" / "curves.svg")
    weights = load_file(here / "first" / "weights.safetensors")
    assert {name: array.shape for name, array in weights.items()} == {
        "conv1.weight": (4, 1, 3, 3),
        "conv1.bias": (4,),
        "dense1.weight": (10, 36),
        "dense1.bias": (10,),
    }


def test_quiet_prints_the_folder_alone(here: Path):
    result = command(here, "small.cnn", "--quiet", "--epochs", "1")
    assert result.stdout == "runs/Small-1\n"
    assert result.stderr == ""


def test_the_same_seed_gives_the_same_weights_and_another_one_others(here: Path):
    for out, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        command(here, "small.cnn", "-q", "--epochs", "1", "--seed", seed, "--out", out)
    a, b, c = ((here / out / "weights.safetensors").read_bytes() for out in "abc")
    assert a == b
    assert a != c


def test_another_data_set_keeps_the_options_of_the_file(here: Path):
    write_set(here / "data" / "fashion-mnist")
    spec = SPEC.replace("LR", "0.1").replace("digits", "digits resize=8x8")
    (here / "resized.cnn").write_text(spec)
    result = command(here, "resized.cnn", "--data", "fashion_mnist", "--data-dir", "data", "--out", "out")
    assert result.returncode == 0, result.stderr
    record = json.loads((here / "out" / "run.json").read_text())
    assert record["recipe"]["data"] == "fashion_mnist resize=8x8 normalize=true"
    assert record["images"] == {"train": 30, "test": 10}


def test_a_file_without_a_train_block_trains_on_the_digits(here: Path):
    (here / "bare.cnn").write_text(SPEC.partition("train")[0])
    assert command(here, "bare.cnn", "--epochs", "1").returncode == 0


def test_the_standard_input_is_a_file(here: Path):
    result = in_a_process(here, "-", "--epochs", "1", input=(here / "small.cnn").read_text())
    assert result.returncode == 0
    assert json.loads((here / "runs" / "Small-1" / "run.json").read_text())["spec"]["file"] == "<stdin>"


# --- wrong uses -------------------------------------------------------------------------------------------

WRONG = {
    "no file": ([], 2, "error: a FILE is needed, or --resume with the folder of a run"),
    "no epochs": (["small.cnn", "--epochs", "0"], 2, "error: --epochs: must be at least 1, not 0"),
    "many epochs": (["small.cnn", "--epochs", "many"], 2, "must be a whole number, not 'many'"),
    "half a batch": (["small.cnn", "--batch", "0.5"], 2, "error: --batch: must be a whole number"),
    "a negative batch": (["small.cnn", "--batch=-3"], 2, "error: --batch: must be at least 1, not -3"),
    "a vast batch": (["small.cnn", "--batch", "9" * 400], 2, "error: --batch: must be a whole number"),
    "a negative seed": (["small.cnn", "--seed=-1"], 2, "error: --seed: must be at least 0, not -1"),
    "an unknown option": (["small.cnn", "--epoch", "3"], 2, "help: did you mean `--epochs`?"),
    "an unknown data set": (
        ["small.cnn", "--data", "mnits"],
        2,
        "there is no data set `mnits`\nhelp: did you mean `mnist` or `kmnist`?",
    ),
    "a missing file": (["smal.cnn"], 1, "there is no file `smal.cnn`"),
    "a folder": (["full"], 1, "`full` is a folder"),
    "no text": (["binary.cnn"], 1, "not text in UTF-8"),
    "a broken network": (["broken.cnn"], 1, "kernel 9x9 does not fit the 8x8 map"),
    "another input shape": (["large.cnn"], 1, "a sample of `digits` is 1x8x8, and the network takes 1x28x28"),
    "another number of classes": (["seven.cnn"], 1, "`digits` has 10 classes, and the output is 7"),
    "a data set of another shape": (
        ["small.cnn", "--data", "mnist"],
        1,
        "a sample of `mnist` is 1x28x28, and the network takes 1x8x8",
    ),
    "a size of three numbers": (
        ["cube.cnn"],
        1,
        "`resize` must be one number, or height and width, not `8x8x8`",
    ),
    "a folder that is not empty": (["small.cnn", "--out", "full"], 1, "error: the folder full is not empty"),
    "a file for a folder": (["small.cnn", "--out", "file"], 1, "error: file is a file: a run needs a folder"),
    "a folder in a file": (
        ["small.cnn", "--out", "file/run"],
        1,
        "error: cannot write file/run: not a directory",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_use_is_one_clear_message(case: str, here: Path):
    arguments, status, message = WRONG[case]
    before = names(here)
    result = command(here, *arguments)
    assert result.returncode == status
    assert message in result.stderr
    assert result.stdout == ""
    assert_calm(result.stderr)
    assert names(here) == before, "nothing is left behind"


def assert_calm(stderr: str) -> None:
    assert "Traceback" not in stderr
    assert "internal error" not in stderr
    assert "Warning" not in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-dir", "nowhere"], "error: the data folder nowhere does not exist"),
        (["--data-dir", "damaged"], "train-images-idx3-ubyte.gz: ends after"),
    ],
)
def test_data_that_cannot_be_had_are_one_clear_message(arguments: list[str], message: str, here: Path):
    write_set(here / "damaged", train_images_idx3_ubyte=bytes.fromhex("000008030000001e0000001c0000001c00"))
    (here / "mnist.cnn").write_text(SPEC.replace("LR", "0.1").replace("digits", "mnist resize=8x8"))
    before = names(here)
    result = command(here, "mnist.cnn", *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert_calm(result.stderr)
    assert names(here) == before


def test_a_run_that_diverges_says_where_and_keeps_what_was_good(here: Path):
    result = in_a_process(here, "wild.cnn", "--out", "out")
    assert result.returncode == 1
    assert "training has diverged" in result.stderr
    assert "epoch 1, batch" in result.stderr
    assert "help: try a smaller learning rate" in result.stderr
    assert_calm(result.stderr)
    record = json.loads((here / "out" / "run.json").read_text())
    assert record["status"] == "diverged"
    assert "training has diverged" in record["error"]
    assert names(here / "out") == ["metrics.csv", "metrics.jsonl", "run.json", "times.csv"]


@pytest.mark.parametrize("most", [200, 900, 1500])
def test_a_full_disk_is_one_clear_message_and_leaves_no_half_file(most: int, here: Path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    (here / "out").mkdir()
    result = in_a_process(here, "small.cnn", "--out", "out", preexec_fn=limit)
    assert result.returncode == 1
    assert "error: cannot write out/" in result.stderr
    assert "file too large" in result.stderr
    assert_calm(result.stderr)
    for name in names(here / "out"):
        assert not name.startswith(".")
    if "run.json" in names(here / "out"):
        json.loads((here / "out" / "run.json").read_text())


def test_a_run_that_does_not_fit_is_refused_before_it_begins(here: Path):
    (here / "huge.cnn").write_text(
        "network Huge {\n    input 1x8x8\n    dense 4_000_000 -> relu\n    dense 1_000_000 -> relu\n"
        "    dense 10 -> softmax\n}\ntrain { \n data digits\n }\n"
    )
    result = command(here, "huge.cnn")
    assert result.returncode == 1
    assert "a batch of 64 needs" in result.stderr
    assert "the layer that needs most is `dense2`" in result.stderr
    assert "not even a batch of 1 fits" in result.stderr
    assert_calm(result.stderr)
    assert not (here / "runs").exists()


def test_an_interruption_keeps_the_finished_epochs(here: Path):
    words = [sys.executable, "-m", "cnnspec", "run", "small.cnn", "--epochs", "100000", "--out", "out"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=here, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("    2 "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted: out is saved after " in stderr
    assert_calm(stderr)
    assert names(here / "out") == FILES
    record = json.loads((here / "out" / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert record["epochs_finished"] == len(rows(here / "out")) >= 2


def test_a_closed_pipe_is_no_traceback(here: Path):
    line = f"{sys.executable} -m cnnspec run small.cnn --epochs 200 | head -1"
    result = subprocess.run(line, shell=True, cwd=here, capture_output=True, text=True, timeout=120)
    assert result.stdout.startswith("Small on digits")
    assert_calm(result.stderr)


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_live_bar_and_its_cursor_back(no_color: bool, here: Path):
    shown = on_terminal(here, {"NO_COLOR": "1"} if no_color else {})
    assert "epoch 1/2" in shown
    assert "test accuracy  0." in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0
    assert ("\x1b[9" not in shown and "\x1b[3" not in shown) == no_color


def on_terminal(here: Path, variables: dict[str, str]) -> str:
    """What two epochs write to a terminal."""
    pty = pytest.importorskip("pty")
    terminal, end = pty.openpty()
    words = [sys.executable, "-m", "cnnspec", "run", "small.cnn", "--epochs", "2"]
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        words, cwd=here, env={**plain, "TERM": "xterm-256color", **variables}, stdout=end
    ) as process:
        os.close(end)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while chunk := os.read(terminal, 4096):
                shown += chunk
    os.close(terminal)
    assert process.returncode == 0
    return shown.decode()


BARE = "network Bare {\n    input 1x8x8\n    dense 10 -> softmax\n}\n"


@pytest.mark.parametrize(
    ("options", "data", "choose"),
    [
        ((), " from `digits`", "--data NAME and --set NAME=VALUE"),
        (("--data", "digits limit=20"), "", "--set NAME=VALUE"),
    ],
)
def test_a_file_without_a_train_block_is_told_what_it_learns_from(options, data, choose, tmp_path: Path):
    (tmp_path / "bare.cnn").write_text(BARE)
    result = called(tmp_path, "run", "bare.cnn", "--epochs", "1", *options)
    assert result.returncode == 0
    assert result.stderr == (
        f"note: bare.cnn has no `train` block: it learns{data} by default settings\n"
        f"help: `cnnspec explain train` shows such a block; {choose} choose without one\n"
    )
    quiet = called(tmp_path, "run", "bare.cnn", "--epochs", "1", "--quiet", *options)
    assert (quiet.returncode, quiet.stderr) == (0, "")
