"""The spec as one self-contained file: what a run or a build folder keeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from specc.spec.model import Spec


def resolved_spec(spec: Spec, folder: Path) -> dict[str, Any]:
    """The spec's value without `extends` and `imports`, data paths relative to `folder`."""
    dropped = ("$schema", "extends", "imports")
    value = {k: v for k, v in spec.document.value.items() if k not in dropped}
    if not value.get("blocks"):
        value.pop("blocks", None)
    source = value.get("data", {}).get("source", {})
    if "path" in source:
        path = source["path"]
        moved = [_moved(p, spec.base, folder) for p in ([path] if isinstance(path, str) else path)]
        new = {**source, "path": moved[0] if isinstance(path, str) else moved}
        value["data"] = {**value["data"], "source": new}
    split = value.get("data", {}).get("split", {})
    files = {k: _moved(v, spec.base, folder) for k, v in split.items() if _is_file(k, v)}
    if files:
        value["data"] = {**value["data"], "split": {**split, **files}}
    start = value.get("train", {}).get("init_from")
    if start is not None:
        given = start["path"] if isinstance(start, dict) else start
        path = _moved(given, spec.base, folder)
        begin = {**start, "path": path} if isinstance(start, dict) else path
        value["train"] = {**value["train"], "init_from": begin}
    return value


def _is_file(key: str, value: Any) -> bool:
    return key in ("train", "val", "test") and isinstance(value, str) and "${" not in value


def _moved(path: str, base: Path, folder: Path) -> str:
    if "${" in path or Path(path).is_absolute():
        return path
    return Path(os.path.relpath(base / path, folder)).as_posix()
