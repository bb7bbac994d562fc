"""All runs: what became of them, how they differ, and which of them can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from specc.api.runs import METRICS, SPEC, damaged, read_object
from specc.diagnostics.model import Diagnostic, SpeccError

LOCK, RESULT = ".lock", "result.json"
PARTS = ("test", "val", "train")
UNTOLD = ("$schema", "doc")


@dataclass(frozen=True)
class Run:
    """One run folder."""

    folder: str
    name: str
    stamp: str
    state: str
    """`running`, `unfinished` (it can be resumed), `interrupted`, `finished`, `early_stop`.

    In a list of runs also `damaged`, where a file of the run cannot be read.
    """
    epochs: int
    best_epoch: int | None
    metrics: Mapping[str, Mapping[str, Any]]
    """Of the kept weights, or of the last epoch where there are none yet."""
    seconds: float | None
    samples_per_second: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def list_runs(runs: Path, names: Sequence[str] = ()) -> list[Run]:
    """The runs in a folder of runs, oldest first, of these models only if names are given."""
    found = [path.parent for path in runs.glob(f"*/*/{SPEC}")]
    kept = [path for path in found if not names or path.parent.name in names]
    return [_listed(path) for path in sorted(kept, key=lambda p: (_began(p), p.as_posix()))]


def _listed(folder: Path) -> Run:
    try:
        return read_run(folder)
    except SpeccError:
        name, stamp = folder.resolve().parent.name, folder.resolve().name
        return Run(str(folder), name, stamp, "damaged", 0, None, {}, None, None)


def read_run(folder: Path) -> Run:
    """What a run folder says; raises `SpeccError` U802 if it is none, P705 if it is damaged."""
    if not (folder / SPEC).is_file():
        raise SpeccError([Diagnostic("U802", f"`{folder}` is not a run: it has no `{SPEC}`")])
    lines, result = _lines(folder / METRICS), read_object(folder / RESULT)
    last = lines[-1] if lines else {}
    scores = result.get("metrics") or {part: last[part] for part in PARTS if part in last}
    if not isinstance(scores, dict) or not all(isinstance(s, dict) for s in scores.values()):
        raise damaged(folder / RESULT, "its metrics are no objects")
    best = [line["epoch"] for line in lines if line.get("best")]
    return Run(
        str(folder), folder.resolve().parent.name, folder.resolve().name, _state(folder, result),
        len(lines), best[-1] if best else None, scores, result.get("seconds"),
        result.get("samples_per_second"),
    )  # fmt: skip


def newest_unfinished(runs: Path, name: str) -> Path:
    """The newest run of a model that can go on; raises `SpeccError` U802 if there is none."""
    for run in reversed(list_runs(runs, [name])):
        if run.state in ("unfinished", "interrupted"):
            return Path(run.folder)
    hint = "name the run to train it further, or leave `--resume` out"
    message = f"there is no unfinished run of `{name}` in `{runs}`"
    raise SpeccError([Diagnostic("U802", message, hint=hint)])


def differences(folders: Sequence[Path]) -> dict[str, list[Any]]:
    """The values of the specs, by dotted key, that are not the same in all these runs."""
    flat = [_flat(read_object(folder / SPEC)) for folder in folders]
    keys = dict.fromkeys(key for spec in flat for key in spec)
    found = {key: [spec.get(key) for spec in flat] for key in keys}
    return {k: v for k, v in found.items() if any(value != v[0] for value in v)}


def _state(folder: Path, result: Mapping[str, Any]) -> str:
    from specc.runtime.lock import is_held

    if is_held(folder / LOCK):
        return "running"
    return str(result.get("stopped", "unfinished"))


def _began(folder: Path) -> float:
    return (folder / SPEC).stat().st_mtime


def _lines(path: Path) -> list[dict[str, Any]]:
    """The epochs of a run; a last line that is not whole belongs to one that was cut off."""
    text = path.read_bytes() if path.is_file() else b""
    lines = [line for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
    return [_line(path, number, line) for number, line in enumerate(lines, 1)]


def _line(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise damaged(path, f"line {number}: {error}") from None
    if not isinstance(found, dict) or "epoch" not in found:
        raise damaged(path, f"line {number} is not that of an epoch")
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict | list) or not value:
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    flat: dict[str, Any] = {}
    for key, inner in items:
        if key not in UNTOLD:
            flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
