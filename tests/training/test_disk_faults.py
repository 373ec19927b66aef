"""Disks that are full, cannot be written or vanish while a run writes: told clearly, and nothing lost."""

import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnspec.training.run_folder import RunFolder
from tests.training.resuming import called, digests, train, words, write_spec

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, and what it comes to after four."""
    here = tmp_path_factory.mktemp("disk")
    write_spec(here, 2)
    for out, epochs in (("half", "2"), ("whole", "4")):
        result = called(here, "run", "small.cnn", "--out", out, "--epochs", epochs, "--quiet")
        assert result.returncode == 0, result.stderr
    return here


def copied(here: Path, tmp_path: Path) -> Path:
    shutil.copytree(here / "half", tmp_path / "run")
    return tmp_path / "run"


def fail(here: Path, run: Path, **options: object) -> str:
    """Go on with a run that cannot: the message, which names a file; the checkpoint is as good as before."""
    result = train(here, "--resume", str(run), "--epochs", "4", "--quiet", **options)
    assert result.returncode == 1, result.stderr
    assert f"error: cannot write {run}/" in result.stderr, result.stderr
    assert "Traceback" not in result.stderr
    assert "internal error" not in result.stderr
    checkpoint, remark = RunFolder(run).latest_checkpoint()
    assert checkpoint is not None
    assert remark == ""
    assert checkpoint.about.position.epoch >= 3
    assert not [path for path in run.iterdir() if path.name.endswith((".part", ".new"))]
    return result.stderr


def recover(here: Path, run: Path) -> None:
    """With the fault gone, the run comes to what it would have come to."""
    result = called(here, "run", "--resume", str(run), "--epochs", "4", "--quiet")
    assert result.returncode == 0, result.stderr
    assert digests(run) == digests(here / "whole")


def at_most(size: int) -> Callable[[], None]:
    """A limit on the size of files. Python has the signal ignored, so that writes fail."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def without_privilege() -> None:
    """Let root, too, be forbidden to write what nobody may write (Linux: `prctl(2)`)."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def limits(run: Path, count: int) -> list[int]:
    """Sizes spread from nothing to a byte less than the largest file."""
    largest = max(path.stat().st_size for path in run.iterdir() if path.name != "curves.svg")
    return [(largest - 1) * i // (count - 1) for i in range(count)]


def limited(here: Path, tmp_path: Path, size: int) -> None:
    run = copied(here, tmp_path / str(size))
    message = fail(here, run, preexec_fn=at_most(size))
    assert "file too large" in message
    recover(here, run)


def test_a_file_that_cannot_grow_loses_nothing(here: Path, tmp_path: Path):
    limited(here, tmp_path, limits(here / "half", 3)[1])


@pytest.mark.campaign
@pytest.mark.parametrize("which", range(20))
def test_a_limit_at_any_offset_loses_nothing(which: int, here: Path, tmp_path: Path):
    limited(here, tmp_path, limits(here / "half", 20)[which])


@pytest.mark.parametrize("name", ["metrics.jsonl", pytest.param("metrics.csv", marks=pytest.mark.campaign)])
def test_a_full_device_loses_nothing(name: str, here: Path, tmp_path: Path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which Linux has")
    run = copied(here, tmp_path)
    (run / name).unlink()
    (run / name).symlink_to("/dev/full")
    assert f"cannot write {run}/{name}: no space left on device" in fail(here, run)
    (run / name).unlink()
    recover(here, run)


def test_a_folder_that_cannot_be_written_loses_nothing(here: Path, tmp_path: Path):
    run = copied(here, tmp_path)
    before = digests(run)
    os.chmod(run, 0o555)
    message = fail(here, run, preexec_fn=without_privilege)
    assert "permission denied" in message
    assert digests(run) == before
    os.chmod(run, 0o755)
    recover(here, run)


def test_a_folder_that_vanishes_is_said(here: Path):
    out = here / "vanishing"
    command = words("small.cnn", "--out", str(out), "--epochs", "100000")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=here, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("    2 "):
            assert process.poll() is None
        out.rename(here / "elsewhere")
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"error: cannot write {out}/" in stderr
    assert "no such file or directory" in stderr
    assert "Traceback" not in stderr
    checkpoint, _ = RunFolder(here / "elsewhere").latest_checkpoint()
    assert checkpoint is not None
    assert checkpoint.about.position.epoch >= 3
