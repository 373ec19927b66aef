"""What this process and those that it has started take of the machine, as Linux tells it (man 5 proc)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
FORGET_PEAK: Final = "5"
"""What `clear_refs` takes to begin the peak of resident memory anew."""
_PARENT, _USER, _SYSTEM = 1, 11, 12
"""Fields of `stat` behind the name of the program."""


def tells() -> bool:
    """Whether this system has these figures."""
    return (PROC / "self" / "status").exists()


def used_by_others() -> float:
    """Processor seconds that all but this process and its own have used; 0 where the system does not tell."""
    if not (PROC / "stat").exists():
        return 0.0
    ticks = [int(word) for word in (PROC / "stat").read_text().partition("\n")[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    busy = sum(ticks) - idle - sum(_ticks(process) for process in descendants())
    return busy / os.sysconf("SC_CLK_TCK") - time.process_time()


def descendants() -> list[int]:
    """The processes that this one has started, and theirs."""
    parents = {int(path.name): _stat(int(path.name)) for path in PROC.iterdir() if path.name.isdecimal()}
    found = [os.getpid()]
    for process in found:
        found += [child for child, fields in parents.items() if fields and int(fields[_PARENT]) == process]
    return found[1:]


def _stat(process: int) -> list[str]:
    """What `stat` says behind the name, which may hold anything; nothing where the process has ended."""
    try:
        return (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _ticks(process: int) -> int:
    fields = _stat(process)
    return int(fields[_USER]) + int(fields[_SYSTEM]) if fields else 0


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """The most bytes that were resident within, beyond what was before; those of descendants too."""
    found: list[int] = []
    with suppress(OSError):
        (PROC / "self" / "clear_refs").write_text(FORGET_PEAK)
    before = _kilobytes(PROC / "self" / "status", "VmRSS")
    yield found
    own = _kilobytes(PROC / "self" / "status", "VmHWM") - before
    theirs = sum(
        _kilobytes(PROC / str(process) / "smaps_rollup", "Private_Clean", "Private_Dirty")
        for process in descendants()
    )
    found.append((own + theirs) * 1024)


def _kilobytes(path: Path, *names: str) -> int:
    """The sum of some lines such as `VmRSS:  1234 kB`."""
    try:
        lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    except OSError:
        return 0
    return sum(int(lines[name].split()[0]) for name in names if name in lines)
