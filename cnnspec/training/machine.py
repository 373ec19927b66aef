"""What this process can still have of the machine: memory, processors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

KIB: Final = 1024
CGROUP_UNLIMITED: Final = 2**60
"""Version 1 writes a number near 2**63 where there is no limit."""


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process can still have: the least of what the machine and its limits leave.

    Args:
        root: where `proc` and `sys` are looked for.
    """
    bounds = (_machine(root), *_cgroups(root), _address_space(root))
    known = [max(bound, 0) for bound in bounds if bound is not None]
    return min(known, default=None)


def cpus() -> int | None:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def used_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process has now, where the system says so."""
    words = _text(root / "proc/self/statm").split()
    if len(words) < 2 or not words[1].isdecimal():
        return None
    return int(words[1]) * int(os.sysconf("SC_PAGE_SIZE"))


def _machine(root: Path) -> int | None:
    kibibytes = _fields(root / "proc/meminfo").get("MemAvailable:")
    if kibibytes is not None:
        return kibibytes * KIB
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if pages in getattr(os, "sysconf_names", {}):
            return int(os.sysconf(pages)) * int(os.sysconf("SC_PAGE_SIZE"))
    return None


def _cgroups(root: Path) -> Iterator[int]:
    """What each control group around this process leaves, version 1 and 2."""
    base = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            yield from _levels(base, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _levels(base / "memory", path, *names)


def _levels(base: Path, path: str, limit: str, usage: str, cached: str) -> Iterator[int]:
    """Limit less usage of a group and of those around it; file pages that can be dropped do not count."""
    group = base / path.strip("/")
    for level in (group, *group.parents):
        most = _number(level / limit)
        if most is not None and most < CGROUP_UNLIMITED:
            droppable = _fields(level / "memory.stat").get(cached, 0)
            yield most - (_number(level / usage) or 0) + droppable
        if level == base:
            return


def _address_space(root: Path) -> int | None:
    try:
        import resource
    except ImportError:  # not a Unix
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    used = _text(root / "proc/self/statm").split()
    return limit - (int(used[0]) * resource.getpagesize() if used else 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    """The lines `name number` of a file."""
    words = (line.split() for line in _text(path).splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdecimal()}
