"""Texts for language models: windows of characters or bytes, and the same one step on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from specc.spec.sources import TARGETS, TOKENS
from specc.training.data.classes import Label
from specc.training.data.columns import ColumnSpec, fitted_shape
from specc.training.data.files import check_file, expanded
from specc.training.data.lazy import Draw, Lazy
from specc.training.data.numbers import Cells
from specc.training.data.splitting import PARTS, check_fractions
from specc.training.data.table import Array
from specc.training.problems import TrainError, within


class Windows(Lazy):
    """`length` codes from each start on, as int64."""

    def __init__(self, codes: Array, starts: Array, length: int) -> None:
        self.codes, self.starts = codes, starts
        self.dtype, self.shape = np.dtype(np.int64), (len(starts), length)

    def take(self, at: Array, draw: Draw | None = None) -> Array:  # noqa: ARG002
        places = self.starts[at][:, None] + np.arange(self.shape[1])
        return self.codes[places].astype(np.int64)

    def fitted(self, column: ColumnSpec, rows: Array, cells: Cells) -> Windows:  # noqa: ARG002
        shape = fitted_shape(column, self.shape[1:])
        if shape != self.shape[1:]:
            raise TrainError("D507", f"column `{column.name}` has rows of windows", "shape")
        return Windows(self.codes, self.starts[rows], self.shape[1])


class Stretch(NamedTuple):
    """A piece of one file, in positions of all files' codes put one after the other."""

    start: int
    end: int


@dataclass(frozen=True)
class Text:
    """The codes of all files; `starts[i]` is where file `names[i]` begins."""

    names: tuple[str, ...]
    codes: Array
    starts: tuple[int, ...]

    def place(self, position: int) -> str:
        """A position in words: file, line, column."""
        file = int(np.searchsorted(self.starts, position, side="right")) - 1
        before = self.codes[self.starts[file] : position]
        breaks = np.flatnonzero(before == ord("\n"))
        column = len(before) - (int(breaks[-1]) + 1 if len(breaks) else 0) + 1
        return f"`{self.names[file]}`, line {len(breaks) + 1}, column {column}"

    def stretches(self, start: int, end: int) -> list[Stretch]:
        """The piece between two positions, cut where a file ends."""
        edges = [*self.starts[1:], len(self.codes)]
        pieces = [
            Stretch(max(start, a), min(end, b)) for a, b in zip(self.starts, edges, strict=True)
        ]
        return [piece for piece in pieces if piece.start < piece.end]


class TextParts(NamedTuple):
    """The windows of each part by raw column, and the vocabulary of characters."""

    parts: dict[str, dict[str, Windows]]
    vocabulary: list[Label] | None


def read_text(
    source: Mapping[str, Any], base: Path, split: Mapping[str, Any],
    files: Mapping[str, Sequence[str]],
) -> TextParts:  # fmt: skip
    """The windows of all parts; `files` are those of each part, if the split names files.

    Raises `TrainError` D501, D506, D509, D510 or D512.
    """
    for key in ("stratify", "group", "shuffle"):
        if split.get(key):
            raise TrainError("D509", f"a text can't be split with `{key}`", "split", key)
    text, ranges = _read(source, base, split, files)
    if "train" not in ranges:
        raise TrainError("D509", "the split has no `train` part", "split")
    vocabulary: list[Label] | None = None
    if source.get("unit", "char") == "char":
        text, vocabulary = _numbered(text, ranges, source.get("unknown"))
    length = source["window"]
    stride = source.get("stride", length)
    parts = {}
    for part, (start, end) in ranges.items():
        found = [np.arange(a, b - length, stride) for a, b in text.stretches(start, end)]
        starts = np.concatenate([*found, np.empty(0, np.int64)]).astype(np.int64)
        if not len(starts):
            what = f"the `{part}` part is shorter than a window of {length} and one more"
            raise TrainError("D506", what, "source", "window")
        windows = Windows(text.codes, starts, length), Windows(text.codes, starts + 1, length)
        parts[part] = dict(zip((TOKENS, TARGETS), windows, strict=True))
    return TextParts(parts, vocabulary)


def _read(
    source: Mapping[str, Any], base: Path, split: Mapping[str, Any],
    files: Mapping[str, Sequence[str]],
) -> tuple[Text, dict[str, tuple[int, int]]]:  # fmt: skip
    """The text, and from where to where each part goes."""
    unit = source.get("unit", "char")
    if files:
        return _read_parts(files, base, unit)
    if "path" not in source:
        raise TrainError("D501", "`source` names no `path`", "source")
    with within("source"):
        text = _text(expanded(source["path"], base, "text"), base, unit)
    shares = {name: split[name] for name in PARTS if split.get(name)}
    with within("split"):
        check_fractions(shares)
    ends = [round(len(text.codes) * end) for end in np.cumsum([0.0, *shares.values()])]
    return text, dict(zip(shares, pairwise(ends), strict=True))


def _read_parts(
    files: Mapping[str, Sequence[str]], base: Path, unit: str
) -> tuple[Text, dict[str, tuple[int, int]]]:
    names: list[str] = []
    edges = [0]
    for part, paths in files.items():
        with within("split", part):
            names += expanded(paths, base, "text")
        edges.append(len(names))
    text = _text(names, base, unit)
    bounds = [*text.starts, len(text.codes)]
    return text, dict(zip(files, pairwise(bounds[edge] for edge in edges), strict=True))


def _text(names: Sequence[str], base: Path, unit: str) -> Text:
    pieces = []
    for name in names:
        check_file(base / name, name)
        pieces.append(_codes(base / name, name, unit))
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    codes = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return Text(tuple(names), codes, (0, *ends[:-1]))


def _codes(path: Path, name: str, unit: str) -> Array:
    if unit == "byte":
        return np.memmap(path, np.uint8, "r")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"`{name}`, line {line}: byte {error.start + 1} is not UTF-8"
        raise TrainError("D510", message, "path", hint='or read it as `"unit": "byte"`') from error
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _numbered(
    text: Text, ranges: Mapping[str, tuple[int, int]], unknown: str | None
) -> tuple[Text, list[Label]]:
    """Characters by their place among those of the training part, in the order of Unicode."""
    known = np.unique(text.codes[slice(*ranges["train"])])
    if not len(known):
        raise TrainError("D506", "the `train` part is empty", "split", "train")
    if unknown is not None:
        known = np.union1d(known, [ord(unknown)]).astype(np.uint32)
    spare = int(np.searchsorted(known, ord(unknown))) if unknown is not None else -1
    found, codes = np.unique(text.codes, return_inverse=True)
    places = np.minimum(np.searchsorted(known, found), len(known) - 1)
    places = np.where(known[places] == found, places, spare)
    numbers = places[codes].astype(np.uint8 if len(known) <= 256 else np.int32)
    for start, end in ranges.values():
        new = np.flatnonzero(places[codes[start:end]] < 0)
        if len(new):
            at = start + int(new[0])
            raise TrainError(
                "D512",
                f"{text.place(at)}: the character `{chr(text.codes[at])}` does not occur in the "
                "training part",
                "source",
                hint='name one that stands for all unknown ones: `"unknown": "�"`',
            )  # fmt: skip
    return Text(text.names, numbers, text.starts), [chr(code) for code in known.tolist()]


def check_codes(column: ColumnSpec, codes: int) -> None:
    """Raises `TrainError` D505 if there are more codes than the model has places for."""
    if column.high is not None and codes > column.high:
        taker = "input takes" if column.is_input else "model gives"
        message = f"column `{column.name}` has {codes} codes and the {taker} {column.high}"
        raise TrainError("D505", message)
