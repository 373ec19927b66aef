"""Round numbers for the ticks of an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

FLAT: Final = 1e-12
"""Values that differ by less than this share of their size are drawn as one."""
TINY: Final = 1e-300


@dataclass(frozen=True, slots=True)
class Axis:
    """Ticks at round numbers that enclose the values, and the words beside them."""

    ticks: tuple[float, ...]
    labels: tuple[str, ...]

    @property
    def low(self) -> float:
        """The first tick."""
        return self.ticks[0]

    @property
    def high(self) -> float:
        """The last tick."""
        return self.ticks[-1]

    def share(self, value: float) -> float:
        """Where a value lies between the first tick (0) and the last (1)."""
        return (value - self.low) / (self.high - self.low)


def nice_step(span: float, most: int) -> float:
    """The least of 1, 2, 5, 10, 20, ... (or of their tenths) of which at most `most` steps cover `span`."""
    rough = span / most
    unit = 10.0 ** math.floor(math.log10(rough))
    for factor in (1.0, 2.0, 5.0):
        if factor * unit >= rough * (1 - 1e-9):
            return factor * unit
    return 10 * unit


def nice_axis(low: float, high: float, most: int = 6) -> Axis:
    """An axis of at most `most` steps, or one more, whose first and last ticks enclose `low` and `high`."""
    size = max(abs(low), abs(high))
    if high - low <= max(FLAT * size, TINY):
        around = size / 2 if size > TINY else 0.5
        low, high = low - around, high + around
    step = nice_step(high - low, most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, max(last, first + 1) + 1))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return Axis(ticks, tuple(_label(tick, decimals) for tick in ticks))


def epoch_axis(count: int, most: int = 8) -> Axis:
    """An axis from epoch 0 to the last epoch, its ticks at whole numbers."""
    step = max(1, round(nice_step(max(count, 1), most)))
    ticks = [float(tick) for tick in range(0, count + 1, step)]
    if ticks[-1] < count:
        if count - ticks[-1] < 0.6 * step and len(ticks) > 1:
            ticks.pop()
        ticks.append(float(count))
    return Axis(tuple(ticks), tuple(f"{tick:.0f}" for tick in ticks))


def _label(tick: float, decimals: int) -> str:
    if abs(tick) >= 1e6 or decimals > 5:
        return f"{tick:g}"
    return f"{tick:.{decimals}f}"
