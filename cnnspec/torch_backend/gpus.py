"""Which GPU a process computes on, and why there is none."""

from __future__ import annotations

import warnings

import torch

from cnnspec.training.errors import TrainingError


def find_gpu(number: str, local_rank: int | None, turn: int | None) -> torch.device:
    """A GPU on which something was computed, and which is this process's own from here on.

    Args:
        number: of the GPU, as the user says it; empty where nothing is said.
        local_rank: of this process on its machine, where several share every batch: each has a GPU.
        turn: its number among processes that have nothing to do with each other: they take the GPUs in turn.

    Raises:
        TrainingError: there is none, or it cannot be used.
    """
    there = _count()
    if number and local_rank is not None:
        help = "each process takes the GPU of its number: write --device cuda"
        raise TrainingError(f"--device cuda:{number} is one GPU, and torchrun starts several processes", help)
    chosen = int(number or (turn or 0) % there if local_rank is None else local_rank)
    if chosen >= there:
        gpus = "1 GPU" if there == 1 else f"{there} GPUs"
        help = f"start at most {there} with --nproc-per-node" if local_rank else "they are counted from 0"
        raise TrainingError(f"there is no GPU {chosen}: this machine has {gpus}", help)
    place = torch.device("cuda", chosen)
    try:
        torch.cuda.set_device(place)
        torch.ones(1, device=place).add_(1).item()
    except RuntimeError as error:  # held by another process, too old for this PyTorch, full, or broken
        why = str(error).splitlines()[0]
        help = "`nvidia-smi` shows the GPUs and who uses them; or use --device cpu"
        raise TrainingError(f"GPU {chosen} cannot be used: {why}", help) from None
    return place


def _count() -> int:
    """How many GPUs there are.

    Raises:
        TrainingError: there is none, and why.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return torch.cuda.device_count()
    if torch.version.cuda is None:
        why = "this PyTorch was built without CUDA"
        help = "install one with CUDA, see https://pytorch.org/get-started"
    else:  # of a driver that is too old PyTorch tells in a warning
        reasons = [str(one.message).splitlines()[0] for one in said]
        why = reasons[0] if reasons else "PyTorch finds no GPU that it can use here"
        help = "`nvidia-smi` shows the GPUs and their driver"
    raise TrainingError(f"--device cuda: {why}", f"{help}; or use --device cpu")
