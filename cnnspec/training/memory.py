"""Whether a run fits into memory, asked before anything is allocated.

`np.zeros` of more than the machine has succeeds, and dies when it is touched: so sizes are compared first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from cnnspec.training.errors import TrainingError

KILO: Final = 1000


class Sized(Protocol):
    """What is asked of a plan: its bytes altogether, and those that each node is the reason for."""

    @property
    def total_bytes(self) -> int: ...  # noqa: D102 - see above
    @property
    def bytes_by_node(self) -> Mapping[str, int]: ...  # noqa: D102 - see above


class MemoryShortage(TrainingError):  # noqa: N818 - a state of the machine, not a mistake
    """The run needs more memory than there is."""


def check_memory(
    plan_for: Callable[[int], Sized], batch: int, other_bytes: int, available: int | None
) -> None:
    """Refuse a run that does not fit.

    Args:
        plan_for: the plan at a batch size.
        batch: the batch size of the run.
        other_bytes: what the run needs apart from the plan: data and optimizer.
        available: bytes that can be had; nothing where that is not known.

    Raises:
        MemoryShortage: it names the largest layer, and the largest halved batch that fits.
    """
    plan = plan_for(batch)
    need = plan.total_bytes + other_bytes
    if available is None or need <= available:
        return
    message = (
        f"a batch of {batch} needs {show_bytes(need)} of memory, and {show_bytes(available)} are available"
        f" (network {show_bytes(plan.total_bytes)}, data and optimizer {show_bytes(other_bytes)})"
    )
    raise MemoryShortage(message, *_advice(plan_for, plan, batch, other_bytes, available))


def _advice(
    plan_for: Callable[[int], Sized], plan: Sized, batch: int, other_bytes: int, available: int
) -> Iterator[str]:
    if other_bytes >= available:
        yield "data and optimizer alone do not fit: use a smaller data set, or a smaller `resize`"
        return
    layer, size = max(plan.bytes_by_node.items(), key=lambda item: item[1], default=("", 0))
    if layer:
        yield f"the layer that needs most is `{layer}`, {show_bytes(size)}"
    smaller = _fitting_batch(plan_for, batch, available - other_bytes)
    if smaller:
        yield f"`--batch {smaller}` fits"
    else:
        yield "not even a batch of 1 fits: the network must become smaller"


def _fitting_batch(plan_for: Callable[[int], Sized], batch: int, room: int) -> int | None:
    """The largest of half the batch, a quarter and so on whose plan fits."""
    while batch > 1:
        batch //= 2
        if plan_for(batch).total_bytes <= room:
            return batch
    return None


def show_bytes(count: int) -> str:
    """A number of bytes for people: `812.0 kB`, `1.4 GB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < KILO:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= KILO
    return f"{amount:,.1f} TB"
