"""One network computed by the NumPy backend, as a PyTorch module and as an ONNX model."""

from __future__ import annotations

import numpy as np

from cnnspec.network.graph import Facts, Graph
from cnnspec.numpy_backend import Model
from tests.support.models import alone, as_tuple, distance


def quiet_session(model_bytes: bytes):
    """ONNX Runtime on one thread, its warnings kept to itself."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])


def by_numpy(model: Model, x: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return as_tuple(model.predict(alone(x)))


def by_torch(
    graph: Graph, facts: Facts, weights, x: tuple[np.ndarray, ...], kind: str = "float32"
) -> tuple[np.ndarray, ...]:
    import torch

    from cnnspec.bridges.torch import to_module

    module = to_module(graph, facts, {name: array.astype(kind) for name, array in weights.items()}).eval()
    with torch.inference_mode():
        y = as_tuple(module(*(torch.tensor(array.astype(kind)) for array in x)))
    return tuple(array.numpy() for array in y)


def by_onnx(graph: Graph, facts: Facts, weights, x: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The model is checked in full, its shapes against those that ONNX itself infers."""
    import onnx

    from cnnspec.bridges.onnx import to_onnx

    model = to_onnx(graph, facts, weights)
    onnx.checker.check_model(model, full_check=True)
    session = quiet_session(model.SerializeToString())
    names = [port.name for port in session.get_inputs()]
    return tuple(session.run(None, dict(zip(names, (a.astype(np.float32) for a in x), strict=True))))


def farthest(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> float:
    """The largest relative distance of any output."""
    assert [array.shape for array in one] == [array.shape for array in other]
    return max(distance(a, b) for a, b in zip(one, other, strict=True))
