"""The part of the report for targets that are numbers: what the network gave beside what was wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.training import svg
from cnnspec.training.evaluation import PIECE, samples_of
from cnnspec.training.report.markup import Html, element, section, table
from cnnspec.training.ticks import Axis, nice_axis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cnnspec.training.datasets import DataSet
    from cnnspec.training.model import Computes

POINTS: Final = 600
"""Numbers that are drawn, at most about."""
FURTHEST: Final = 12
"""Samples that are listed."""
NUMBERS: Final = 4
"""Numbers of a target that are listed."""
SIDE: Final = 420.0
LEFT, TOP, BOTTOM = 64.0, 14.0, 46.0


@dataclass(frozen=True, eq=False)
class Compared:
    """Some samples: their numbers in the test part, and for each a row of targets and one of outputs."""

    rows: NDArray[np.int64]
    targets: NDArray[np.float64]
    outputs: NDArray[np.float64]


def compare(model: Computes, data: DataSet) -> Compared:
    """Targets and outputs of samples from all over the test part."""
    labels = data.test_y
    elements = int(np.prod(labels.shape[1:]))
    count = min(len(labels), max(FURTHEST, POINTS // elements))
    rows = np.linspace(0, len(labels) - 1, count).astype(np.int64)
    pieces = [rows[at : at + PIECE] for at in range(0, count, PIECE)]
    outputs = np.concatenate([np.asarray(model.predict(samples_of(data.test_x, one))) for one in pieces])
    return Compared(
        rows,
        labels[rows].reshape(count, elements).astype(np.float64),
        outputs.reshape(count, elements).astype(np.float64),
    )


def outputs(found: Compared, figures: Mapping[str, float], samples: int) -> Html:
    """The drawing, and the samples that are furthest off."""
    count = len(found.rows)
    whose = f"{count:,} of the {samples:,}" if count < samples else f"the {samples:,}"
    words = {"mae": "mean absolute difference", "r2": "R\N{SUPERSCRIPT TWO}"}
    told = ", ".join(f"{words[name]} {figures[name]:.4g}" for name in words if name in figures)
    note = f"On {whose} test samples, after the last epoch: {told}. On the line output and target are equal."
    return section(
        "Outputs",
        element("p", note, class_="note"),
        element("div", Html(_drawing(found)), class_="square"),
        element("h3", "Furthest off"),
        table(("sample", "target", "output", "mean difference"), _furthest(found), numbers=(0, 1, 2, 3)),
    )


def _furthest(found: Compared) -> list[tuple[str, ...]]:
    apart = np.abs(found.outputs - found.targets).mean(axis=1)
    order = np.argsort(-apart, kind="stable")[:FURTHEST]
    return [
        (f"{found.rows[i]:,}", _numbers(found.targets[i]), _numbers(found.outputs[i]), f"{apart[i]:.4g}")
        for i in order
    ]


def _numbers(row: NDArray[np.float64]) -> str:
    rest = ", …" if len(row) > NUMBERS else ""
    return ", ".join(f"{number:.4g}" for number in row[:NUMBERS]) + rest


# --- the drawing ------------------------------------------------------------------------------------------


def _drawing(found: Compared) -> str:
    """A point for each number: the target across, the output upward, both on the same scale."""
    both = np.concatenate((found.targets, found.outputs))
    axis = nice_axis(float(both.min()), float(both.max()), most=5)
    points = [_place(axis, x, y) for x, y in zip(found.targets.flat, found.outputs.flat, strict=True)]
    line = svg.polyline([_place(axis, end, end) for end in (axis.low, axis.high)], stroke="var(--train)")
    dots = [
        svg.element("circle", cx=x, cy=y, r=2.4, fill="var(--accent)", fill_opacity=0.55)
        for x, y in points[: 2 * POINTS]
    ]
    size = {"viewBox": f"0 0 {LEFT + SIDE + 20:g} {TOP + SIDE + BOTTOM:g}", "role": "img", "font_size": "12"}
    title = svg.element("title", "Outputs over targets")
    return svg.element("svg", "".join([title, *_axes(axis), line, *dots]), **size)


def _place(axis: Axis, x: float, y: float) -> tuple[float, float]:
    return LEFT + SIDE * axis.share(float(x)), TOP + SIDE * (1 - axis.share(float(y)))


def _axes(axis: Axis) -> list[str]:
    parts = []
    for tick, label in zip(axis.ticks, axis.labels, strict=True):
        (x, bottom), (left, y) = _place(axis, tick, axis.low), _place(axis, axis.low, tick)
        parts.append(svg.line(left, y, LEFT + SIDE, y, stroke="var(--grid)"))
        parts.append(svg.line(x, TOP, x, bottom, stroke="var(--grid)"))
        parts.append(svg.text(label, left - 8, y + 4, text_anchor="end", fill="var(--muted)"))
        parts.append(svg.text(label, x, bottom + 18, text_anchor="middle", fill="var(--muted)"))
    middle = TOP + SIDE / 2
    turned = f"rotate(-90 14 {middle:g})"
    parts.append(
        svg.text("target", LEFT + SIDE / 2, TOP + SIDE + 38, text_anchor="middle", fill="var(--ink)")
    )
    parts.append(svg.text("output", 14, middle, text_anchor="middle", fill="var(--ink)", transform=turned))
    return parts
