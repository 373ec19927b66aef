"""Processes that torchrun has started, on one machine or several, and that share every batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from datetime import timedelta
from secrets import token_hex
from typing import Final, Self, TypeVar

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from cnnspec.torch_backend.placement import Placement
from cnnspec.training.crew import Place, Wish, WorkerLost, never
from cnnspec.training.errors import TrainingError

T = TypeVar("T")

PATIENCE: Final = timedelta(minutes=10)
"""How long a process waits for another that is silent, but not known to be gone. Data are read, and
downloaded, within this time."""
POLL_SECONDS: Final = 0.02
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
    def join(cls, placement: Placement, place: Place) -> Self:
        """Meet the others, where torchrun's environment says.

        Raises:
            TrainingError: they are not met in time.
        """
        gpu = placement.is_gpu
        try:
            store = _store(place)
            dist.init_process_group(
                "nccl" if gpu else "gloo",
                store=PrefixStore(_password(store, place), store),
                rank=place.rank,
                world_size=place.size,
                timeout=PATIENCE,
                device_id=placement.device if gpu else None,
            )
        except (RuntimeError, ValueError, KeyError) as error:
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            help = "start all of them by torchrun, with the same --rdzv-endpoint; see the README"
            raise TrainingError(f"the processes of this run have not met: {first}", help) from None
        return cls(place.rank, place.size, place.local_rank, placement.device)

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


def _store(place: Place) -> Store:
    """Where the processes leave each other notes: with torchrun itself, or with process 0."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    own = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and place.rank == 0
    return TCPStore(address, port, is_master=own, timeout=PATIENCE, wait_for_workers=False)


def _password(store: Store, place: Place) -> str:
    """A word that the processes which are alive now have in common.

    torchrun's notes outlive the processes, so that those which it starts again would find the addresses of
    dead ones. So process 0 makes up a word and tells it to whoever calls with a number of its own, until all
    have said that they know it.

    Raises:
        RuntimeError: the others do not call, or process 0 does not answer.
    """
    if place.rank:
        call = token_hex(8)
        store.set(f"call/{place.rank}", call)
        word: str = store.get(f"answer/{call}").decode()
        store.set(f"{word}/{place.rank}", "")
        return word
    word, missing = token_hex(8), set(range(1, place.size))
    until = time.monotonic() + PATIENCE.total_seconds()
    while missing:
        if time.monotonic() > until:
            raise RuntimeError(f"process {min(missing)} has not come")
        for rank in missing:
            if store.check([f"call/{rank}"]):
                store.set(f"answer/{store.get(f'call/{rank}').decode()}", word)
        missing = {rank for rank in missing if not store.check([f"{word}/{rank}"])}
        time.sleep(POLL_SECONDS)
    return word


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
