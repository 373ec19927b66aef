"""Threads that share the blocks of one kernel, where a single worker has all processors to itself.

BLAS shares a product among its threads, and nothing else of a convolution: patches are cut and tiles are
transformed by one. Where a piece is too small to be divided among workers, a kernel may divide its outputs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from cnnspec.numpy_backend.blas import blas_threads
from cnnspec.numpy_backend.kernels.base import Run
from cnnspec.numpy_backend.workers import Workers


class _Own(threading.local):
    """Whoever calls has threads of its own, which end with it."""

    workers: Workers | None = None


_own = _Own()


def _forget() -> None:
    """A process that is forked has no threads but one."""
    _own.workers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def together(parts: Sequence[Run]) -> Run:
    """Bind running the parts at once, each with a BLAS of one thread, the first in the thread that calls."""
    if len(parts) == 1:
        return parts[0]

    def job(member: int) -> None:
        parts[member]()

    def run() -> None:
        if _own.workers is None or _own.workers.count < len(parts):
            _own.workers = Workers(len(parts))
        with blas_threads(1):
            _own.workers.run(job, len(parts))

    return run
