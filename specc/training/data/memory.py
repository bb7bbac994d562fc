"""Whether data is held in memory: by what it would take, and by the machine's size.

The size of the machine decides, not what happens to be free, so that the same spec gives the
same rows in the same order each time it is trained on that machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

SHARE = 3
"""Data may take this part of the memory: a half, a third, …"""
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that this process may use at most."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text("ascii")))
    return min(limits)


def in_memory(source: Mapping[str, Any], size: int) -> bool:
    """Whether `size` bytes are to be held in memory; `source.memory` has the last word."""
    wanted = source.get("memory")
    return bool(wanted) if wanted is not None else size <= machine_memory() // SHARE
