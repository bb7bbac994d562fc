"""Which files a path of a spec means: one file, a list, a glob, a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from specc.training.problems import TrainError, did_you_mean

ENDINGS = {
    "csv": (".csv", ".tsv", ".txt"),
    "parquet": (".parquet", ".pq"),
    "npz": (".npz",),
    "npy": (".npy",),
    "text": (".txt", ".md"),
}
"""What files of a kind are called, where a folder is searched for them."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorts digits by their value, so that `pixel_2` comes before `pixel_10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def expanded(paths: str | Iterable[str], base: Path, kind: str) -> list[str]:
    """Names of all files, relative to `base`, each once and those of a glob in natural order.

    Raises `TrainError` D501, or D506 for a folder without a file of this kind.
    """
    given = [paths] if isinstance(paths, str) else list(paths)
    return list(dict.fromkeys(name for path in given for name in _expanded(path, base, kind)))


def _expanded(path: str, base: Path, kind: str) -> list[str]:
    place = base / path
    if place.is_dir():
        return _in_folder(path, place, kind)
    if not any(char in path for char in "*?[") or place.exists():
        return [path]
    anchor = Path(place.anchor) if Path(path).is_absolute() else base
    pattern = str(Path(path).relative_to(anchor)) if Path(path).is_absolute() else path
    found = [p for p in anchor.glob(pattern) if p.is_file()]
    if not found:
        raise TrainError("D501", f"no file matches `{path}`", "path")
    names = [str(p if Path(path).is_absolute() else p.relative_to(base)) for p in found]
    return sorted(names, key=natural_key)


def _in_folder(path: str, folder: Path, kind: str) -> list[str]:
    found = [
        str(Path(path) / p.relative_to(folder))
        for p in folder.rglob("*")
        if p.suffix.lower() in ENDINGS[kind] and p.name[0] not in "._" and p.is_file()
    ]
    if not found:
        endings = ", ".join(f"`{ending}`" for ending in ENDINGS[kind])
        raise TrainError("D506", f"the folder `{path}` holds no {kind} file ({endings})", "path")
    return sorted(found, key=natural_key)


def check_file(path: Path, name: str) -> None:
    """Raises `TrainError` D501, D506 or D510 for a file that can't be read or is empty."""
    if path.is_dir():
        raise TrainError("D510", f"`{name}` is a folder, not a file", "path")
    if not path.exists():
        raise missing(path, name, "file")
    try:
        size = path.stat().st_size
        path.open("rb").close()
    except OSError as error:
        raise TrainError("D501", f"`{name}` can't be read: {error.strerror}", "path") from error
    if not size:
        raise TrainError("D506", f"`{name}` is empty", "path")


def missing(path: Path, name: str, what: str) -> TrainError:
    """The problem of a file or folder that is not there."""
    near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, near)
    return TrainError("D501", f"there is no {what} `{name}`", "path", hint=hint)
