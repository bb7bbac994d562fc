"""The table of all codes; a new one is one more `Code(…)` entry in the module of its group."""

from __future__ import annotations

from specc.diagnostics.codes import (
    data,
    expressions,
    json_text,
    proof,
    references,
    shapes,
    structure,
    training,
    usage,
)
from specc.diagnostics.codes.code import Code

__all__ = ["CODES", "Code", "explain"]

CODES: dict[str, Code] = {
    entry.code: entry
    for group in (
        json_text,
        structure,
        expressions,
        references,
        shapes,
        data,
        training,
        proof,
        usage,
    )
    for entry in group.ENTRIES
}


def explain(code: str) -> str | None:
    """Title and explanation of a code in any case, or None if there is no such code."""
    entry = CODES.get(code.strip().upper())
    return f"{entry.code}: {entry.title}\n\n{entry.explanation}" if entry else None
