"""Where a network is computed, and with which numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from cnnspec.torch_backend.gpus import find_gpu
from cnnspec.training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS: Final = ("cpu", "cuda")
MIXED: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS: Final = ("float32", *MIXED)
IMAGE_AXES: Final = 4


@dataclass(frozen=True, slots=True)
class Placement:
    """A device and how it computes.

    Attributes:
        device: `cpu`, or a GPU.
        precision: `float32`, or the numbers of matrix products and convolutions; weights, their updates,
            normalizations and losses are float32 all the same.
        channels_last: whether images lie as `N x H x W x C` in memory, as the units for matrix products of
            a GPU take them.
    """

    device: torch.device
    precision: str = "float32"
    channels_last: bool = False

    @property
    def is_gpu(self) -> bool:
        """Whether it is not the processor."""
        return self.device.type != "cpu"

    def autocast(self) -> AbstractContextManager[object]:
        """Around a forward pass: where it may, it computes with the shorter numbers."""
        mixed = self.precision in MIXED
        kind = MIXED.get(self.precision, torch.bfloat16)
        return torch.autocast(self.device.type, dtype=kind, enabled=mixed)

    def scaler(self) -> torch.amp.GradScaler:
        """What keeps gradients within the range of float16; it does nothing with other numbers."""
        return torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")

    def moved(self, array: NDArray[np.generic]) -> torch.Tensor:
        """An array there; the copy to a GPU goes on while Python does. On the processor it is not copied."""
        tensor = _tensor(array)
        if not self.is_gpu:
            return self.laid_out(tensor)
        return self.laid_out(tensor.pin_memory().to(self.device, non_blocking=True))

    def copied(self, array: NDArray[np.generic]) -> torch.Tensor:
        """An array there that stays there; unlike `moved` it takes no memory that a GPU reads by itself."""
        return _tensor(array).to(self.device)

    def pinned(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same numbers in memory that a GPU reads by itself, whatever the processor does meanwhile."""
        copied: NDArray[np.float32] = _tensor(array).pin_memory().numpy()
        return copied

    def laid_out(self, x: torch.Tensor) -> torch.Tensor:
        """A tensor in the memory format of images, if it is one."""
        if self.channels_last and x.ndim == IMAGE_AXES:
            return x.contiguous(memory_format=torch.channels_last)
        return x

    def room(self) -> int:
        """Bytes that a GPU has left."""
        return torch.cuda.mem_get_info(self.device)[0] if self.is_gpu else 0

    def __str__(self) -> str:
        return f"{self.device}, {torch.cuda.get_device_name(self.device)}" if self.is_gpu else "cpu"


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    """An array as a tensor, in the same memory; what must not be written is copied, as PyTorch wants it."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def choose_placement(
    device: str, precision: str | None = None, local_rank: int | None = None, turn: int | None = None
) -> Placement:
    """The placement that a user asks for; on a GPU numbers are mixed and channels last unless told otherwise.

    Args:
        device: `cpu`, `cuda`, or `cuda:1`.
        precision: `float32`, `bfloat16` or `float16`.
        local_rank: the number of this process on its machine, where there are several: each has a GPU.
        turn: its number among processes that have nothing to do with each other: they take the GPUs in turn.

    Raises:
        TrainingError: there is no such device here, or no such precision.
    """
    if precision is not None and precision not in PRECISIONS:
        raise TrainingError(f"there is no precision `{precision}`", f"there are {', '.join(PRECISIONS)}")
    kind, _, number = device.partition(":")
    if kind not in KINDS or (number and not (number.isascii() and number.isdigit() and kind == "cuda")):
        raise TrainingError(f"there is no device `{device}`", "--device takes cpu, cuda, or cuda:1")
    if kind == "cpu":
        return Placement(torch.device("cpu"), precision or "float32")
    place = find_gpu(number, local_rank, turn)
    torch.backends.cudnn.benchmark = True  # batches are alike: the fastest algorithm is worth looking for
    if precision == "float32":  # and not what its units for matrix products make of it
        torch.backends.cudnn.allow_tf32 = False
    usual = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return Placement(place, precision or usual, channels_last=True)
