"""JSON strings that are not as they should be: every fault reported, the text kept."""

from __future__ import annotations

import re
from typing import NoReturn, Protocol

_PLAIN = re.compile(r"[^\"'\\\x00-\x1f\ud800-\udfff]*").match
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})").match
_CUT_UNICODE = re.compile(r"\\u[0-9a-fA-F]{0,3}").match
_LINE = re.compile(r"[^\r\n]*").match
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPES |= {char: char for char in '"\\/'}


class Reporter(Protocol):
    """Where the faults of a text go."""

    text: str
    length: int

    def error(
        self, code: str, message: str, start: int, end: int, *, label: str = "", hint: str = ""
    ) -> None:
        """Report a fault after which reading goes on."""

    def stop(
        self, code: str, message: str, start: int, end: int, *, label: str = "", hint: str = ""
    ) -> NoReturn:
        """Report a fault that ends the reading."""


def read_faulty_string(report: Reporter, start: int) -> tuple[str, int]:
    """The text of the string that opens at `start`, and where it ends."""
    text, quote = report.text, report.text[start]
    parts: list[str] = []
    i = start + 1
    while True:
        plain = _PLAIN(text, i)
        assert plain
        parts.append(plain[0])
        i = plain.end()
        if text[i] == quote:
            return "".join(parts), i + 1
        if i >= report.length or text[i] in "\r\n":
            _unclosed(report, start)
        part, i = _escape(report, i, quote) if text[i] == "\\" else _odd(report, i)
        parts.append(part)


def _unclosed(report: Reporter, start: int) -> NoReturn:
    line = _LINE(report.text, start, report.length)
    assert line
    at_end = line.end() >= report.length
    message = f"string is not closed before the end of the {'text' if at_end else 'line'}"
    quote = report.text[start]
    hint = f"close it with `{quote}`" + (
        "" if at_end else "; a line break in text is written `\\n`"
    )
    report.stop("J013", message, start, line.end(), label="opened here", hint=hint)


def _odd(report: Reporter, i: int) -> tuple[str, int]:
    char = report.text[i]
    if char < " ":
        written = {"\t": "\\t", "\b": "\\b", "\f": "\\f"}.get(char, f"\\u{ord(char):04x}")
        message = f"control character U+{ord(char):04X} in a string"
        report.error("J026", message, i, i + 1, hint=f"write it as `{written}`")
    elif "\ud800" <= char <= "\udfff":
        report.error("J028", f"U+{ord(char):04X} is half of a surrogate pair", i, i + 1)
        char = "\ufffd"
    return char, i + 1


def _escape(report: Reporter, i: int, quote: str) -> tuple[str, int]:
    text, char = report.text, report.text[i + 1]
    if char in _ESCAPES or char == quote:
        return _ESCAPES.get(char, char), i + 2
    if i + 1 >= report.length or char in "\r\n":
        return "", i + 1
    code = _UNICODE(text, i)
    if code:
        return _code_unit(report, int(code[1], 16), i)
    cut = _CUT_UNICODE(text, i)
    end = cut.end() if cut else i + 2
    hint = "`\\u` takes four hexadecimal digits" if cut else "a backslash is written `\\\\`"
    report.error("J027", f"`{text[i:end]}` is not an escape", i, end, hint=hint)
    return char, i + 2


def _code_unit(report: Reporter, unit: int, i: int) -> tuple[str, int]:
    if not 0xD800 <= unit <= 0xDFFF:
        return chr(unit), i + 6
    low = _UNICODE(report.text, i + 6)
    if low and unit < 0xDC00 <= int(low[1], 16) <= 0xDFFF:
        return chr(0x10000 + ((unit - 0xD800) << 10) + int(low[1], 16) - 0xDC00), i + 12
    message = f"`{report.text[i : i + 6]}` is half of a surrogate pair"
    hint = "write the character itself, or both halves"
    report.error("J028", message, i, i + 6, hint=hint)
    return "\ufffd", i + 6
