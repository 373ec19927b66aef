"""Rows of epochs under their headings."""

import pytest

from cnnspec.cli._progress import epoch_row, heading
from cnnspec.training.loop import Epoch

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
