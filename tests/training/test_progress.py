"""Rows of epochs under their headings."""

import io

import pytest

from cnnspec.cli._progress import NARROW, Live, Pace, epoch_row, heading
from cnnspec.training.loop import Epoch, Mean, Position, Step

CLASSES = {"train_loss": 0.5, "train_accuracy": 0.75, "test_loss": 0.25, "test_accuracy": 1.0}
NUMBERS = {"train_loss": 12345.6789, "test_loss": 0.25, "test_mae": 0.125, "test_r2": -1234.5678}


@pytest.mark.parametrize(
    ("figures", "head", "row"),
    [
        (
            {**CLASSES, "test_top5": 1.0},
            "epoch  train loss  train acc  test loss  test acc  images/s",
            "   12      0.5000     0.7500     0.2500    1.0000     4,321",
        ),
        (
            NUMBERS,
            "epoch  train loss  test loss  test mae   test r2  images/s",
            "   12  12345.6789     0.2500    0.1250  -1.2e+03     4,321",
        ),
    ],
)
def test_figures_stand_under_their_headings(figures: dict[str, float], head: str, row: str):
    epoch = Epoch(12, figures, images_per_second=4321.0)
    assert heading(epoch) == head
    assert epoch_row(epoch) == row
    assert len(row) == len(head)


def at(epoch: int, batch: int) -> Step:
    """Behind a batch of 10 images, four of which are an epoch; the last of an epoch may go unseen."""
    position = Position(epoch, batch, 4 * (epoch - 1) + batch, Mean(count=10 * batch))
    return Step(position, 4, 0.5, 0.1)


def test_the_pace_goes_on_through_the_end_of_an_epoch():
    pace = Pace()
    pace.add(100.0, at(1, 2))
    assert "images/s" not in pace.note(6)
    pace.add(100.5, at(1, 3))
    assert pace.note(5).startswith("20 images/s  0:02 left")
    pace.add(102.0, at(2, 2))
    assert pace.note(2).startswith("20 images/s  0:01 left")


# --- narrow terminals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 50, 60, 72, 100])
def test_nothing_of_the_bars_is_cut(width, monkeypatch):
    from rich.console import Console

    shown = Live()
    screen = io.StringIO()
    shown._console = Console(file=screen, width=width, force_terminal=True, no_color=True)
    position = Position(epoch=12, batch=100, step=1200, mean=Mean(150.0, 64.0, 8.0, 64))
    note = "22,426 images/s  1:02:12 left  1238.4 MB"
    monkeypatch.setattr(Pace, "note", lambda self, batches_left: note)
    with shown.training(20):
        shown.step(Step(position, 1000, 2.3, 0.1))
    text = screen.getvalue()
    assert "epoch 12/20 " in text
    assert "batch 100/1000" in text
    assert "loss 2.3438  acc 0.1250" in text
    assert "22,426 images/s" in text
    assert "\u2026" not in text
    assert ("\u2501" in text) == (width >= NARROW)
