"""Processes that torchrun has started, on one machine or several, and that share every batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from datetime import timedelta
from typing import Final, Self, TypeVar

import torch
import torch.distributed as dist

from cnnspec.torch_backend.placement import Placement
from cnnspec.training.crew import Wish, WorkerLost, never
from cnnspec.training.errors import TrainingError

T = TypeVar("T")

PATIENCE: Final = timedelta(minutes=10)
"""How long a process waits for another that is silent, but not known to be gone. Data are read, and
downloaded, within this time."""
SIGNS: Final = ("gloo", "NCCL", "ProcessGroup", "Connection closed", "Connection reset", "Broken pipe")
"""Words in the errors of PyTorch by which a lost connection is told from any other fault."""


class Processes:
    """One process among those of a run: gloo connects those on processors, NCCL those on GPUs."""

    def __init__(self, rank: int, size: int, local_rank: int, device: torch.device) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self.device = device
        self.wish: Wish = never
        self._stops = False

    @classmethod
    def join(cls, placement: Placement, local_rank: int) -> Self:
        """Meet the others, where torchrun's environment says.

        Raises:
            TrainingError: they are not met in time.
        """
        gpu = placement.is_gpu
        try:
            dist.init_process_group(
                "nccl" if gpu else "gloo", timeout=PATIENCE, device_id=placement.device if gpu else None
            )
        except (RuntimeError, ValueError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            help = "start all of them by torchrun, with the same --rdzv-endpoint; see the README"
            raise TrainingError(f"the processes of this run have not met: {first}", help) from None
        return cls(dist.get_rank(), dist.get_world_size(), local_rank, placement.device)

    def stops(self) -> bool:
        """Whether one of them wished to stop when figures were last added up."""
        return self._stops

    def total(self, figures: T) -> T:
        """A dataclass of numbers, each added up over all processes; their wishes to stop go along."""
        names = [field.name for field in fields(figures)]  # type: ignore[arg-type]
        own = [float(getattr(figures, name)) for name in names]
        *sums, wishes = self._sum([*own, float(self.wish())])
        self._stops = wishes > 0
        kinds = [type(getattr(figures, name)) for name in names]
        whole = [kind(value) for kind, value in zip(kinds, sums, strict=True)]
        return replace(figures, **dict(zip(names, whole, strict=True)))  # type: ignore[type-var]

    def from_first(self, value: T) -> T:
        """What process 0 gives."""
        box = [value]
        with watched():
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Around what process 0 of each machine is to do first."""
        if self.local_rank:
            self._sum([0.0])
        yield
        if not self.local_rank:
            self._sum([0.0])

    def leave(self) -> None:
        """Part from the others, who may have gone already."""
        with suppress(RuntimeError):
            dist.destroy_process_group()

    def _sum(self, numbers: list[float]) -> list[float]:
        tensor = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        with watched():
            dist.all_reduce(tensor)
            return list(map(float, tensor.tolist()))


@contextmanager
def watched() -> Iterator[None]:
    """Around what needs the other processes.

    Raises:
        WorkerLost: one of them is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(sign in str(error) for sign in SIGNS):
            raise
        help = "torchrun with --max-restarts starts all of them again, and the run goes on"
        raise WorkerLost("another process of this run is gone", help) from None
