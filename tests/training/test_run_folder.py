"""The folder of a run: where it is made, and that its files are whole or not there."""

import csv
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from cnnspec.training import TrainingError
from cnnspec.training import files as files_module
from cnnspec.training.checkpoint import PlanFacts
from cnnspec.training.files import WriteError, append, write_atomically
from cnnspec.training.loop import Epoch
from cnnspec.training.record import Images, Preparation, RunRecord, Session, Spec, Versions, read_record
from cnnspec.training.run_folder import RunFolder, is_running, open_run_folder, reopen_run_folder, row

FIGURES = {"train_loss": 2.30258509, "train_accuracy": 0.1, "test_loss": 2.25, "test_accuracy": 0.125}
EPOCH = Epoch(1, FIGURES, 0.05, 0.5, 2874.0)
RECORD = RunRecord(
    status="running",
    started="2026-01-01T00:00:00+00:00",
    network="LeNet",
    parameters={},
    params=1,
    trainable_params=1,
    recipe={"data": "digits", "epochs": 3},
    images=Images(train=8, test=2),
    preparation=Preparation(shape=(1, 8, 8), classes=("a", "b")),
    threads=PlanFacts(workers=1, micro_batch=8, blas_threads=1),
    versions=Versions(cnnspec="0", numpy="0", python="0"),
    platform="",
    spec=Spec(file="a.cnn", text="network A {}"),
    sessions=(Session(started="2026-01-01T00:00:00+00:00"),),
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- where ------------------------------------------------------------------------------------------------


def test_runs_are_numbered_from_the_first_free(here: Path):
    (here / "runs" / "LeNet-2").mkdir(parents=True)
    taken = []
    for _ in range(2):
        with open_run_folder(None, "LeNet") as folder:
            folder.begin(RECORD)
            taken.append(folder.path)
    assert taken == [Path("runs/LeNet-1"), Path("runs/LeNet-3")]


def test_a_folder_asked_for_is_made_with_its_parents(here: Path):
    with open_run_folder(Path("a/b/c"), "LeNet") as folder:
        folder.begin(RECORD)
    assert names(here / "a/b/c") == ["metrics.csv", "metrics.jsonl", "run.json", "times.csv"]


def test_an_empty_folder_is_taken(here: Path):
    (here / "out").mkdir()
    with open_run_folder(Path("out"), "LeNet") as folder:
        assert folder.path == Path("out")
    assert (here / "out").is_dir(), "it was there before, so it stays"


def test_a_folder_with_files_is_refused(here: Path):
    (here / "out").mkdir()
    (here / "out" / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="the folder out is not empty, and a run overwrites nothing"):
        open_run_folder(Path("out"), "LeNet").__enter__()
    assert names(here / "out") == ["notes.txt"]


def test_a_file_in_place_of_the_folder_is_refused(here: Path):
    (here / "out").write_text("mine")
    with pytest.raises(TrainingError, match="out is a file: a run needs a folder"):
        open_run_folder(Path("out"), "LeNet").__enter__()
    with pytest.raises(WriteError, match="cannot write out/deeper: not a directory"):
        open_run_folder(Path("out/deeper"), "LeNet").__enter__()


def test_a_name_that_is_too_long_is_refused():
    with pytest.raises(WriteError, match="file name too long"):
        open_run_folder(Path("x" * 5000), "LeNet").__enter__()


@pytest.mark.parametrize("out", [None, Path("new/deep/folder")])
def test_nothing_stays_of_a_run_that_wrote_nothing(out: Path | None, here: Path):
    with pytest.raises(RuntimeError), open_run_folder(out, "LeNet"):
        raise RuntimeError
    assert names(here) == []


# --- what -------------------------------------------------------------------------------------------------


def test_an_epoch_leaves_weights_and_a_row(here: Path):
    folder = RunFolder(here)
    weights = {
        "conv1.weight": np.arange(12, dtype=np.float32).reshape(3, 4).T,
        "conv1.bias": np.ones(3, np.float32),
    }
    folder.begin(RECORD)
    folder.write_weights(folder.weights, weights, "LeNet", 1)
    folder.add_epoch(EPOCH)
    folder.write_curves("<svg/>")

    assert names(here) == [
        "curves.svg",
        "metrics.csv",
        "metrics.jsonl",
        "run.json",
        "times.csv",
        "weights.safetensors",
    ]
    assert read_record(folder.record) == RECORD
    with folder.metrics.open() as file:
        (read,) = csv.DictReader(file)
    assert list(read) == ["epoch", *FIGURES, "learning_rate"]
    assert read["epoch"] == "1"
    assert float(read["train_loss"]) == pytest.approx(2.302585, abs=1e-5)
    assert json.loads(folder.events.read_text()) == {"epoch": 1, **FIGURES, "learning_rate": 0.05}
    assert folder.times.read_text() == "epoch,seconds,images_per_second\n1,0.5,2874\n"
    assert folder.logged() == (EPOCH,)
    with safe_open(folder.weights, "numpy") as file:
        assert json.loads(file.metadata()["cnnspec"]) == {"network": "LeNet", "epoch": 1}
        for name, array in weights.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)


