"""The page about a run, put together and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.training.evaluation import Evaluation, evaluate_samples, samples_of
from cnnspec.training.files import write_atomically
from cnnspec.training.report import numbers, parts
from cnnspec.training.report.markup import Html, element, joined
from cnnspec.training.report.pictures import shows_pictures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.training.datasets import DataSet
    from cnnspec.training.model import Computes
    from cnnspec.training.runs import SavedRun

STYLE: Final = Path(__file__).with_name("style.css")
POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser may load for the page: nothing from outside, and no script at all."""


def write_report(saved: SavedRun, model: Computes, data: DataSet) -> None:
    """Write `report.html` into the folder of a run that has ended.

    Args:
        saved: the run.
        model: its network, with the weights after the last epoch.
        data: what it learned from, and is tested with.

    Raises:
        WriteError: the folder cannot be written.
    """
    write_atomically(saved.folder.report, page(saved, model, data).encode())


def page(saved: SavedRun, model: Computes, data: DataSet) -> str:
    """The page as HTML."""
    record, subject, history = saved.record, saved.subject, saved.history
    content = [parts.heading(record, history, subject)]
    content += [parts.learning(record, history)] if history else []
    if len(subject.graph.outputs) == 1:
        content += _evaluated(saved, model, data)
    content += [parts.kernels(subject, model.weights), parts.layers(subject)]
    content += [parts.text(record), parts.environment(record)]
    content += [element("footer", f"Written by cnnspec {record.versions.cnnspec} into {saved.path}.")]
    return _document(f"{record.network}: report of a run", joined(content))


def _evaluated(saved: SavedRun, model: Computes, data: DataSet) -> list[Html]:
    """What came of the test part: classes and mistakes, or how near the outputs are to their targets."""
    found = evaluate_samples(model, data.test_x, data.test_y, saved)
    if found.class_names:
        pictures = _pictures(found, data)
        mistakes = parts.mistakes(found, pictures, saved.record.preparation)
        return [parts.confusion(found), parts.classes(found), mistakes]
    if "mae" in found.figures:
        return [numbers.outputs(numbers.compare(model, data), found.figures, found.count)]
    return []


def _pictures(found: Evaluation, data: DataSet) -> dict[int, NDArray[np.float32]]:
    """The samples of the worst mistakes, by number."""
    if not shows_pictures(data.sample_shape):
        return {}
    rows = np.array([one.index for one in found.mistakes[: parts.MISTAKES]], np.int64)
    return dict(zip(rows.tolist(), samples_of(data.test_x, rows), strict=True)) if len(rows) else {}


def _document(title: str, content: Html) -> str:
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE.read_text("utf-8"))),
    ]
    body = element("html", element("head", *head), element("body", content), lang="en")
    return f"<!DOCTYPE html>\n{body}\n"
