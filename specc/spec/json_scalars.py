"""Numbers and words that JSON does not have, but people write: what they were meant to be."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

MAX_INTEGER_DIGITS = 4300

_NUMBER_LIKE = re.compile(r"[-+]?(?:Infinity|[\w.]+)(?:(?<=[eE])[-+]\w*)?").match
_FOREIGN_WORDS: dict[str, tuple[Any, str]] = {
    "True": (True, "true"),
    "TRUE": (True, "true"),
    "False": (False, "false"),
    "FALSE": (False, "false"),
    "None": (None, "null"),
    "NULL": (None, "null"),
    "Null": (None, "null"),
    "nil": (None, "null"),
    "undefined": (None, "null"),
}
_NOT_FINITE = {"nan", "inf", "infinity"}


class Guess(NamedTuple):
    """What a faulty scalar was meant to be, and the fault; `known` is false without a value."""

    code: str
    message: str
    end: int
    hint: str
    value: Any = None
    known: bool = True


def guess_word(word: str, start: int) -> Guess | None:
    """A word that another language has where JSON has a different one."""
    end = start + len(word)
    if word.lower() in _NOT_FINITE:
        return _not_finite(word, end)
    if word not in _FOREIGN_WORDS:
        return None
    value, written = _FOREIGN_WORDS[word]
    return Guess("J032", f"`{word}` is not JSON", end, f"write `{written}`", value)


def guess_number(text: str, start: int) -> Guess | None:
    """A number in a form that JSON does not have, or that no float64 or Python int holds."""
    match = _NUMBER_LIKE(text, start)
    if not match or not any(char.isdigit() or char.isalpha() for char in match[0]):
        return None
    written, end = match[0], match.end()
    if written.lstrip("+-").lower() in _NOT_FINITE:
        return _not_finite(written, end)
    value = _lenient(written)
    shown = written if len(written) <= 24 else written[:20] + "…"
    message = f"`{shown}` is not a JSON number"
    if value is None:
        return Guess("J029", message, end, "", known=False)
    hint = f"write `{value}`" if len(written) <= 24 else ""
    return Guess("J029", message, end, hint, value)


def _not_finite(written: str, end: int) -> Guess:
    hint = "leave the key out, or write a finite number"
    return Guess("J021", f"`{written}` is not a JSON number", end, hint, float(written))


def _lenient(written: str) -> int | float | None:
    if len(written) > MAX_INTEGER_DIGITS:
        return None
    body, sign = written.lstrip("+-"), -1 if written.startswith("-") else 1
    try:
        if body[:2].lower() in ("0x", "0o", "0b"):
            return sign * int(body, 0)
        value = sign * (int(body, 10) if body.replace("_", "").isdigit() else float(body))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
