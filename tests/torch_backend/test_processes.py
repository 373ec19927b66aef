"""Several processes that torchrun starts: the same weights, and nothing lost with one of them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors.numpy import load_file

from cnnspec.training.run_folder import RunFolder
from tests.torch_backend.support import assert_near
from tests.torch_backend.test_run import PLAIN, metrics
from tests.training.resuming import called, write_spec

PATIENCE = 240.0
LAST_OF_ONE = PLAIN.replace("batch 100", "batch 102")
"""The last of 15 batches has 9 images, so that shares differ."""


def torchrun(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options, "-m", "cnnspec", "run", "small.cnn"]


def begin(here: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(words, cwd=here, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    """Its output, once it has ended well."""
    try:
        out, error = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, error
    return out


def assert_same_weights(one: Path, other: Path):
    """To 1e-5, and the losses to 1e-3."""
    for name in ("weights.safetensors", "checkpoint.safetensors"):
        assert_near(load_file(one / name), load_file(other / name), 1e-5)
    np.testing.assert_allclose(metrics(other), metrics(one), atol=1e-3)


def test_two_processes_come_to_the_weights_of_one_and_of_numpy(tmp_path: Path):
    write_spec(tmp_path, 1, LAST_OF_ONE)
    two = begin(
        tmp_path, *torchrun("--standalone", "--nproc-per-node", "2"), "--backend", "torch", "--out", "two"
    )
    for out, options in (("numpy", []), ("one", ["--backend", "torch"])):
        assert called(tmp_path, "run", "small.cnn", "--out", out, "--quiet", *options).returncode == 0
    said = ended(two)
    assert said.count("1,437 images to train") == 1  # the other process is silent
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    assert_same_weights(tmp_path / "numpy", tmp_path / "two")
    record = json.loads((tmp_path / "two" / "run.json").read_text())
    assert (record["status"], record["threads"]["workers"]) == ("finished", 2)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.campaign
def test_two_nodes_come_to_the_weights_of_one_process(tmp_path: Path):
    """On the loopback address, each with two processes."""
    write_spec(tmp_path, 1, LAST_OF_ONE)
    meeting = ["--rdzv-id", "some", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}"]
    nodes = ["--nnodes", "2", "--nproc-per-node", "2", "--local-addr", "127.0.0.1", *meeting]
    words = [*torchrun(*nodes), "--backend", "torch", "--out", "four"]
    both = [begin(tmp_path, *words) for _ in range(2)]
    said = [ended(one) for one in both]
    assert sorted(map(bool, said)) == [False, True]
    assert called(tmp_path, "run", "small.cnn", "--out", "one", "--quiet").returncode == 0
    assert_same_weights(tmp_path / "one", tmp_path / "four")


def worker(here: Path, rank: int) -> int:
    """The process of a number, of those that torchrun has started in a folder."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                own = (path / "cwd").resolve() == here.resolve()
                words = (path / "environ").read_bytes().split(b"\0") if own else []
            except OSError:  # it has ended meanwhile, or is another user's
                continue
            if f"RANK={rank}".encode() in words:
                return int(path.name)
    raise AssertionError(f"there is no process {rank}")


def wait_for_epochs(folder: Path, count: int, process: subprocess.Popen[str]):
    until = time.monotonic() + PATIENCE
    path = folder / "metrics.csv"
    while not path.exists() or len(path.read_text().splitlines()) <= count:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_process_costs_no_more_than_what_came_after_the_last_checkpoint(rank: int, tmp_path: Path):
    """torchrun starts all of them again, and the run ends as if nothing had been."""
    write_spec(tmp_path, 30, PLAIN)
    options = ["--standalone", "--nproc-per-node", "2", "--max-restarts", "2"]
    process = begin(tmp_path, *torchrun(*options), "--backend", "torch", "--out", "out")
    wait_for_epochs(tmp_path / "out", 3, process)
    checkpoint, _ = RunFolder(tmp_path / "out").latest_checkpoint()
    assert checkpoint is not None
    os.kill(worker(tmp_path, rank), signal.SIGKILL)
    saved = checkpoint.about.position
    ended(process)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    first, second = record["sessions"]
    assert (first["epoch"], first["batch"]) == (1, 0)
    assert (second["epoch"], second["batch"]) >= (saved.epoch, saved.batch)
    assert called(tmp_path, "run", "small.cnn", "--backend", "torch", "--out", "whole").returncode == 0
    assert_near(
        load_file(tmp_path / "whole" / "weights.safetensors"),
        load_file(tmp_path / "out" / "weights.safetensors"),
        1e-2,
    )
    assert metrics(tmp_path / "out").shape[0] == 30


@pytest.mark.campaign
def test_a_signal_saves_the_run_once(tmp_path: Path):
    """All processes have it, as Ctrl-C on a terminal has it."""
    write_spec(tmp_path, 100000, PLAIN)
    words = [*torchrun("--standalone", "--nproc-per-node", "2"), "--backend", "torch", "--out", "out"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        wait_for_epochs(tmp_path / "out", 2, process)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE)
    assert error.count("interrupted: out is saved after") == 1
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "interrupted"
    done = len((tmp_path / "out" / "metrics.csv").read_text().splitlines()) - 1
    result = called(tmp_path, "run", "--resume", "out", "--epochs", str(done + 1))
    assert result.returncode == 0
    assert "the number of processes was 2, is 1" in result.stderr
