"""A file that one process holds; the system lets go of it when that process ends, however."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the file and take it away at the end; gives whether no other process holds it."""
    with path.open("w") as file:
        mine = _take(file)
        yield mine
        if mine:
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether some process holds the file."""
    if not path.exists():
        return False
    with path.open("r") as file:
        return not _take(file)


def _take(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # a system without such locks
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
