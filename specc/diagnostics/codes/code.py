"""What is known about one code."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Code:
    """A kind of finding: its code, its name, and what `specc explain` says about it."""

    code: str
    title: str
    explanation: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "explanation", dedent(self.explanation).strip())
