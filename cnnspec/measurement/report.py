"""A measurement as rows of tables, as sentences, and as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cnnspec.measurement.systems import SYSTEMS
from cnnspec.network.table import Column, Row, in_bytes

if TYPE_CHECKING:
    from cnnspec.measurement.comparison import Comparison
    from cnnspec.measurement.layers import LayerTime, LayerTimes
    from cnnspec.measurement.machine import Machine
    from cnnspec.measurement.turns import Spread
    from cnnspec.network.report import Json

SCHEMA: Final = "cnnspec-bench-1"
GIGA: Final = 1e9


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that was measured at one batch size.

    Attributes:
        layers: the time of every layer, where it was asked for.
        predicted_bytes: the memory of a step, by the plan.
        measured_bytes: what processes of their own took, by system.
    """

    comparison: Comparison
    layers: LayerTimes | None
    predicted_bytes: int
    measured_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `sgemm` is the machine's own limit, floating-point operations a second."""

    file: str
    machine: Machine
    sgemm: float
    measurements: tuple[Measurement, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside the figures, each once."""
        found = [*self.machine.notes]
        for measurement in self.measurements:
            comparison = measurement.comparison
            found += comparison.notes
            if comparison.disturbed:
                found.append(_disturbed(comparison))
        return tuple(dict.fromkeys(found))


def _disturbed(comparison: Comparison) -> str:
    batch, busy = comparison.task.batch, comparison.busy
    return f"batch {batch} is not to be used: others held {busy:.0%} of the machine meanwhile"


# --- tables ---------------------------------------------------------------------------------------------


def layer_columns(training: bool) -> list[Column]:
    """The columns of `layer_rows`."""
    passes = ["forward", "backward"] if training else ["time"]
    return [
        Column("layer"),
        Column("what it is", wide=True),
        *(Column(name, "right") for name in passes),
        Column("share", "right"),
        Column("GFLOP/s", "right"),
        Column("of sgemm", "right"),
    ]


def layer_rows(times: LayerTimes, sgemm: float, training: bool) -> list[Row]:
    """The cells of every layer, and what is left of the step."""
    rows = [_layer_row(layer, times.step, sgemm, training) for layer in times.layers]
    passes = ("", milliseconds(times.elsewhere)) if training else (milliseconds(times.elsewhere),)
    what = "batches, loss, update, waiting" if training else "batches, waiting"
    return [*rows, ("elsewhere", what, *passes, f"{times.elsewhere / times.step:.1%}", "", "")]


def _layer_row(layer: LayerTime, step: float, sgemm: float, training: bool) -> Row:
    passes = (layer.forward, layer.backward) if training else (layer.forward,)
    rate = layer.flops / layer.seconds if layer.flops and layer.seconds else 0.0
    return (
        layer.name,
        layer.layer,
        *map(milliseconds, passes),
        f"{layer.seconds / step:.1%}",
        f"{rate / GIGA:.1f}" if rate else "",
        f"{rate / sgemm:.0%}" if rate else "",
    )


VERSUS: Final = (
    Column("batch", "right"),
    Column("system"),
    Column("images/s", "right"),
    Column("a step", "right"),
    Column("cnnspec is", "right"),
)
"""The columns of `versus_rows`."""


def versus_rows(report: Report) -> list[Row]:
    """Every system in its fastest mode at every batch size, and how many times as fast cnnspec is."""
    rows: list[Row] = []
    for measurement in report.measurements:
        comparison = measurement.comparison
        batch = f"{comparison.task.batch}{'*' if comparison.disturbed else ''}"
        rows.append((batch, "cnnspec", *_speed(comparison, comparison.seconds), ""))
        for rival in comparison.rivals:
            speed = _speed(comparison, rival.seconds)
            rows.append((batch, rival.title, *speed, f"{rival.ratio} times as fast"))
    return rows


def _speed(comparison: Comparison, seconds: Spread) -> tuple[str, str]:
    return significant(comparison.task.batch / seconds.middle), milliseconds(seconds.middle)


# --- sentences ------------------------------------------------------------------------------------------


def title(report: Report) -> str:
    """The network, and what was measured."""
    task = report.measurements[0].comparison.task
    kind = "training" if task.training else "prediction"
    batches = ", ".join(str(m.comparison.task.batch) for m in report.measurements)
    return f"network {task.graph.name}: {kind}, batch {batches}"


def step_lines(measurement: Measurement, sgemm: float) -> Iterator[str]:
    """The step, the machine's limit, and the memory."""
    comparison = measurement.comparison
    task, seconds = comparison.task, comparison.seconds
    spread = f"{milliseconds(seconds.low)} to {milliseconds(seconds.high)}"
    images = significant(task.batch / seconds.middle)
    yield f"step     {milliseconds(seconds.middle)} ({spread}), {images} images a second"
    if flops := task.flops():
        limit = flops / sgemm
        yield (
            f"limit    {milliseconds(limit)}: {significant(flops / GIGA)} GFLOP"
            f" at sgemm's {sgemm / GIGA:.0f} GFLOP/s; the step reaches {limit / seconds.middle:.0%} of it"
        )
    yield f"memory   {', '.join(_memory(measurement))}"


def _memory(measurement: Measurement) -> Iterator[str]:
    yield f"{in_bytes(measurement.predicted_bytes)} predicted"
    for system, size in measurement.measured_bytes.items():
        yield f"{in_bytes(size)} measured in {SYSTEMS[system].title}"


def milliseconds(seconds: float) -> str:
    """`1.23 ms`."""
    return f"{significant(seconds * 1000)} ms"


def significant(figure: float) -> str:
    """Three digits: `0.0123`, `1.23`, `12.3`, `1,230`."""
    if figure >= 100:
        return f"{round(figure, -max(len(str(int(figure))) - 3, 0)):,.0f}"
    return f"{figure:.3g}" if figure else "0"


# --- JSON -----------------------------------------------------------------------------------------------


def document(report: Report) -> Json:
    """The whole run: seconds, bytes, floating-point operations a second; medians with their quartiles."""
    task = report.measurements[0].comparison.task
    machine = report.machine
    return {
        "schema": SCHEMA,
        "file": report.file,
        "network": task.graph.name,
        "mode": "training" if task.training else "inference",
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "threads": machine.threads,
            "blas": machine.blas,
            "versions": dict(machine.versions),
        },
        "sgemm": report.sgemm,
        "notes": list(report.notes),
        "batches": [_batch(measurement) for measurement in report.measurements],
    }


def _batch(measurement: Measurement) -> Json:
    comparison = measurement.comparison
    return {
        "batch": comparison.task.batch,
        "step": _spread(comparison.seconds),
        "flops": comparison.task.flops(),
        "memory": {
            "predicted_bytes": measurement.predicted_bytes,
            "measured_bytes": dict(measurement.measured_bytes),
        },
        "busy": comparison.busy,
        "disturbed": comparison.disturbed,
        "versus": [
            {
                "system": rival.system,
                "mode": rival.mode,
                "step": _spread(rival.seconds),
                "ratio": _spread(rival.ratio),
                "tried": dict(rival.trials),
            }
            for rival in comparison.rivals
        ],
        "layers": None if measurement.layers is None else _layers(measurement.layers),
    }


def _layers(times: LayerTimes) -> list[Json]:
    return [
        {
            "name": layer.name,
            "forward": layer.forward,
            "backward": layer.backward,
            "forward_flops": layer.forward_flops,
            "backward_flops": layer.backward_flops,
            "share": layer.seconds / times.step,
        }
        for layer in times.layers
    ]


def _spread(spread: Spread) -> Json:
    return {"median": spread.middle, "low": spread.low, "high": spread.high}
