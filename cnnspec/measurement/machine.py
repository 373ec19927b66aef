"""What figures depend on: the processor, threads, BLAS, versions; and what BLAS does at best."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from cnnspec.numpy_backend.blas import blas_threads, cores

PACKAGES: Final = ("numpy", "torch", "onnxruntime", "jax")
PROCESSOR: Final = Path("/proc/cpuinfo")
BELOW: Final = {"haswell": "AVX2", "zen": "AVX2", "sandybridge": "AVX", "nehalem": "SSE", "prescott": "SSE"}
"""Kernels of OpenBLAS that leave AVX-512 unused, and what they use."""
SIZES: Final = (768, 1536, 2560)
"""Rows and columns of the square matrices whose product is the limit."""
LEAST_SECONDS: Final = 0.15


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine and what runs on it."""

    processor: str
    cores: int
    threads: int
    blas: str
    versions: dict[str, str]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        plural = "thread" if self.threads == 1 else "threads"
        return f"{self.processor}, {self.threads} {plural} of {self.cores}; {self.blas}; {packages}"


def describe(threads: int) -> Machine:
    """The machine as figures should name it."""
    name, flags = _processor()
    libraries = [info for info in threadpool_info() if info["user_api"] == "blas"]
    kinds = {f"{i['internal_api']} {i['version']}, {i.get('architecture', '?')} kernels" for i in libraries}
    versions = {package: number for package in PACKAGES if (number := _version(package))}
    blas = " and ".join(sorted(kinds)) or "an unknown BLAS"
    return Machine(name, cores(), threads, blas, versions, tuple(_notes(flags)))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> tuple[str, set[str]]:
    """The name of the processor and what it can do, where the system tells."""
    try:
        lines = PROCESSOR.read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return fields.get("model name", platform.machine()), set(fields.get("flags", "").split())


def _notes(flags: set[str]) -> list[str]:
    """What holds the figures down."""
    asked = os.environ.get("OPENBLAS_CORETYPE", "")
    used = BELOW.get(asked.lower())
    if used is None or "avx512f" not in flags:
        return []
    return [
        f"OPENBLAS_CORETYPE={asked} holds NumPy's BLAS to {used} kernels, and this processor has AVX-512; "
        "others are not held"
    ]


def sgemm_flops(threads: int) -> float:
    """Floating-point operations a second of the best large float32 matrix product."""
    random = np.random.default_rng(0)
    return max(_product_flops(n, threads, random) for n in SIZES)


def _product_flops(n: int, threads: int, random: np.random.Generator) -> float:
    a, b = (random.standard_normal((n, n), np.float32) for _ in range(2))
    out = np.empty_like(a)
    best, start = float("inf"), time.perf_counter()
    with blas_threads(threads):
        np.matmul(a, b, out=out)
        while time.perf_counter() - start < LEAST_SECONDS:
            begun = time.perf_counter()
            np.matmul(a, b, out=out)
            best = min(best, time.perf_counter() - begun)
    return 2 * n**3 / best if best < float("inf") else 0.0
