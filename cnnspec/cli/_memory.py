"""`cnnspec check --memory`: what training will need, by what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.cli._output import grouped
from cnnspec.network.table import in_bytes
from cnnspec.training.errors import TrainingError
from cnnspec.training.memory import training_memory

if TYPE_CHECKING:
    from cnnspec.network.check import Checked
    from cnnspec.network.report import Json
    from cnnspec.training.memory import TrainingMemory

CONVENTIONS: Final = {
    "weights": "parameters and running statistics",
    "gradients": "of the trained parameters, a sum for each worker",
    "optimizer": "what its update keeps: a velocity with momentum, and room for one step",
    "activations": "what the backward pass reads of the forward pass, of the images at work at a time",
    "scratch": "all else: gradients of activations, the kernels' own buffers, weights in another layout",
    "peak": "all of it: nothing is allocated in a step; without the data and without Python",
}


def sizes(memory: TrainingMemory) -> dict[str, int]:
    """The bytes by what they are for, and their sum at the end."""
    parts = memory.parts
    numbers = (parts.weights, parts.gradients, memory.optimizer, parts.activations, parts.scratch)
    return dict(zip(CONVENTIONS, (*numbers, memory.peak), strict=True))


def memory_lines(checked: Checked, batch: int | None) -> list[str]:
    """A line for each part, at the recipe's batch unless another is given."""
    graph, facts = checked.network()
    try:
        memory = training_memory(graph, facts, checked.recipe, batch)
    except TrainingError as error:
        return [f"memory in training of {graph.name}: not known; {error.message}"]
    plan = memory.plan
    workers = "1 worker" if plan.workers == 1 else f"{plan.workers} workers"
    head = (
        f"memory in training of {graph.name}, batches of {plan.batch}:"
        f" {memory.images_at_once} images at a time by {workers} on this machine, in {plan.dtype}"
    )
    cells = [(name, in_bytes(size), f"{grouped(size)} bytes") for name, size in sizes(memory).items()]
    first, second, third = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        head,
        *(
            f"{name:<{first}}  {short:>{second}}  {exact:>{third}}  {CONVENTIONS[name]}"
            for name, short, exact in cells
        ),
    ]


def memory_report(checked: Checked, batch: int | None) -> Json:
    """As plain data; nothing where the file has errors, the reason where it cannot be trained."""
    if not checked.ok or checked.graph is None:
        return None
    try:
        memory = training_memory(checked.graph, checked.facts, checked.recipe, batch)
    except TrainingError as error:
        return {"error": error.message}
    plan = memory.plan
    return {
        "batch": plan.batch,
        "images_at_once": memory.images_at_once,
        "workers": plan.workers,
        "dtype": str(plan.dtype),
        **{f"{name.removesuffix('s')}_bytes": size for name, size in sizes(memory).items()},
    }
