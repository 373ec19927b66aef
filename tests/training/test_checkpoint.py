"""Checkpoints: what is read is what was written, bit for bit, and whatever is damaged is refused."""

import json
import random
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from cnnspec.training.checkpoint import (
    About,
    Best,
    Checkpoint,
    NotFinite,
    PlanFacts,
    check_finite,
    read_checkpoint,
    write_checkpoint,
)
from cnnspec.training.errors import TrainingError
from cnnspec.training.files import ReadError, write_atomically, write_keeping
from cnnspec.training.loop import Epoch, Mean, Position
from cnnspec.training.record import RunRecord
from cnnspec.training.run_folder import NoCheckpoint, RunFolder
from cnnspec.training.tensors import DamagedFile, read_arrays, serialize

FIGURES = {"train_loss": 0.1 + 0.2, "train_accuracy": 1 / 3, "test_loss": 5e-324, "test_accuracy": 1.0}


def made(epoch: int = 3) -> Checkpoint:
    random = np.random.default_rng(epoch)
    arrays = {f"conv{i}.weight": random.standard_normal((3, i, 2)).astype(np.float32) for i in range(1, 4)}
    about = About(
        network="Small",
        spec="0" * 64,
        position=Position(epoch, 7, 91, Mean(1234.1000000000001, 64.0, 17.0, 64)),
        history=tuple(Epoch(n, FIGURES, 0.05) for n in range(1, epoch)),
        best=Best(epoch=1, metric="test_loss", score=5e-324),
        plan=PlanFacts(workers=2, micro_batch=64, blas_threads=1, cpus=2, numpy="2", blas="openblas"),
    )
    return Checkpoint(about, arrays, {name: array + 1 for name, array in arrays.items()})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    for epoch in (3, 4):
        write_checkpoint(folder.checkpoint, folder.previous, made(epoch))
    return folder


def test_what_is_read_is_what_was_written(folder: RunFolder):
    for path, epoch in ((folder.checkpoint, 4), (folder.previous, 3)):
        read, wrote = read_checkpoint(path), made(epoch)
        assert read.about == wrote.about
        for mine, theirs in ((read.weights, wrote.weights), (read.state, wrote.state)):
            assert {n: a.tobytes() for n, a in mine.items()} == {n: a.tobytes() for n, a in theirs.items()}


def test_equal_checkpoints_are_equal_bytes_and_hold_no_time(folder: RunFolder):
    timed = made(4)
    about = timed.about.model_copy(
        update={"history": tuple(replace(epoch, seconds=3.0) for epoch in timed.about.history)}
    )
    before = folder.checkpoint.read_bytes()
    write_checkpoint(folder.checkpoint, folder.previous, replace(timed, about=about))
    assert folder.checkpoint.read_bytes() == folder.previous.read_bytes() == before


def test_the_format_is_that_of_safetensors(folder: RunFolder):
    """Their library reads the file, and nothing in it is a pickle."""
    with safe_open(folder.checkpoint, "numpy") as file:
        assert set(file.metadata()) == {"sha256", "cnnspec"}
        for name, array in made(4).weights.items():
            np.testing.assert_array_equal(file.get_tensor(f"weights/{name}"), array)
    (length,) = struct.unpack("<Q", folder.checkpoint.read_bytes()[:8])
    assert length % 8 == 0


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8", "uint16", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 3)])
def test_every_type_and_shape_comes_back(kind: str, shape: tuple[int, ...], tmp_path: Path):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    write_atomically(tmp_path / "a", *serialize({"a": array, "b": array.T, 'ü"\n': array}, "about"))
    stored = read_arrays(tmp_path / "a")
    with safe_open(tmp_path / "a", "numpy") as file:
        for name in ("a", "b", 'ü"\n'):
            expected = array.T if name == "b" else array
            for read in (stored.arrays[name], file.get_tensor(name)):
                assert (read.dtype, read.shape) == (expected.dtype, expected.shape)
                np.testing.assert_array_equal(read, expected)


# --- damage -----------------------------------------------------------------------------------------------


def damaged(good: bytes, chance: random.Random) -> bytes:
    """One of the ways in which files go bad."""
    place, length = chance.randrange(len(good)), chance.randint(1, 64)
    kind = chance.randrange(7)
    if kind == 0:  # one bit
        return good[:place] + bytes([good[place] ^ 1 << chance.randrange(8)]) + good[place + 1 :]
    if kind == 1:  # cut
        return good[:place]
    if kind == 2:  # a hole of zeros, as a crash leaves them
        return good[:place] + bytes(length) + good[place + length :]
    if kind == 3:  # noise
        return good[:place] + chance.randbytes(length) + good[place + length :]
    if kind == 4:  # bytes lost
        return good[:place] + good[place + length :]
    if kind == 5:  # bytes added
        return good[:place] + chance.randbytes(length) + good[place:]
    return good + chance.randbytes(length)  # bytes at the end


