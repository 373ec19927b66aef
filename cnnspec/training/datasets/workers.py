"""Reading many files at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from cnnspec.training.machine import cpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

MOST_WORKERS: Final = 8


def workers() -> int:
    """Threads that read and decode: one for each processor, up to a limit."""
    return max(1, min(cpus() or 1, MOST_WORKERS))


def fill(
    out: NDArray[np.float32], sources: Sequence[T], make: Callable[[T, NDArray[np.float32]], None]
) -> None:
    """Let `make` fill the row of `out` for each source; the first error in their order is raised.

    The threads have ended when this returns, however it does.
    """

    def job(worker: int) -> tuple[int, Exception] | None:
        for index in range(worker, len(sources), count):
            if failed and min(failed) < index:
                return None
            try:
                make(sources[index], out[index])
            except Exception as error:
                failed.append(index)
                return index, error
        return None

    count, failed = workers(), list[int]()
    pool = ThreadPoolExecutor(count, thread_name_prefix="cnnspec-read")
    try:
        errors = [outcome for outcome in pool.map(job, range(count)) if outcome is not None]
    except BaseException:  # interrupted: let the others stop at their next file
        failed.append(-1)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if errors:
        raise min(errors, key=lambda outcome: outcome[0])[1]
