"""The BLAS library under NumPy: how many threads it may use."""

from __future__ import annotations

import os
from functools import cache

from threadpoolctl import LibController, ThreadpoolController  # type: ignore[import-untyped]


def cores() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


WITH_SMALL_PRODUCTS = frozenset({"skylakex", "cooperlake", "sapphirerapids"})
"""The processors for which OpenBLAS has kernels that multiply small matrices as they lie."""


@cache
def architectures() -> tuple[str, ...]:
    """For which processors the kernels of the loaded libraries were written, as they call them."""
    return tuple(str(library.info().get("architecture", "")) for library in _controller().lib_controllers)


def has_small_products() -> bool:
    """Whether small products are taken without packing."""
    return any(name.lower() in WITH_SMALL_PRODUCTS for name in architectures())


@cache
def _libraries() -> tuple[LibController, ...]:
    return tuple(_controller().lib_controllers)


class blas_threads:  # noqa: N801 - used as a function
    """Hold BLAS to so many threads; back to what it had at the end.

    The libraries are looked up once: entering then costs about a microsecond, where
    `threadpoolctl.threadpool_limits` costs hundreds.
    """

    __slots__ = ("_before", "_count")

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> None:
        before = [(library, library.get_num_threads()) for library in _libraries()]
        self._before = [(library, threads) for library, threads in before if threads != self._count]
        for library, _ in self._before:
            library.set_num_threads(self._count)

    def __exit__(self, *_: object) -> None:
        for library, threads in self._before:
            library.set_num_threads(threads)
