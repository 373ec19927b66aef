"""Where every buffer lies: lifetimes first, then offsets in one arena.

Two buffers may share memory when no step of the program finds both of them alive. Placing them so that the
arena is smallest is NP-hard; taking the largest first and giving each the lowest free offset comes close
(Pisarchyk & Lee 2020, arXiv:2001.03288, "greedy by size"). What is alive in one step alone, the scratch of
the kernels, is placed before all else: it then shares one place, which stays in the cache from layer to
layer. (ResNet-20 trained 9 % faster so, ResNet-18 predicted 7 % faster.) Where that needs more than the most
that is alive at a time, the order by size times steps is tried too: of U-Net's prediction the arena was 1.46
times as large as that, and is 1.03 times.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

ALIGNMENT: Final = 64
"""Bytes of a cache line, and of the widest vector register."""
WASTE: Final = 1.03
"""An arena that is larger by no more than this is as good as a smaller one."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A buffer of some bytes that holds something from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether some step finds both alive."""
        return self.first <= other.last and other.first <= self.last


def aligned(size: int) -> int:
    """The next multiple of the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(buffers: Sequence[Lifetime], reuse: bool = True) -> tuple[tuple[int, ...], int]:
    """The offset of every buffer and the size of the arena, in bytes.

    With `reuse=False` every buffer has memory of its own.
    """
    found = _placed(buffers, _by_size, reuse)
    if found[1] <= WASTE * most_alive(buffers) or not reuse:
        return found
    other = _placed(buffers, _by_area, reuse)
    return other if WASTE * other[1] < found[1] else found


def most_alive(buffers: Sequence[Lifetime]) -> int:
    """The bytes that are alive at a time, at most: no arena can be smaller."""
    changes: dict[int, int] = {}
    for buffer in buffers:
        changes[buffer.first] = changes.get(buffer.first, 0) + aligned(buffer.size)
        changes[buffer.last + 1] = changes.get(buffer.last + 1, 0) - aligned(buffer.size)
    return max(accumulate(changes[step] for step in sorted(changes)), default=0)


def _placed(
    buffers: Sequence[Lifetime], rank: Callable[[Lifetime], tuple[bool, int]], reuse: bool
) -> tuple[tuple[int, ...], int]:
    """Offsets and end, where each takes the lowest gap in the order of its rank."""
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for index in sorted(range(len(buffers)), key=lambda index: rank(buffers[index])):
        busy = [
            (offsets[other], offsets[other] + aligned(buffers[other].size))
            for other in placed
            if not reuse or buffers[other].meets(buffers[index])
        ]
        offsets[index] = _lowest_gap(sorted(busy), aligned(buffers[index].size))
        placed.append(index)
    end = max((offset + aligned(b.size) for offset, b in zip(offsets, buffers, strict=True)), default=0)
    return tuple(offsets), end


def _by_size(buffer: Lifetime) -> tuple[bool, int]:
    """What lives for one step first, then the largest."""
    return buffer.first != buffer.last, -buffer.size


def _by_area(buffer: Lifetime) -> tuple[bool, int]:
    """The largest and longest first."""
    return False, -buffer.size * (buffer.last - buffer.first + 1)


def _lowest_gap(busy: list[tuple[int, int]], size: int) -> int:
    """The lowest offset from which `size` bytes are free of the sorted busy ranges."""
    offset = 0
    for start, end in busy:
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset


def allocate(size: int) -> NDArray[np.uint8]:
    """An aligned arena of `size` bytes, its contents undefined."""
    block = np.empty(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + size]


def shared_bytes(size: int) -> NDArray[np.uint8]:
    """Zeros that processes forked later share with this one. The system gives memory where it is touched."""
    return np.frombuffer(mmap.mmap(-1, max(size, 1)), np.uint8)


@dataclass(frozen=True, slots=True)
class Allocator:
    """Gives arrays of zeros, in memory that worker processes share or in this one's own."""

    shared: bool

    def zeros(self, shape: Sequence[int], dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """An array of zeros."""
        if not self.shared:
            return np.zeros(shape, dtype)
        kind = np.dtype(dtype)
        count = math.prod(shape)
        return shared_bytes(count * kind.itemsize)[: count * kind.itemsize].view(kind).reshape(shape)
