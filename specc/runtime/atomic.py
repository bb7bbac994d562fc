"""Files that are there in full or not at all, whenever the process is killed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under another name, flush it to the disk, then give it its name.

    The other name is new every time, so that two processes never write into one file.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, keys in the order that they have."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=True)
    write_bytes(path, (text + "\n").encode())


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of `path` once it is complete.

    Only one process may do so at a time; what one that died left behind is cleared away.
    A folder can't be replaced in one step: `existing_folder` finds the older one if the
    process dies in between.
    """
    temporary, older = path.with_name(f".{path.name}.tmp"), _older(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    for file in temporary.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    if path.exists():
        shutil.rmtree(older, ignore_errors=True)
        path.rename(older)
    temporary.rename(path)
    shutil.rmtree(older, ignore_errors=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this section for the folder, and keep others out."""
    try:
        import fcntl
    except ImportError:  # a system without such locks
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without such locks
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def existing_folder(path: Path) -> Path | None:
    """The folder that `new_folder` completed last."""
    return next((folder for folder in (path, _older(path)) if folder.is_dir()), None)


def _older(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
