"""`curves.svg`: loss and accuracy over the epochs, drawn to be read on screen and in print.

The two lines differ in colour, in dash and in their marks, so that they can be told apart without colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cnnspec.training.loop import Epoch
from cnnspec.training.svg import Point, document, element, line, polyline, text
from cnnspec.training.ticks import Axis, epoch_axis, nice_axis

WIDTH: Final = 900
HEIGHT: Final = 372
PANEL_WIDTH: Final = 318.0
PANEL_HEIGHT: Final = 222.0
PANEL_TOP: Final = 92.0
PANEL_LEFTS: Final = (56.0, 492.0)
LABEL_GAP: Final = 15.0
MARKED_EPOCHS: Final = 30
"""Up to so many epochs each one has a mark; beyond, only the last has."""

INK, MUTED, GRID = "#1a1a1a", "#5c5c5c", "#e3e3e3"


@dataclass(frozen=True, slots=True)
class Style:
    """How one line is drawn."""

    name: str
    colour: str
    dash: str


TRAIN: Final = Style("train", "#6b6b6b", "5 3")
TEST: Final = Style("test", "#0b5cad", "")


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: a value for each epoch, from the first on."""

    style: Style
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes."""

    title: str
    left: float
    x: Axis
    y: Axis
    series: tuple[Series, ...]

    def place(self, epoch: float, value: float) -> Point:
        """Where a value is drawn."""
        return (
            self.left + PANEL_WIDTH * self.x.share(epoch),
            PANEL_TOP + PANEL_HEIGHT * (1 - self.y.share(value)),
        )


def draw_curves(history: Sequence[Epoch], title: str, subtitle: str) -> str:
    """The drawing as SVG text: the loss, and beside it the accuracy, or R2 where targets are numbers.

    Args:
        history: the epochs, at least one.
        title: the network and its data.
        subtitle: how it was trained.
    """
    panels = [_loss_panel(history)]
    if "test_accuracy" in history[-1].figures:
        panels.append(_accuracy_panel(history))
    elif "test_r2" in history[-1].figures:
        panels.append(_r2_panel(history))
    last = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in history[-1].figures.items())
    description = f"After {len(history)} epochs: {last}."
    content = [*_heading(title, subtitle), *(part for panel in panels for part in _panel(panel))]
    return document(WIDTH, HEIGHT, f"{title}: learning curves", description, content)


def _loss_panel(history: Sequence[Epoch]) -> Panel:
    train = Series(TRAIN, tuple(epoch.train_loss for epoch in history))
    test = Series(TEST, tuple(epoch.test_loss for epoch in history))
    y = nice_axis(0.0, max((*train.values, *test.values)))
    return Panel("Loss", PANEL_LEFTS[0], epoch_axis(len(history)), y, (train, test))


def _accuracy_panel(history: Sequence[Epoch]) -> Panel:
    train = Series(TRAIN, tuple(epoch.train_accuracy for epoch in history))
    test = Series(TEST, tuple(epoch.test_accuracy for epoch in history))
    lowest = min((*train.values, *test.values))
    y = nice_axis(0.0 if lowest < 0.5 else lowest, 1.0, most=5)
    return Panel("Accuracy", PANEL_LEFTS[1], epoch_axis(len(history)), y, (train, test))


def _r2_panel(history: Sequence[Epoch]) -> Panel:
    test = Series(TEST, tuple(epoch.figures["test_r2"] for epoch in history))
    y = nice_axis(min(0.0, *test.values), 1.0, most=5)
    return Panel("R\N{SUPERSCRIPT TWO}", PANEL_LEFTS[1], epoch_axis(len(history)), y, (test,))


def _heading(title: str, subtitle: str) -> list[str]:
    left = PANEL_LEFTS[0] - 36
    parts = [
        text(title, left, 30, font_size=17, font_weight="bold", fill=INK),
        text(subtitle, left, 50, fill=MUTED),
    ]
    x = WIDTH - 160.0
    for style in (TRAIN, TEST):
        parts.append(line(x, 26, x + 26, 26, **_stroke(style)))
        parts.append(_mark(style, (x + 13, 26)))
        parts.append(text(style.name, x + 32, 30, fill=INK))
        x += 76
    return parts


def _panel(panel: Panel) -> list[str]:
    parts = [text(panel.title, panel.left, PANEL_TOP - 14, font_size=13, font_weight="bold", fill=INK)]
    parts += _y_axis(panel)
    parts += _x_axis(panel)
    for series in panel.series:
        parts += _curve(panel, series)
    return parts + _end_labels(panel)


def _y_axis(panel: Panel) -> list[str]:
    right = panel.left + PANEL_WIDTH
    parts = []
    for tick, label in zip(panel.y.ticks, panel.y.labels, strict=True):
        _, y = panel.place(0, tick)
        parts.append(line(panel.left, y, right, y, stroke=GRID, stroke_width=1))
        parts.append(text(label, panel.left - 8, y + 4, text_anchor="end", fill=MUTED))
    return parts


def _x_axis(panel: Panel) -> list[str]:
    bottom = PANEL_TOP + PANEL_HEIGHT
    right = panel.left + PANEL_WIDTH
    parts = [line(panel.left, bottom, right, bottom, stroke=INK, stroke_width=1)]
    for tick, label in zip(panel.x.ticks, panel.x.labels, strict=True):
        x, _ = panel.place(tick, panel.y.low)
        parts.append(line(x, bottom, x, bottom + 5, stroke=INK, stroke_width=1))
        parts.append(text(label, x, bottom + 19, text_anchor="middle", fill=MUTED))
    middle = panel.left + PANEL_WIDTH / 2
    return [*parts, text("epoch", middle, bottom + 38, text_anchor="middle", fill=INK)]


def _curve(panel: Panel, series: Series) -> list[str]:
    points = [panel.place(epoch, value) for epoch, value in enumerate(series.values, 1)]
    marked = points if len(points) <= MARKED_EPOCHS else points[-1:]
    curve = polyline(points, stroke_linejoin="round", stroke_linecap="round", **_stroke(series.style))
    return [curve, *(_mark(series.style, point) for point in marked)]


def _stroke(style: Style) -> dict[str, str | float]:
    stroke: dict[str, str | float] = {"stroke": style.colour, "stroke_width": 2}
    return {**stroke, "stroke_dasharray": style.dash} if style.dash else stroke


def _mark(style: Style, point: Point) -> str:
    """A full dot on a full line, an empty one on a dashed line."""
    fill = "#ffffff" if style.dash else style.colour
    return element(
        "circle", cx=point[0], cy=point[1], r=2.8, fill=fill, stroke=style.colour, stroke_width=1.4
    )


def _end_labels(panel: Panel) -> list[str]:
    """Name and last value at the end of each line, moved apart where they would touch."""
    heights = ((panel.place(len(one.values), one.values[-1])[1], one) for one in panel.series)
    ends = sorted(heights, key=lambda end: end[0])
    push = max(LABEL_GAP - (ends[-1][0] - ends[0][0]), 0) / 2 if len(ends) > 1 else 0.0
    x = panel.left + PANEL_WIDTH + 10
    return [
        text(
            f"{one.style.name} {one.values[-1]:.3f}",
            x,
            y + way * push + 4,
            fill=one.style.colour,
            font_weight="bold",
        )
        for way, (y, one) in zip((-1, 1), ends, strict=False)
    ]