def test_the_same_weights_give_the_same_bytes(here: Path):
    weights = {f"conv{i}.weight": np.full(3, i, np.float32) for i in range(8)}
    contents = set()
    for _ in range(10):
        RunFolder(here).write_weights(here / "weights.safetensors", weights, "LeNet", 1)
        contents.add((here / "weights.safetensors").read_bytes())
    assert len(contents) == 1


def test_a_row_by_hand():
    assert row(EPOCH) == "1,2.30259,0.1,2.25,0.125,0.05\n"


def test_a_line_that_was_cut_short_ends_the_log(here: Path):
    folder = RunFolder(here)
    folder.begin(RECORD, [EPOCH, replace(EPOCH, number=2)])
    whole = folder.events.read_bytes()
    folder.events.write_bytes(whole[:-5])
    assert [epoch.number for epoch in folder.logged()] == [1]


def test_logs_are_set_back_to_where_a_run_goes_on_from(here: Path):
    folder = RunFolder(here)
    folder.begin(RECORD, [EPOCH, replace(EPOCH, number=2)])
    (here / ".checkpoint.safetensors-abcd1234.part").write_text("half")
    (here / "checkpoint.safetensors.new").write_text("half")
    folder.begin(RECORD, folder.with_times([replace(EPOCH, seconds=0.0, images_per_second=0.0)]))
    assert folder.logged() == (EPOCH,)
    assert folder.metrics.read_text().count("\n") == 2
    assert names(here) == ["metrics.csv", "metrics.jsonl", "run.json", "times.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not the record of a run: it is not JSON"),
        ("{", "is not the record of a run: it is not JSON"),
        ("[]", "is not the record of a run"),
        (
            '{"schema": "cnnspec.run/9"}',
            "has the schema 'cnnspec.run/9', and this version reads 'cnnspec.run/1'",
        ),
        ('{"schema": "cnnspec.run/1"}', "`status`: field required"),
    ],
)
def test_a_record_of_another_kind_is_refused(text: str, message: str, here: Path):
    (here / "run.json").write_text(text)
    with pytest.raises(TrainingError) as caught:
        read_record(here / "run.json")
    assert message in caught.value.message


def test_a_folder_is_for_one_run_at_a_time(here: Path):
    with reopen_run_folder(here):
        assert is_running(here)
        with pytest.raises(TrainingError, match="another process is training in"):
            reopen_run_folder(here).__enter__()
    assert not is_running(here)


# --- whole or not at all ----------------------------------------------------------------------------------


def fail_to_sync(descriptor: int) -> None:
    raise OSError(28, os.strerror(28))


def test_a_file_that_cannot_be_written_keeps_what_was_there(here: Path, monkeypatch: pytest.MonkeyPatch):
    path = here / "weights.safetensors"
    write_atomically(path, b"good")
    monkeypatch.setattr(files_module.os, "fsync", fail_to_sync)
    with pytest.raises(WriteError, match=r"cannot write .*weights.safetensors: no space left on device"):
        write_atomically(path, b"half")
    assert path.read_bytes() == b"good"
    assert names(here) == ["weights.safetensors"]


def test_a_row_that_cannot_be_written_leaves_the_table_as_it_was(here: Path, monkeypatch: pytest.MonkeyPatch):
    path = here / "metrics.csv"
    path.write_bytes(b"epoch\n1\n")
    monkeypatch.setattr(files_module.os, "fsync", fail_to_sync)
    with pytest.raises(WriteError, match="no space left on device"):
        append(path, b"2\n")
    assert path.read_bytes() == b"epoch\n1\n"


def test_a_write_reaches_the_disk_before_its_name_does(here: Path, monkeypatch: pytest.MonkeyPatch):
    happened: list[str] = []
    sync, rename = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        happened.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def note_rename(temporary: str, target: Path) -> None:
        happened.append("rename")
        rename(temporary, target)

    monkeypatch.setattr(files_module.os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_rename)
    write_atomically(here / "run.json", b"{}")
    assert happened == ["sync file", "rename", "sync folder"]


def test_an_interrupted_write_leaves_no_temporary_file(here: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files_module.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(here / "run.json", b"{}")
    assert names(here) == []
