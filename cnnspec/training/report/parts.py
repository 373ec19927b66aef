"""The parts of the page about a run, each from what is known to markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.network.table import COLUMNS, in_bytes, layer_rows, total_lines
from cnnspec.training import curves
from cnnspec.training.report.markup import Html, element, joined, section, table
from cnnspec.training.report.pictures import kernel_pixels, picture, sample_pixels, shows_pictures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cnnspec.training.evaluation import Evaluation, Mistake
    from cnnspec.training.loop import Epoch
    from cnnspec.training.record import Preparation, RunRecord
    from cnnspec.training.subject import Subject

MISTAKES: Final = 24
"""Wrong answers that are shown."""
KERNELS: Final = 64
"""Kernels of the first layer that are shown."""
MATRIX: Final = 26
"""The most classes of which the whole matrix is shown."""
CONFUSIONS: Final = 15
"""Pairs of classes that are listed where the matrix is too large."""
SHORT: Final = 3
"""Letters of a class name up to which it is written level above its column."""

ON_PAPER: Final = {
    "#1a1a1a": "var(--ink)",
    "#5c5c5c": "var(--muted)",
    "#e3e3e3": "var(--grid)",
    "#6b6b6b": "var(--train)",
    "#0b5cad": "var(--accent)",
    "#ffffff": "var(--paper)",
}
"""The colours of a drawing, and those of the page, which follow the reader's choice of light or dark."""


def heading(record: RunRecord, history: Sequence[Epoch], subject: Subject) -> Html:
    """What learned from what, how it ended, and the figures that matter most."""
    data = str(record.recipe.get("data"))
    totals = subject.facts.totals()
    figures = _figures(history)
    figures.append(("Parameters", f"{totals.params:,}", f"{in_bytes(totals.weight_bytes)} of weights"))
    figures.append(("MACs", f"{totals.macs:,}", "for one sample"))
    if record.timing:
        speed = f"{record.timing.images_per_second:,.0f} samples/s in training"
        figures.append(("Time", clock(record.timing.total_seconds), speed))
    cells = [
        element("div", element("dt", name), element("dd", value, element("small", note)))
        for name, value, note in figures
    ]
    train, test = f"{record.images.train:,}", f"{record.images.test:,}"
    lead = f"{data}: {train} samples to train, {test} to test. Begun {record.started[:10]}, {record.status}."
    return element(
        "header",
        element("h1", f"{record.network} on {data.partition(' ')[0]}"),
        element("p", lead, class_="lead"),
        element("dl", *cells, class_="figures"),
    )


def _figures(history: Sequence[Epoch]) -> list[tuple[str, str, str]]:
    """Name, value and remark of what was measured after the last epoch."""
    if not history:
        return []
    last, figures = history[-1], []
    if "test_accuracy" in last.figures:
        best = max(history, key=lambda epoch: (epoch.test_accuracy, -epoch.number))
        note = (
            f"highest {best.test_accuracy:.2%} in epoch {best.number}" if best is not last else "the highest"
        )
        figures.append(("Test accuracy", f"{last.test_accuracy:.2%}", note))
    if "test_top5" in last.figures:
        figures.append(("Top 5", f"{last.figures['test_top5']:.2%}", "among the five likeliest"))
    if "test_r2" in last.figures:
        figures.append(("Test R\N{SUPERSCRIPT TWO}", f"{last.figures['test_r2']:.4f}", "of 1"))
        figures.append(("Test MAE", f"{last.figures['test_mae']:.4g}", "mean absolute difference"))
    figures.append(("Test loss", f"{last.test_loss:.4f}", f"training {last.train_loss:.4f}"))
    return figures


