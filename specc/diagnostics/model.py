"""What a message to the user is made of: a code, places in source text, notes and a hint."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Pointer = tuple[str | int, ...]
"""A place in a JSON value: the keys and indices that lead to it (RFC 6901, split)."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, eq=False)
class Source:
    """One piece of text that spans point into: a file, or a `--set` argument.

    `skipped_bytes` is what stands before the text in its file: 3 after a byte order mark.
    """

    name: str
    text: str
    skipped_bytes: int = 0

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, *(m.end() for m in re.finditer(r"\r\n?|\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character offset, both counted from 1."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line (counted from 1), without its line break."""
        start = self._line_starts[number - 1]
        last = number == len(self._line_starts)
        end = len(self.text) if last else self._line_starts[number]
        return self.text[start:end].rstrip("\r\n")

    def byte_offset(self, offset: int) -> int:
        """Where a character offset is in the file, in bytes of UTF-8."""
        return self.skipped_bytes + len(self.text[:offset].encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Span:
    """Characters `start` up to `end` of a source."""

    source: Source
    start: int
    end: int


@dataclass(frozen=True)
class Label:
    """A span and what is to be said about it."""

    span: Span
    message: str = ""


@dataclass(frozen=True)
class Diagnostic:
    """One finding: what is wrong (`message`), where (`primary`), and how to mend it (`hint`).

    Messages are lower case, without a full stop, with values in backticks.
    """

    code: str
    message: str
    primary: Label | None = None
    secondary: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    hint: str | None = None
    severity: Severity = "error"


class SpeccError(Exception):
    """Work that cannot go on, with everything found wrong."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("; ".join(d.message for d in self.diagnostics))


@dataclass
class Diagnostics:
    """A growing list of findings that a pass hands back beside its result."""

    items: list[Diagnostic] = field(default_factory=list)

    def add(
        self,
        code: str,
        message: str,
        at: Span | None = None,
        *,
        label: str = "",
        secondary: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        hint: str | None = None,
        severity: Severity = "error",
    ) -> None:
        """Add one finding at a span."""
        primary = Label(at, label) if at else None
        self.items.append(Diagnostic(code, message, primary, secondary, notes, hint, severity))

    @property
    def has_errors(self) -> bool:
        """Whether any finding is an error rather than a warning."""
        return any(d.severity == "error" for d in self.items)

    def raise_errors(self) -> None:
        """Raise `SpeccError` if anything is an error."""
        if self.has_errors:
            raise SpeccError(self.items)
