"""Diagnostics as text for people, in the manner of rustc, and as plain data for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from specc.diagnostics.excerpt import Mark, Row, excerpt, visible
from specc.diagnostics.model import Diagnostic, Label, Source, Span

_RESET, _BOLD, _BLUE, _RED, _YELLOW = "\x1b[0m", "\x1b[1m", "\x1b[1;34m", "\x1b[1;31m", "\x1b[1;33m"
_SEVERITY_COLORS = {"error": _RED, "warning": _YELLOW}


def ordered(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Each different diagnostic once: those without a place, then by file and position."""
    different: dict[tuple[Any, ...], Diagnostic] = {}
    for d in diagnostics:
        different.setdefault(_identity(d), d)
    return sorted(different.values(), key=_place)


def render_text(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """Every diagnostic with its source lines, notes and hint; without a line break at the end."""
    return "\n\n".join("\n".join(_lines(d, color)) for d in ordered(diagnostics))


def render_summary(diagnostics: Sequence[Diagnostic]) -> str:
    """How many there are of each severity: `2 errors, 1 warning`."""
    severities = [d.severity for d in ordered(diagnostics)]
    counts = ((severities.count(name), name) for name in ("error", "warning"))
    parts = [f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count]
    return ", ".join(parts) or "no errors"


def to_json(diagnostics: Sequence[Diagnostic]) -> list[dict[str, Any]]:
    """Every diagnostic as plain data; lines and columns count from 1, offsets are in bytes."""
    return [_as_dict(d) for d in ordered(diagnostics)]


def _span_key(span: Span | None) -> tuple[str, int, int]:
    return (span.source.name, span.start, span.end) if span else ("", -1, -1)


def _identity(d: Diagnostic) -> tuple[Any, ...]:
    labels = [label for label in (d.primary, *d.secondary) if label]
    places = tuple((*_span_key(label.span), label.message) for label in labels)
    return d.severity, d.code, d.message, bool(d.primary), places, d.notes, d.hint


def _place(d: Diagnostic) -> tuple[str, int, int]:
    return _span_key(d.primary.span if d.primary else None)


def _lines(d: Diagnostic, color: bool) -> Iterator[str]:
    paint = _painter(color)
    severity = paint(f"{d.severity}[{d.code}]", _SEVERITY_COLORS[d.severity])
    yield severity + paint(f": {visible(d.message)}", _BOLD)
    excerpts = [
        (source, marks, list(excerpt(source, marks))) for source, marks in _by_source(d).items()
    ]
    numbers = [row.number for _, _, rows in excerpts for row in rows]
    gutter = " " * len(str(max(numbers, default=1)))
    bar = paint(f"{gutter} |", _BLUE)
    for i, (source, marks, rows) in enumerate(excerpts):
        arrow = paint(f"{gutter}{':::' if i else '-->'}", _BLUE)
        line, column = source.position(marks[0].label.span.start)
        yield f"{arrow} {visible(source.name)}:{line}:{column}"
        yield bar
        yield from (_row(row, gutter, d, color) for row in rows)
    remarks = [*(("note", note) for note in d.notes), *([("hint", d.hint)] if d.hint else [])]
    if excerpts and remarks:
        yield bar
    for kind, text in remarks:
        lead = f"{gutter} {paint('=', _BLUE)} {paint(kind + ':', _BOLD)} "
        yield lead + visible(text).replace("\n", "\n" + " " * (len(gutter) + len(kind) + 5))


def _painter(color: bool) -> Callable[[str, str], str]:
    return lambda text, code: f"{code}{text}{_RESET}" if color and text else text


def _by_source(d: Diagnostic) -> dict[Source, list[Mark]]:
    found: dict[Source, list[Mark]] = {}
    if d.primary:
        found[d.primary.span.source] = [Mark(d.primary, True)]
    for label in d.secondary:
        found.setdefault(label.span.source, []).append(Mark(label, False))
    return found


def _row(row: Row, gutter: str, d: Diagnostic, color: bool) -> str:
    paint = _painter(color)
    if row.number:
        number = paint(f"{row.number:>{len(gutter)}} |", _BLUE)
        return f"{number} {row.text}".rstrip()
    if row.text == "...":
        return paint(row.text, _BLUE)
    shade = _SEVERITY_COLORS[d.severity] if row.primary else _BLUE
    return f"{paint(f'{gutter} |', _BLUE)} {paint(row.text, shade)}"


def _as_dict(d: Diagnostic) -> dict[str, Any]:
    from specc.diagnostics.codes import CODES  # the table is not needed to print text

    labels = [(label, False) for label in d.secondary]
    if d.primary and d.primary.message:
        labels.insert(0, (d.primary, True))
    return {
        "code": d.code,
        "title": CODES[d.code].title if d.code in CODES else None,
        "severity": d.severity,
        "message": d.message,
        **_position(d.primary),
        "notes": list(d.notes),
        "hint": d.hint,
        "labels": [
            {**_position(label), "message": label.message, "primary": primary}
            for label, primary in labels
        ],
    }


def _position(label: Label | None) -> dict[str, Any]:
    keys = ("file", "line", "column", "end_line", "end_column", "offset", "end_offset")
    if label is None:
        return dict.fromkeys(keys)
    span = label.span
    source = span.source
    places = (*source.position(span.start), *source.position(span.end))
    offsets = source.byte_offset(span.start), source.byte_offset(span.end)
    return dict(zip(keys, (source.name, *places, *offsets), strict=True))
