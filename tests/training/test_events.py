"""What TensorBoard is given, read by the message format of its own package."""

import struct
from pathlib import Path

import pytest

from tests.training.resuming import called, write_spec


def scalars(folder: Path) -> list[tuple[int, str, float]]:
    """Step, name and value of every point, in the order of writing (TFRecord: length, CRC, event, CRC)."""
    messages = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack("<Q", content[place : place + 8])
            event = messages.Event()
            event.ParseFromString(content[place + 12 : place + 12 + length])
            found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            place += length + 16
    return found


def test_the_events_are_the_figures_of_the_logs(tmp_path: Path):
    pytest.importorskip("tensorboardX")
    write_spec(tmp_path, 2)
    assert called(tmp_path, "run", "small.cnn", "--out", "run", "--tensorboard", "-q").returncode == 0
    result = called(tmp_path, "run", "--resume", "run", "--epochs", "3", "--tensorboard", "-q")
    assert result.returncode == 0, result.stderr
    found = scalars(tmp_path / "run" / "tensorboard")
    head, *rows = (line.split(",") for line in (tmp_path / "run" / "metrics.csv").read_text().splitlines())
    for column, tag in (("test_loss", "loss/test"), ("train_accuracy", "accuracy/train")):
        logged = [(int(row[0]), float(row[head.index(column)])) for row in rows]
        assert [(step, pytest.approx(value, rel=1e-5)) for step, value in logged] == [
            (step, value) for step, name, value in found if name == tag
        ]
    steps = [step for step, name, _ in found if name == "batch/loss"]
    assert steps == [1, 10, 20, 30, 40]


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cnnspec.training.events.find_spec", lambda name: None)
    write_spec(tmp_path, 1)
    result = called(tmp_path, "run", "small.cnn", "--tensorboard")
    assert result.returncode == 1
    assert "--tensorboard needs the package tensorboardX" in result.stderr
    assert "pip install 'cnnspec[tensorboard]'" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["small.cnn"]
