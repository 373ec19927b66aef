"""The prices of `cnnspec/numpy_backend/costs.py`, fitted to what convolutions take on this machine.

    python benchmarks/prices.py [--seconds 0.03]

Every algorithm computes 76 convolutions of 3x3, 96 of 3x3 and 5x5 before a pooling of 2x2, and 27 with a
stride of 2, on random numbers, on one core, forward alone and with the backward pass. Printed are the prices
for the kernels of BLAS that are at work, as a table for `costs.py`; how far the estimates are from what was
measured; and how much longer than the fastest what they choose takes, with these prices and with those built
in. OPENBLAS_CORETYPE=Haswell gives the kernels for AVX2 where the machine has AVX-512. It takes two minutes,
and wants a machine that is idle otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from math import inf
from typing import Any

import numpy as np

import cnnspec
from cnnspec.layers.convolution import Conv
from cnnspec.numpy_backend.blas import blas_threads, has_small_products
from cnnspec.numpy_backend.costs import NEVER, PRICES, Prices
from cnnspec.numpy_backend.kernels.base import Work, kernel_of
from cnnspec.numpy_backend.trials import Setting, medians, trial

LONG = 1e8
"""Picoseconds of a pass that weighs fully: shorter ones matter less to a network."""
ROUNDS = 5
"""Of the fit, where errors are relative to what was measured and estimated: half is as bad as twice."""
Table = dict[str, tuple[Prices, Prices]]
WIDE = [(3, 16), (8, 8), (16, 16), (32, 32), (64, 64), (128, 128), (256, 256), (512, 512), (64, 128)]
"""Channels of input and output."""


@dataclass(frozen=True)
class Trial:
    """An algorithm on a convolution: its work, and picoseconds of its passes; it may have none backward."""

    name: str
    priced_as: str
    work: Work
    forward: float
    backward: float | None

    def taken(self, training: bool) -> float:
        """Picoseconds of a step; endless where it cannot be learned from."""
        return self.forward + (inf if self.backward is None else self.backward) if training else self.forward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.03, help="for the trials of a convolution, a pass")
    seconds = parser.parse_args().seconds
    subjects = list(convolutions())
    measured = []
    with blas_threads(1):
        for done, (layer, shape, tile, images) in enumerate(subjects, 1):
            measured.append(tried(layer, shape, tile, images, seconds))
            print(f"\r{done} of {len(subjects)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    kernels = "avx512" if has_small_products() else "avx2"
    built_in, fitted = PRICES[kernels], fit(measured, PRICES[kernels])
    print(f'    "{kernels}": {{')
    for name, both in fitted.items():
        print(f'        "{name}": (')
        for prices in both:
            print(f"            Prices({', '.join(readable(price) for price in astuple(prices))}),")
        print("        ),")
    print("    },\n")
    for title, prices in (("fitted", fitted), ("built in", built_in)):
        report(title, prices, measured)


def convolutions() -> Iterator[tuple[Conv, tuple[int, ...], tuple[int, ...], int]]:
    """Layer, shape of the input, tile asked by a pooling behind it, and images."""
    for (channels, outputs), size in itertools.product(WIDE, (7, 14, 28, 56, 112)):
        work = channels * outputs * size**2
        if not 1e5 < work < 6e7:
            continue
        for images in (1, 8, 64) if work < 6e6 else (1, 8):
            yield conv(outputs, 3, 1), (channels, size, size), (), images
    for (channels, outputs), (size, kernel, padding) in itertools.product(
        [(1, 6), (3, 16), (6, 16), (8, 32), (16, 32), (32, 64)],
        [(14, 5, 0), (28, 5, 2), (32, 5, 2), (14, 3, 1), (28, 3, 1), (32, 3, 1)],
    ):
        for images in (1, 16) if channels > 8 else (1, 16, 64):
            yield conv(outputs, kernel, padding), (channels, size, size), (2, 2), images
    for channels, outputs, size, kernel in [
        (3, 32, 112, 3),
        (3, 32, 224, 3),
        (3, 64, 112, 7),
        (3, 64, 224, 7),
        (16, 32, 32, 3),
        (32, 64, 56, 3),
        (64, 128, 56, 3),
        (128, 256, 28, 3),
        (256, 512, 14, 3),
    ]:
        for images in (1, 8, 64) if channels > 3 else (1, 8, 16):
            yield conv(outputs, kernel, kernel // 2, stride=2), (channels, size, size), (), images


def conv(outputs: int, kernel: int, padding: int, stride: int = 1) -> Conv:
    options = f"{kernel}x{kernel} padding={padding} stride={stride}"
    text = f"network A {{\n input 3x64x64\n conv {outputs} {options}\n}}\n"
    layer = cnnspec.loads(text).graph.nodes[-1].layer
    assert isinstance(layer, Conv), "the network ends in its convolution"
    return layer


def tried(
    layer: Conv, shape: tuple[int, ...], tile: tuple[int, ...], images: int, seconds: float
) -> list[Trial]:
    """All that can compute a convolution, turn by turn."""
    kinds = kernel_of(layer, (shape,)).candidates(layer, (shape,), tile)

    def taken(some: list[Any], training: bool) -> dict[str, float]:
        setting = Setting(layer, shape, tile, images, training)
        runs = [trial(kind, setting) for kind in some]
        names = [kind.name for kind in some]
        return dict(zip(names, medians(runs, seconds * len(runs)), strict=True))

    forward, both = taken(list(kinds), False), taken([kind for kind in kinds if kind.learns], True)
    return [
        Trial(
            kind.name,
            kind.priced_as,
            replace(kind.work(layer, (shape,), tile, images), strided=0),  # no pooling is tried
            forward[kind.name] * 1e12,
            (both[kind.name] - forward[kind.name]) * 1e12 if kind.learns else None,
        )
        for kind in kinds
    ]


def fit(measured: list[list[Trial]], built_in: Table) -> Table:
    """The prices of least error, none below 0; `strided` is as built in."""
    by_name: dict[str, list[Trial]] = defaultdict(list)
    for each in itertools.chain(*measured):
        by_name[each.priced_as].append(each)
    return {
        name: (
            fitted(by_name[name], [each.forward for each in by_name[name]], forward),
            fitted(by_name[name], [each.backward for each in by_name[name]], backward),
        )
        for name, (forward, backward) in built_in.items()
    }


def fitted(trials: list[Trial], picoseconds: list[float | None], built_in: Prices) -> Prices:
    """Those of a pass."""
    if None in picoseconds:
        return NEVER
    names = [field.name for field in fields(Work)]
    works = np.array([astuple(each.work) for each in trials], float)
    times = np.array(picoseconds, float)
    fixed = names.index("strided")
    free = [k for k in range(len(names)) if k != fixed]
    found, estimates = np.full(len(names), float(built_in.strided)), times
    weight = np.minimum(times / LONG, 1)
    for _ in range(ROUNDS):
        scale = np.sqrt(weight / (times * estimates))
        found[free] = non_negative(works[:, free] * scale[:, None], times * scale)
        estimates = works @ found
    return Prices(*found)


def non_negative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`x >= 0` of least `|a x - b|`: the best of all sets of columns; there are few."""
    best, least = np.zeros(a.shape[1]), np.inf
    for size in range(1, a.shape[1] + 1):
        for columns in itertools.combinations(range(a.shape[1]), size):
            some = a[:, columns]
            x = np.linalg.lstsq(some, b, rcond=None)[0]
            error = float(np.sum((some @ x - b) ** 2))
            if (x >= 0).all() and error < least:
                best, least = np.zeros(a.shape[1]), error
                best[list(columns)] = x
    return best


