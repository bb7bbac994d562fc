"""Lines of source text with markers under them, each in its right column."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from specc.diagnostics.model import Label, Source

MAX_WIDTH = 100
_TAB = "    "
# These reorder the text around them, so what is shown would not be what is there.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")


class Mark(NamedTuple):
    """A label, and whether it is the one that a finding is about."""

    label: Label
    primary: bool


class Row(NamedTuple):
    """One line of an excerpt: a line of source text (`number` > 0) or a marker under it."""

    number: int
    text: str
    primary: bool = False


def excerpt(source: Source, marks: Iterable[Mark]) -> Iterator[Row]:
    """The source lines that the marks start on, in order, each followed by its markers."""
    lines: dict[int, list[Mark]] = {}
    for mark in marks:
        number = source.position(mark.label.span.start)[0]
        lines.setdefault(number, []).append(mark)
    previous = 0
    for number in sorted(lines):
        if previous and number > previous + 1:
            yield Row(0, "...")
        previous = number
        yield from _marked_line(source, number, lines[number])


def _marked_line(source: Source, number: int, marks: Sequence[Mark]) -> Iterator[Row]:
    ordered = sorted(marks, key=lambda mark: not mark.primary)
    ranges = [_columns(source, number, mark.label) for mark in ordered]
    window = _Window(source.line(number), *ranges[0])
    yield Row(number, window.text.rstrip())
    for mark, (start, end) in zip(ordered, ranges, strict=True):
        column, width = window.place(start, end)
        marker = ("^" if mark.primary else "-") * width
        text = f"{' ' * column}{marker} {visible(mark.label.message)}".rstrip()
        yield Row(0, text, mark.primary)


def _columns(source: Source, number: int, label: Label) -> tuple[int, int]:
    """Where a label starts and ends in its first line, in characters from 0."""
    length = len(source.line(number).rstrip())
    start = source.position(label.span.start)[1] - 1
    return start, max(start, min(start + label.span.end - label.span.start, length))


class _Window:
    """The part of a line around the characters `start` to `end` that is shown."""

    def __init__(self, line: str, start: int, end: int) -> None:
        cells = [_cell(char) for char in line]
        self.edges = [0, *accumulate(map(_width, cells))]
        self.first, self.last = self._cut(start, end)
        self.lead = "…" if self.first else ""
        tail = "…" if self.last < len(cells) else ""
        self.text = self.lead + "".join(cells[self.first : self.last]) + tail

    def _cut(self, start: int, end: int) -> tuple[int, int]:
        total = self.edges[-1]
        if total <= MAX_WIDTH:
            return 0, len(self.edges) - 1
        left, right = (self.edges[min(i, len(self.edges) - 1)] for i in (start, end))
        around = max(4, (MAX_WIDTH - (right - left)) // 2)
        begin = max(0, min(left - around, total - MAX_WIDTH))
        return (
            bisect_left(self.edges, begin),
            max(bisect_right(self.edges, begin + MAX_WIDTH) - 1, 0),
        )

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Column and width of the marker under the characters `start` to `end`."""
        first, last = (min(max(i, self.first), self.last) for i in (start, end))
        column = len(self.lead) + self.edges[first] - self.edges[self.first]
        return column, max(1, self.edges[last] - self.edges[first])


def visible(text: str) -> str:
    """The text with everything that a terminal would act on put in a visible form."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char == "\n" else _cell(char) for char in text)


def _cell(char: str) -> str:
    if char == "\t":
        return _TAB
    if char < " ":
        return chr(0x2400 + ord(char))
    if char == "\x7f":
        return "\u2421"
    if "\x80" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" or char in _REORDERING:
        return "\ufffd"
    return char


def _width(cell: str) -> int:
    if cell.isascii():
        return len(cell)
    if unicodedata.category(cell) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(cell) in "WF" else 1
