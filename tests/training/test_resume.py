"""Going on with a run as a person does: stopped by hand, with another file, elsewhere, for longer."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cnnspec.numpy_backend.processes import can_fork
from tests.training.resuming import SPEC, called, digests, words, write_spec

BLOCKS = """block stage(channels) {
    conv channels 3x3 -> relu
}
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs in `half`, one of four in `whole`."""
    here = tmp_path_factory.mktemp("resume")
    write_spec(here, 2)
    for out, epochs in (("half", "2"), ("whole", "4")):
        result = called(here, "run", "small.cnn", "--out", out, "--epochs", epochs, "--quiet")
        assert result.returncode == 0, result.stderr
    return here


@pytest.fixture
def here(origin: Path, tmp_path: Path) -> Path:
    write_spec(tmp_path, 2)
    (tmp_path / "runs").mkdir()
    shutil.copytree(origin / "half", tmp_path / "runs" / "Small-1")
    return tmp_path


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


# --- what the command understands -------------------------------------------------------------------------

RUN = "runs/Small-1"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--resume", RUN, "--epochs", "4"],
        ["small.cnn", "--resume", "--epochs", "4"],
        ["--resume", "small.cnn", "--epochs", "4"],
        ["small.cnn", "--resume", "--out", RUN, "--epochs", "4"],
        ["longer.cnn", "--resume", RUN],
    ],
)
def test_a_run_goes_on_for_longer_as_if_it_was_meant_to(arguments: list[str], here: Path, origin: Path):
    longer = SPEC.replace("EPOCHS", "4").replace("input", "# the digits\n    input")
    (here / "longer.cnn").write_text(longer)  # a comment does not count
    result = called(here, "run", *arguments)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "goes on in runs/Small-1 in epoch 3, from its beginning" in result.stdout
    assert digests(here / RUN) == digests(origin / "whole")
    after = record(here / RUN)
    assert after["status"] == "finished"
    assert [session["epoch"] for session in after["sessions"]] == [1, 3]
    assert after["recipe"]["epochs"] == 4
    assert len((here / RUN / "times.csv").read_text().splitlines()) == 5


def test_a_run_that_is_over_says_so(here: Path):
    before = digests(here / RUN)
    result = called(here, "run", "--resume", RUN)
    assert (result.returncode, result.stderr) == (0, "")
    assert "all of its 2 epochs are done; --epochs 4 would go on with it" in result.stdout
    assert digests(here / RUN) == before
    result = called(here, "run", "--resume", RUN, "--epochs", "1")
    assert result.returncode == 1
    assert "has 2 epochs already, more than 1" in result.stderr


def test_a_run_that_ends_early_says_why_and_is_over(here: Path):
    text = SPEC.replace("lr=0.05", "lr=0.000001").replace(
        "checkpoint every=1", "stop patience=2 metric=test_accuracy"
    )
    write_spec(here, 50, text)
    result = called(here, "run", "small.cnn", "--out", "early")
    assert result.returncode == 0, result.stderr
    assert "ended early    test accuracy was best in epoch " in result.stdout
    done = len((here / "early" / "metrics.csv").read_text().splitlines()) - 1
    assert done < 50
    result = called(here, "run", "--resume", "early")
    assert f"early: it ended after {done} epochs: test accuracy was best in epoch {done - 2}" in result.stdout


def test_what_has_not_begun_begins(here: Path, origin: Path):
    result = called(here, "run", "small.cnn", "--resume", "--out", "new", "--quiet")
    assert result.returncode == 0
    assert "note: there is no run of Small in new yet: it begins" in result.stderr
    assert digests(here / "new") == digests(origin / "half")


CHANGES = {
    "another layer": (SPEC.replace("conv 4", "conv 5"), [], "conv1: changed, what conv 4 3x3 -> conv 5 3x3"),
    "another optimizer": (
        SPEC.replace("0.9", "0.8"),
        [],
        "optimizer: sgd lr=0.05 momentum=0.9 -> sgd lr=0.05",
    ),
    "another seed": (SPEC, ["--seed", "3"], "seed: 0 -> 3"),
    "another batch": (SPEC, ["--batch", "7"], "batch: 100 -> 7"),
    "other data": (SPEC, ["--data", "mnist"], "data: digits normalize=true -> mnist"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_run_that_would_not_be_the_same_is_refused(case: str, here: Path):
    text, options, message = CHANGES[case]
    before = digests(here / RUN)
    write_spec(here, 2, text)
    result = called(here, "run", "small.cnn", "--resume", "--epochs", "4", *options)
    assert result.returncode == 1
    assert "error: this is not what the run of Small began with:" in result.stderr
    assert message in result.stderr
    assert "help: undo that, or begin a new run" in result.stderr
    assert digests(here / RUN) == before


def test_a_record_that_was_changed_is_noticed(here: Path):
    path = here / RUN / "run.json"
    path.write_text(path.read_text().replace("conv 4 3x3", "conv 4 5x5"))
    result = called(here, "run", "--resume", RUN, "--epochs", "4")
    assert result.returncode == 1
    assert "run.json does not belong to the checkpoint beside it" in result.stderr


def test_another_machine_is_noticed_and_said(here: Path, origin: Path):
    """The number of workers stays, so that the bits do; what cannot be kept is named."""
    path = here / RUN / "run.json"
    changed = record(here / RUN)
    changed["threads"] |= {"cpus": 64, "numpy": "1.0"}
    path.write_text(json.dumps(changed))
    result = called(here, "run", "--resume", RUN, "--epochs", "4")
    assert result.returncode == 0
    assert "and the run had 64: it goes on with 1 worker as before" in result.stderr
    assert "NumPy was 1.0, is " in result.stderr
    assert "the last digits may differ" in result.stderr
    assert digests(here / RUN)["weights.safetensors"] == digests(origin / "whole")["weights.safetensors"]


def test_other_data_are_noticed(here: Path):
    path = here / RUN / "run.json"
    changed = record(here / RUN)
    changed["preparation"]["labels"] = "0" * 64
    path.write_text(json.dumps(changed))
    result = called(here, "run", "--resume", RUN, "--epochs", "4")
    assert result.returncode == 1
    assert "the data are not those that this run began with: labels 000" in result.stderr


def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(here: Path, origin: Path):
    path = here / RUN / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    result = called(here, "run", "--resume", RUN, "--epochs", "4")
    assert result.returncode == 0
    assert "checkpoint.safetensors is damaged: its checksum is not that of its content" in result.stderr
    assert "going on from runs/Small-1/checkpoint.previous.safetensors" in result.stderr
    assert digests(here / RUN) == digests(origin / "whole")


def test_two_damaged_checkpoints_end_it(here: Path):
    for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (here / RUN / name).write_bytes(b"")
    result = called(here, "run", "--resume", RUN, "--epochs", "4")
    assert result.returncode == 1
    assert "checkpoint.previous.safetensors is damaged: it is empty" in result.stderr
    assert "help: the run cannot go on; begin it anew" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "which run is to go on?"),
        (["--resume", "nowhere"], "there is no folder `nowhere` with a run"),
        (["small.cnn", "--resume", "nowhere"], "there is no folder `nowhere` with a run"),
        (["small.cnn", "--resume", "small.cnn"], "there is no folder `small.cnn` with a run"),
        (["--resume", RUN, "--out", "b"], f"the run in `{RUN}` goes on where it is, not in `b`"),
        ([RUN], f"help: go on with it by cnnspec run --resume {RUN}"),
        (["--resume", "runs"], "cannot read runs/run.json: no such file or directory"),
        ([], "a FILE is needed"),
    ],
)
def test_a_wrong_use_is_one_clear_message(arguments: list[str], message: str, here: Path):
    result = called(here, "run", *arguments)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_files_that_a_file_uses_go_with_the_run(here: Path):
    text = SPEC.replace("EPOCHS", "1").replace("conv 4 3x3 -> batchnorm -> relu", "stage width")
    text = 'use "parts/blocks.cnn"\n' + text.replace("Small {", "Small(width=3) {")
    (here / "parts").mkdir()
    (here / "parts" / "blocks.cnn").write_text(BLOCKS)
    (here / "uses.cnn").write_text(text)
    result = called(here, "run", "uses.cnn", "--set", "width=4", "--out", "uses")
    assert result.returncode == 0, result.stderr
    (here / "uses.cnn").unlink()
    (here / "parts" / "blocks.cnn").unlink()
    result = called(here, "run", "--resume", "uses", "--epochs", "2")
    assert result.returncode == 0, result.stderr
    assert record(here / "uses")["spec"]["uses"] == {"parts/blocks.cnn": BLOCKS}
    assert record(here / "uses")["parameters"] == {"width": "4"}


# --- stopped by hand --------------------------------------------------------------------------------------


def stopped(here: Path, number: int, again: bool = False) -> tuple[int, str]:
    command = words("small.cnn", "--out", "out", "--epochs", "100000")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=here, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("    2 "):
            assert process.poll() is None
        process.send_signal(number)
        if again:
            time.sleep(0.001)
            process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_batch_saves_and_exits(number: int, here: Path):
    status, stderr = stopped(here, number)
    assert status == 130
    assert "stopping after this batch; once more stops at once" in stderr
    assert "interrupted: out is saved after " in stderr
    assert "help: cnnspec run --resume out" in stderr
    assert "Traceback" not in stderr
    assert record(here / "out")["status"] == "interrupted"
    done = len((here / "out" / "metrics.csv").read_text().splitlines()) - 1
    assert called(here, "run", "--resume", "out", "--epochs", str(done + 1)).returncode == 0
    assert called(here, "run", "small.cnn", "--out", "other", "--epochs", str(done + 1)).returncode == 0
    assert digests(here / "out") == digests(here / "other")


def test_a_second_signal_stops_at_once(here: Path):
    status, stderr = stopped(here, signal.SIGINT, again=True)
    assert status == 130
    assert "Traceback" not in stderr
    done = len((here / "out" / "metrics.csv").read_text().splitlines()) - 1
    assert called(here, "run", "--resume", "out", "--epochs", str(done + 1)).returncode == 0


def test_two_processes_do_not_share_a_folder(here: Path):
    command = words("small.cnn", "--out", "out", "--epochs", "100000")
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("    1 "):
            assert process.poll() is None
        result = called(here, "run", "--resume", "out")
        process.kill()
    assert result.returncode == 1
    assert "another process is training in out" in result.stderr


def shared_by_two(here: Path) -> None:
    """A run of one epoch in `out`, which goes on with two workers."""
    assert called(here, "run", "small.cnn", "--out", "out", "--epochs", "1", "--quiet").returncode == 0
    path = here / "out" / "run.json"
    kept = json.loads(path.read_text())
    kept["threads"] |= {"workers": 2, "micro_batch": 50}
    path.write_text(json.dumps(kept))


def children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.skipif(not can_fork(), reason="workers are threads")
def test_a_worker_process_that_is_killed_costs_no_more_than_what_came_after_the_last_checkpoint(here: Path):
    shared_by_two(here)
    command = words("--resume", "out", "--epochs", "100000")
    with subprocess.Popen(
        command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("    2 "):
            assert process.poll() is None
        (worker,) = children(process.pid)
        os.kill(worker, signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    error, note, help = (
        line for line in stderr.splitlines() if line.startswith(("error", "note: out", "help"))
    )
    assert error == "error: a worker process was ended from outside, as the system does when memory is short"
    assert note.startswith("note: out is saved after ")
    assert help == "help: cnnspec run --resume out"
    assert "Traceback" not in stderr
    assert record(here / "out")["status"] == "failed"
    done = len((here / "out" / "metrics.csv").read_text().splitlines()) - 1
    assert done >= 2
    assert called(here, "run", "--resume", "out", "--epochs", str(done + 1)).returncode == 0
    sessions = record(here / "out")["sessions"]
    assert sessions[-1]["epoch"] == done + 1
