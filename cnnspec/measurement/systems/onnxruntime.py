"""ONNX Runtime, which predicts only."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec.measurement.systems.base import SYSTEMS, System, Way
from cnnspec.measurement.task import Task
from cnnspec.measurement.turns import Step

_ERRORS_ONLY = 3


def _predict(task: Task) -> Step:
    import onnxruntime  # type: ignore[import-untyped]

    from cnnspec.bridges.onnx import to_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    options.log_severity_level = _ERRORS_ONLY
    model = to_onnx(task.graph, task.facts, task.weights).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names, rows = [port.name for port in session.get_inputs()], task.rows()

    def step() -> object:
        batch = next(rows)
        return session.run(None, {name: x[batch] for name, x in zip(names, task.inputs, strict=True)})

    step()
    return step


def _ways(task: Task) -> Iterator[Way]:
    if not task.training:
        yield Way("", _predict)


SYSTEMS["onnxruntime"] = System(
    "ONNX Runtime",
    ("onnx", "onnxruntime"),
    "pip install 'cnnspec[onnx]' onnxruntime",
    False,
    _ways,
    lambda threads: None,
)