def learning(record: RunRecord, history: Sequence[Epoch]) -> Html:
    """The curves, and the figures behind them."""
    recipe = record.recipe
    words = ", ".join(
        str(recipe[name]) for name in ("loss", "optimizer", "schedule", "init") if name in recipe
    )
    settings = f"{words}, batches of {recipe.get('batch')}, seed {recipe.get('seed')}"
    drawing = curves.draw_curves(history, "Learning curves", settings)
    for given, taken in ON_PAPER.items():
        drawing = drawing.replace(given, taken)
    names = list(history[0].figures)
    rows = [
        [str(epoch.number), *(f"{epoch.figures[name]:.4f}" for name in names), f"{epoch.learning_rate:.3g}"]
        for epoch in history
    ]
    head = ["epoch", *(name.replace("_", " ") for name in names), "learning rate"]
    return section(
        "Learning",
        element("div", Html(drawing), class_="curves"),
        element(
            "details",
            element("summary", "Figures of all epochs"),
            table(head, rows, numbers=range(len(head))),
        ),
    )


# --- classes ----------------------------------------------------------------------------------------------


def classes(found: Evaluation) -> Html:
    """How each class fares."""
    rows = [(one.name, f"{one.count:,}", _bar(one.precision), _bar(one.recall)) for one in found.classes]
    note = (
        f"On the {found.count:,} test samples, after the last epoch. Precision: of those taken for a class,"
        " the share that is of it. Recall: of those of a class, the share that was found."
    )
    head = ("class", "samples", "precision", "recall")
    return section("Classes", element("p", note, class_="note"), table(head, rows, numbers=(1,)))


def _bar(share: float) -> Html:
    if share != share:
        return Html("none")
    fill = element("i", style=f"width:{share:.1%}")
    return joined([element("span", fill, class_="bar"), f"{share:.1%}"])


def confusion(found: Evaluation) -> Html:
    """The matrix, or the most frequent confusions of many classes."""
    if len(found.class_names) > MATRIX:
        return section("Confusion", _most_confused(found))
    names, largest = found.class_names, found.confusion.sum(axis=1).clip(1)
    head = [element("th", ""), *(element("th", element("span", name), scope="col") for name in names)]
    rows = []
    for i, name in enumerate(names):
        cells = [
            _cell(int(count), float(count / largest[i]), i == j)
            for j, count in enumerate(found.confusion[i].tolist())
        ]
        rows.append(element("tr", element("th", name, scope="row"), *cells))
    short = " short" if max(map(len, names)) <= SHORT else ""
    matrix = element(
        "table", element("thead", element("tr", *head)), element("tbody", *rows), class_=f"confusion{short}"
    )
    note = "A row for each class, a column for what its samples were taken for."
    return section("Confusion", element("p", note, class_="note"), element("div", matrix, class_="scroll"))


def _cell(count: int, share: float, right: bool) -> Html:
    if not count:
        return element("td", "·", class_="none")
    colour = "--hit" if right else "--miss"
    depth = 0.12 + 0.5 * share if right else 0.15 + 0.6 * min(1.0, 4 * share)
    return element("td", f"{count:,}", style=f"background:rgba(var({colour}),{depth:.2f})")