def report(title: str, prices: Table, measured: list[list[Trial]]) -> None:
    """How far the estimates are off, and what the choices by them cost."""
    print(f"{title}:")
    for name in prices:
        trials = [each for each in itertools.chain(*measured) if each.priced_as == name]
        learned = all(each.backward is not None for each in trials)
        ratios = sorted(estimate(prices, each, learned) / each.taken(learned) for each in trials)
        off = statistics.mean(abs(ratio - 1) for ratio in ratios)
        print(
            f"  {name:13} estimates {ratios[0]:.2f} to {ratios[-1]:.2f} of what was measured, {off:.0%} off"
        )
    for training in (False, True):
        losses = []
        for rivals in measured:
            able = [each for each in rivals if each.backward is not None or not training]
            chosen = min(able, key=lambda each: estimate(prices, each, training))
            losses.append(chosen.taken(training) / min(each.taken(training) for each in able))
        what = "in training" if training else "in prediction"
        mean, most = statistics.mean(losses) - 1, max(losses) - 1
        print(f"  {what}, the chosen take {mean:.1%} longer than the best, {most:.0%} at worst")


def estimate(prices: Table, each: Trial, training: bool) -> float:
    both = prices[each.priced_as]
    return 1e12 * sum(p.seconds(each.work, 1) for p in (both if training else both[:1]))


def readable(price: float) -> str:
    """Three digits."""
    rounded = float(f"{price:.3g}")
    return f"{rounded:_.0f}" if rounded >= 100 or rounded == 0 else f"{rounded:g}"


if __name__ == "__main__":
    time.sleep(1.5)
    main()