def refuse(path: Path, count: int) -> None:
    good, chance = path.read_bytes(), random.Random(count)
    refused = 0
    while refused < count:
        bad = damaged(good, chance)
        if bad == good:
            continue
        path.write_bytes(bad)
        with pytest.raises(DamagedFile, match=r"checkpoint.safetensors is damaged"):
            read_checkpoint(path)
        refused += 1


def test_damaged_checkpoints_are_refused(folder: RunFolder):
    refuse(folder.checkpoint, 200)


@pytest.mark.campaign
def test_two_thousand_damaged_checkpoints_are_refused(folder: RunFolder):
    refuse(folder.checkpoint, 2000)


@pytest.mark.campaign
def test_every_single_bit_counts(folder: RunFolder):
    good = folder.checkpoint.read_bytes()
    for place in range(len(good)):
        for bit in range(8):
            folder.checkpoint.write_bytes(good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])
            with pytest.raises(DamagedFile):
                read_checkpoint(folder.checkpoint)


def test_a_good_checksum_around_nonsense_is_refused(tmp_path: Path):
    path = tmp_path / "checkpoint.safetensors"
    good = made().about
    for about in ("", "{", "[]", "null", "{}", json.dumps({"schema": "cnnspec.checkpoint/9"}), "[" * 10**5):
        write_atomically(path, *serialize({}, about))
        with pytest.raises(DamagedFile, match=r"it is no checkpoint that this version reads"):
            read_checkpoint(path)
    later = good.text().replace("checkpoint/1", "checkpoint/2")
    write_atomically(path, *serialize({}, later))
    with pytest.raises(DamagedFile, match=r"`schema`: input should be 'cnnspec.checkpoint/1'"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04\x95", b"{}", b"\xff" * 500])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DamagedFile):
        read_arrays(tmp_path / "a")


def test_a_file_of_others_has_no_checksum(tmp_path: Path):
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "a")
    with pytest.raises(DamagedFile, match=r"it has no checksum, so that cnnspec did not write it"):
        read_arrays(tmp_path / "a")


# --- which one --------------------------------------------------------------------------------------------


def test_the_newest_whole_checkpoint_is_taken(folder: RunFolder):
    found, remark = folder.latest_checkpoint()
    assert found is not None
    assert (found.about.position.epoch, remark) == (4, "")
    folder.checkpoint.write_bytes(b"half")
    found, remark = folder.latest_checkpoint()
    assert found is not None
    assert found.about.position.epoch == 3
    assert "checkpoint.safetensors is damaged" in remark
    assert "going on from" in remark
    folder.checkpoint.unlink()  # killed between two renames
    found, remark = folder.latest_checkpoint()
    assert found is not None
    assert found.about.position.epoch == 3
    folder.previous.write_bytes(b"half")
    with pytest.raises(NoCheckpoint, match=r"checkpoint.previous.safetensors is damaged"):
        folder.latest_checkpoint()
    folder.previous.unlink()
    assert folder.latest_checkpoint()[0] is None


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(ReadError, match=r"cannot read .*nothing: no such file"):
        read_checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_a_whole_file(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, previous = tmp_path / "a", tmp_path / "b"
    write_keeping(path, previous, b"one")

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"os.{step}", fail)
    with pytest.raises(TrainingError, match=r"cannot write .*a: no space left on device"):
        write_keeping(path, previous, b"two")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a", b"one")]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_worth_keeping(value: float):
    array = np.zeros((3, 3), np.float32)
    check_finite({"conv1.weight": array, "count": np.array(3)}, "the weight")
    array[1, 2] = value
    with pytest.raises(NotFinite, match=r"the weight `conv1.weight` holds numbers that are not finite"):
        check_finite({"conv1.weight": array}, "the weight")


def test_a_fingerprint_changes_with_all_that_decides_but_the_epochs():
    record = RunRecord.model_validate(RECORD)
    same = record.model_copy(update={"recipe": {**record.recipe, "epochs": 9}, "status": "failed"})
    assert same.fingerprint() == record.fingerprint()
    for change in (
        {"recipe": {**record.recipe, "batch": 9}},
        {"parameters": {"width": "3"}},
        {"spec": record.spec.model_copy(update={"text": "network B {}"})},
        {"spec": record.spec.model_copy(update={"uses": {"b.cnn": ""}})},
    ):
        assert record.model_copy(update=change).fingerprint() != record.fingerprint()


RECORD = {
    "schema": "cnnspec.run/1",
    "status": "running",
    "started": "",
    "network": "A",
    "parameters": {"width": "2"},
    "params": 1,
    "trainable_params": 1,
    "recipe": {"batch": 2, "epochs": 3},
    "images": {"train": 1, "test": 1},
    "preparation": {"shape": [1], "classes": ["a"]},
    "threads": {"workers": 1, "micro_batch": 1, "blas_threads": 1},
    "versions": {"cnnspec": "", "numpy": "", "python": ""},
    "platform": "",
    "spec": {"file": "a.cnn", "text": "network A {}", "uses": {"b.cnn": "b"}},
    "sessions": [],
}