def _most_confused(found: Evaluation) -> Html:
    wrong = found.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [(int(i) // len(wrong), int(i) % len(wrong)) for i in order]
    names = found.class_names
    rows = [(names[i], names[j], f"{int(wrong[i, j]):,}") for i, j in pairs if wrong[i, j]]
    return table(("class", "taken for", "times"), rows, numbers=(2,))


def mistakes(
    found: Evaluation, pictures: Mapping[int, NDArray[np.float32]], preparation: Preparation
) -> Html:
    """The answers that were furthest from the truth, as pictures."""
    if not found.mistakes:
        return section("Worst mistakes", element("p", "None: every test sample was recognised."))
    shown = found.mistakes[:MISTAKES]
    if not shows_pictures(preparation.shape):
        rows = [
            (f"{one.index:,}", found.class_names[one.label], found.class_names[one.taken_for], _sure(one))
            for one in shown
        ]
        return section(
            "Worst mistakes", table(("sample", "class", "taken for", "with"), rows, numbers=(0, 3))
        )
    figures = [_mistake(one, pictures[one.index], found.class_names, preparation) for one in shown]
    note = (
        f"The {len(shown)} of {len(found.mistakes):,} wrong answers on the test part that gave the true class"
        " least: in red what each was taken for, below it what it is."
    )
    return section(
        "Worst mistakes", element("p", note, class_="note"), element("div", *figures, class_="pictures")
    )


def _mistake(
    one: Mistake, sample: NDArray[np.float32], names: Sequence[str], preparation: Preparation
) -> Html:
    own, other = names[one.label], names[one.taken_for]
    words = f"test sample {one.index}: {own}, taken for {other}"
    text = joined([element("b", other), f" {one.probability:.0%}", Html("<br>"), f"{own} {_small(one)}"])
    return element("figure", picture(sample_pixels(sample, preparation), words), element("figcaption", text))


def _sure(one: Mistake) -> str:
    return f"{one.probability:.1%}"


def _small(one: Mistake) -> str:
    share = one.probability_of_label
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"


# --- the network ------------------------------------------------------------------------------------------


def kernels(subject: Subject, weights: Mapping[str, NDArray[np.float32]]) -> Html:
    """The kernels of the first convolution over images; nothing where there is none."""
    for node in subject.graph.nodes:
        array = weights.get(f"{node.name}.weight")
        if array is None:
            continue
        if array.ndim != 4 or array.shape[1] not in (1, 3) or min(array.shape[2:]) < 2:
            break
        largest = float(np.abs(array).max())
        figures = [
            element("figure", picture(kernel_pixels(kernel, largest), f"kernel {i} of {node.name}"))
            for i, kernel in enumerate(array[:KERNELS])
        ]
        shown = f"{len(figures)} of the {len(array)}" if len(array) > KERNELS else f"The {len(array)}"
        scale = f"Middle grey is 0, white is {largest:.3g}, black {-largest:.3g}."
        note = f"{shown} kernels of {node.name}, {node.layer}. {scale}"
        return section(
            "First kernels",
            element("p", note, class_="note"),
            element("div", *figures, class_="pictures small"),
        )
    return Html("")


def layers(subject: Subject) -> Html:
    """The table of layers."""
    graph, facts = subject.graph, subject.facts
    numbers = [i for i, column in enumerate(COLUMNS) if column.align == "right"]
    rows = table([column.title for column in COLUMNS], layer_rows(graph, facts), numbers=numbers)
    lines = element("pre", "\n".join(total_lines(graph, facts)))
    return section("Layers", rows, lines)


def text(record: RunRecord) -> Html:
    """The file that was run, and those that it uses."""
    used = [
        element("details", element("summary", name), element("pre", content))
        for name, content in record.spec.uses.items()
    ]
    parameters = ", ".join(f"{name} = {value}" for name, value in record.parameters.items())
    note = f"{record.spec.file}" + (f", with {parameters}" if parameters else "")
    return section("Spec", element("p", note, class_="note"), element("pre", record.spec.text), *used)


def environment(record: RunRecord) -> Html:
    """Where and with what it ran, and how to do it again."""
    plan = record.threads
    rows = [
        ("cnnspec", record.versions.cnnspec),
        ("Python", record.versions.python),
        ("NumPy", ", ".join(filter(None, [record.versions.numpy, plan.blas]))),
        *([("PyTorch", f"{plan.torch}, on {plan.device}, {plan.precision}")] if plan.torch else []),
        ("platform", record.platform),
        ("processors", str(plan.cpus)),
        (
            "processes" if plan.torch else "workers",
            f"{plan.workers}, {plan.micro_batch} samples at a time, threads of each {plan.blas_threads}",
        ),
        *(
            (name, "; ".join(value) if isinstance(value, list) else str(value))
            for name, value in record.recipe.items()
        ),
    ]
    rows += [
        (
            "begun" if number == 0 else "gone on",
            f"{session.started}, epoch {session.epoch}, batch {session.batch}, {clock(session.seconds)}",
        )
        for number, session in enumerate(record.sessions)
    ]
    note = "The same spec, recipe, versions and workers give the same weights, bit for bit."
    return section("Environment", element("p", note, class_="note"), table(("", ""), rows))


def clock(seconds: float) -> str:
    """`4.2 s`, `3:05`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
