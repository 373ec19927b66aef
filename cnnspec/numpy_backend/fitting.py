"""Plans that stay within some memory: smaller pieces, fewer workers, and algorithms that need least."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cnnspec.network.table import in_bytes
from cnnspec.numpy_backend.account import standing
from cnnspec.numpy_backend.choices import Choices
from cnnspec.numpy_backend.memory import most_alive

if TYPE_CHECKING:
    from cnnspec.numpy_backend.plan import Plan

Planner = Callable[[Choices], "Plan"]


class CannotFit(Exception):  # noqa: N818 - it reads as what it is
    """No plan needs so little. `least` is the one that needs least, `why` says what it holds."""

    def __init__(self, message: str, why: str, least: Plan) -> None:
        super().__init__(message)
        self.why = why
        self.least = least


def plan_within(planner: Planner, choices: Choices, limit: int) -> Plan:
    """The first plan of `limit` bytes at most: of smaller pieces, fewer workers, lean algorithms.

    Raises:
        CannotFit: there is none.
    """
    plan = least = planner(choices)
    if plan.total_bytes <= limit:
        return plan
    for other in _leaner(plan, choices):
        plan = planner(other)
        if plan.total_bytes <= limit:
            return plan
        least = min(least, plan, key=lambda p: p.total_bytes)
    need = in_bytes(least.total_bytes)
    raise CannotFit(
        f"this network needs at least {need} at this batch, more than {in_bytes(limit)}", _why(least), least
    )


def _leaner(plan: Plan, choices: Choices) -> Iterator[Choices]:
    """Choices that need less and less, those that cost least first."""
    lean = {**choices.algorithms, **lean_algorithms(plan)}
    for algorithms in (choices.algorithms, lean):
        for workers in range(plan.workers, 0, -1):
            for size in _halves(plan.micro_batch):
                yield replace(choices, algorithms=algorithms, workers=workers, micro_batch=size)


def _halves(size: int) -> Iterator[int]:
    while size:
        yield size
        size //= 2


def lean_algorithms(plan: Plan) -> dict[str, str]:
    """Patches for every layer that has a choice: nothing is made of its weight."""
    pairs = zip(plan.graph.nodes, plan.selected, strict=True)
    return {node.name: "im2col" for node, selected in pairs if "im2col" in selected.rivals}


def _why(plan: Plan) -> str:
    """What is left when nothing can be made smaller."""
    if plan.in_step_for:
        first, *more = plan.in_step_for
        others = f" and {len(more)} more" if more else ""
        return (
            f"`{first}`{others} normalise by the whole batch in training, so that all its {plan.batch} images"
            " are in memory at a time, in however small pieces"
        )
    name, size = max(_bytes_at_a_time(plan).items(), key=lambda item: item[1])
    return f"it takes one image at a time by one worker; `{name}` needs most, {in_bytes(size)}"


def _bytes_at_a_time(plan: Plan) -> dict[str, int]:
    """What each node needs of one worker's plan: what stands, and the most of its buffers that is alive.

    Its buffers lie where those of other nodes lie at other times, so that they are not simply added up as in
    `bytes_by_node`: their sum may be more than all memory of the plan.
    """
    item, sizes = plan.dtype.itemsize, {}
    for i, (node, layer, kernel) in enumerate(
        zip(plan.graph.nodes, plan.facts.layers, plan.kernels, strict=True)
    ):
        own = [b.lifetime(plan.micro_batch, item) for b in plan.buffers.all if b.node == i]
        sizes[node.name] = standing(layer, kernel, 1, plan.training).total * item + most_alive(own)
    return sizes
