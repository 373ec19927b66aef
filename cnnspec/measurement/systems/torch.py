"""PyTorch: eager, with the channels last in memory, and compiled."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from cnnspec.measurement.systems.base import SYSTEMS, System, Way
from cnnspec.measurement.task import RATE, Task
from cnnspec.measurement.turns import Step

if TYPE_CHECKING:
    import torch

Run = Callable[..., "torch.Tensor"]

IMAGE_AXES: Final = 4


def step(task: Task, *, channels_last: bool = False, compiled: bool = False) -> Step:
    """A step of training or prediction; in training the images of a batch are drawn from the pool."""
    import torch

    from cnnspec.bridges.torch import to_module

    module: Any = to_module(task.graph, task.facts, task.weights, logits=task.training)
    module.train(task.training)
    inputs = [torch.from_numpy(array) for array in task.inputs]
    if channels_last:
        module = module.to(memory_format=torch.channels_last)
        inputs = [
            x.contiguous(memory_format=torch.channels_last) if x.ndim == IMAGE_AXES else x for x in inputs
        ]
    run: Run = torch.compile(module, dynamic=False) if compiled else module
    made = _train(task, run, module, inputs) if task.training else _predict(task, run, inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):
            made()
    return made


def _train(task: Task, run: Run, module: torch.nn.Module, inputs: list[torch.Tensor]) -> Step:
    import torch

    labels = torch.from_numpy(task.labels)
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=RATE)

    def step() -> float:
        rows = torch.randint(0, task.images, (task.batch,))
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(run(*(x[rows] for x in inputs)), labels[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def _predict(task: Task, run: Run, inputs: list[torch.Tensor]) -> Step:
    import torch

    rows = task.rows()

    def step() -> object:
        batch = next(rows)
        with torch.inference_mode():
            return run(*(x[batch] for x in inputs))

    return step


def _ways(task: Task) -> Iterator[Way]:
    yield Way("eager", step)
    if any(len(task.facts.shape(source)) == IMAGE_AXES - 1 for source in task.graph.sources()):
        yield Way("channels last", lambda task: step(task, channels_last=True))
    yield Way("compiled", lambda task: step(task, compiled=True))


def _threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


SYSTEMS["torch"] = System("PyTorch", ("torch",), "pip install 'cnnspec[torch]'", True, _ways, _threads)
