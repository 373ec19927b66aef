"""The drawing of the curves: round ticks, whole SVG, and every value in its place."""

import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.training.curves import HEIGHT, WIDTH, draw_curves
from cnnspec.training.loop import Epoch
from cnnspec.training.ticks import epoch_axis, nice_axis

SVG = "{http://www.w3.org/2000/svg}"


def history(count: int, loss: float = 2.3) -> list[Epoch]:
    return [
        Epoch(
            number=n,
            figures={
                "train_loss": loss * math.exp(-n / 5),
                "train_accuracy": 1 - 0.9 * math.exp(-n / 5),
                "test_loss": loss * math.exp(-n / 6),
                "test_accuracy": 0.98 - 0.88 * math.exp(-n / 5),
            },
            seconds=0.1,
            images_per_second=1e4,
        )
        for n in range(1, count + 1)
    ]


def drawn(count: int, **options: float) -> ElementTree.Element:
    return ElementTree.fromstring(draw_curves(history(count, **options), "LeNet on digits", "sgd lr=0.1"))


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 2.3, ("0.0", "0.5", "1.0", "1.5", "2.0", "2.5")),
        (0.0, 1.0, ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        (0.0, 0.047, ("0.00", "0.01", "0.02", "0.03", "0.04", "0.05")),
        (0.0, 87.0, ("0", "20", "40", "60", "80", "100")),
        (0.91, 1.0, ("0.90", "0.92", "0.94", "0.96", "0.98", "1.00")),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, labels: tuple[str, ...]):
    assert nice_axis(low, high).labels == labels


@pytest.mark.parametrize(
    ("count", "labels"),
    [
        (1, ("0", "1")),
        (5, ("0", "1", "2", "3", "4", "5")),
        (10, ("0", "2", "4", "6", "8", "10")),
        (40, ("0", "5", "10", "15", "20", "25", "30", "35", "40")),
        (137, ("0", "20", "40", "60", "80", "100", "120", "137")),
        (101, ("0", "20", "40", "60", "80", "101")),
    ],
)
def test_epochs_have_whole_ticks_and_end_at_the_last(count: int, labels: tuple[str, ...]):
    assert epoch_axis(count).labels == labels


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_an_axis_encloses_its_values_in_few_ticks(low: float, span: float):
    axis = nice_axis(low, low + span)
    step = axis.ticks[1] - axis.ticks[0]
    assert axis.low <= low + 1e-6 * step
    assert axis.high >= low + span - 1e-6 * step
    assert 2 <= len(axis.ticks) <= 9


@pytest.mark.parametrize("count", [1, 2, 3, 10, 31, 40, 1000])
@pytest.mark.parametrize("loss", [0.0, 1e-9, 2.3, 1e30])
def test_any_history_gives_a_whole_drawing_inside_its_paper(count: int, loss: float):
    root = drawn(count, loss=loss)
    lines = root.findall(f"{SVG}polyline")
    assert len(lines) == 4
    for curve in lines:
        points = [tuple(map(float, place.split(","))) for place in curve.get("points", "").split()]
        assert len(points) == count
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)


def test_a_lower_loss_is_drawn_lower_and_a_higher_accuracy_higher():
    loss, _, accuracy, _ = drawn(10).findall(f"{SVG}polyline")
    loss_heights = [float(place.split(",")[1]) for place in loss.get("points", "").split()]
    accuracy_heights = [float(place.split(",")[1]) for place in accuracy.get("points", "").split()]
    assert loss_heights == sorted(loss_heights)
    assert accuracy_heights == sorted(accuracy_heights, reverse=True)


def test_the_lines_are_labelled_with_their_last_values():
    words = [text.text for text in drawn(40).iter(f"{SVG}text")]
    assert "train 1.000" in words
    assert "test 0.980" in words
    assert words.count("epoch") == 2
    assert "Loss" in words
    assert "Accuracy" in words


def test_labels_of_lines_that_end_together_do_not_touch():
    labels = [text for text in drawn(400).iter(f"{SVG}text") if (text.text or "")[:5] in ("train", "test ")]
    heights = sorted(float(text.get("y", "")) for text in labels if " 0" in (text.text or ""))
    assert heights[1] - heights[0] >= 12


def test_names_are_escaped_and_the_drawing_describes_itself():
    root = ElementTree.fromstring(draw_curves(history(2), "<Le&Net>", '"quoted"'))
    assert root.findtext(f"{SVG}title") == "<Le&Net>: learning curves"
    assert "After 2 epochs" in (root.findtext(f"{SVG}desc") or "")
    assert root.get("role") == "img"


def test_numbers_as_targets_have_r2_in_place_of_accuracy():
    epochs = [
        Epoch(n, {"train_loss": 1 / n, "test_loss": 1.5 / n, "test_mae": 1 / n, "test_r2": 1 - 2 / n})
        for n in range(1, 5)
    ]
    drawing = ElementTree.fromstring(draw_curves(epochs, "Numbers on csv", "adam"))
    words = [element.text for element in drawing.iter(f"{SVG}text")]
    assert "R\N{SUPERSCRIPT TWO}" in words
    assert "Accuracy" not in words
    assert {"train 0.250", "test 0.375", "test 0.500"} <= set(words)
    assert len(list(drawing.iter(f"{SVG}polyline"))) == 3
