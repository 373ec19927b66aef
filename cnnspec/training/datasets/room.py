"""Whether samples fit in memory, or are made when they are asked for."""

from __future__ import annotations

from typing import Final

from cnnspec.training.machine import available_memory

FLOAT_BYTES: Final = 4
SHARE: Final = 0.5
"""Of the memory that can be had, samples take no more than this; the network needs some as well."""
STREAM_BYTES: Final = 2**28
"""What a stream takes: some batches that are being made, and what decoding needs."""


def fits(size: int) -> bool:
    """Whether so many bytes of samples are kept in memory."""
    available = available_memory()
    return available is None or size <= available * SHARE


def kept(size: int) -> int:
    """The bytes that samples of so many bytes take: those of a stream where they do not fit."""
    return size if fits(size) else STREAM_BYTES
