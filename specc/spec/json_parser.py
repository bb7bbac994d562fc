"""A strict JSON parser (RFC 8259) that keeps the place of every value and goes on where it can."""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # not in the stubs
from typing import Any, NoReturn

from specc.diagnostics.model import Diagnostics, Label, Source, Span
from specc.spec.document import Node
from specc.spec.json_scalars import MAX_INTEGER_DIGITS, guess_number, guess_word
from specc.spec.json_strings import read_faulty_string

MAX_DEPTH = 100

_WS = r"[ \t\r\n]*+"
_SPACE = re.compile(_WS).match
_KEY = re.compile(rf'"([^"\\\x00-\x1f\ud800-\udfff]*+)"{_WS}:{_WS}').match
_AFTER_MEMBER = re.compile(rf"{_WS}([,}}\]]?){_WS}").match
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*+))(\.[0-9]++)?([eE][-+]?[0-9]++)?(?![\w.])").match
_WORD = re.compile(r"[^\W\d][\w$-]*|\$[\w$-]*").match
_BARE_KEY = re.compile(r"[\w$][\w$.-]*").match
_COMMENT = re.compile(r"//[^\r\n]*|#[^\r\n]*|/\*.*?\*/", re.DOTALL).match
_SURROGATE = re.compile("[\ud800-\udfff]").search
_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
_CLOSER = {"{": "}", "[": "]"}
_ODD_QUOTES = "“”„«»‘’`´"


class _Break(Exception):  # noqa: N818 - ends a reading that has already been reported
    """The text cannot be read past this point."""


def parse(source: Source, start: int = 0) -> tuple[Node | None, Diagnostics]:
    """The value that the source's text holds from `start` on, with all that is wrong in it."""
    parser = _Parser(source)
    return parser.document(start), parser.out


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.length = len(source.text)
        # The sentinel makes text[i] valid at the end; it is neither space nor JSON.
        self.text = source.text + "\0"
        self.out = Diagnostics()
        self.usable = True
        self.open: list[int] = []

    def document(self, start: int) -> Node | None:
        try:
            node = self.value(self.space(start))
            self.finish(node.end)
        except _Break:
            return None
        return node if self.usable else None

    def value(self, i: int) -> Node:
        char = self.text[i]
        if char == '"':
            return self.string(i)
        if char == "{":
            return self.object(i)
        if char == "[":
            return self.array(i)
        return self.scalar(i)

    def object(self, start: int) -> Node:
        self.enter(start)
        values: dict[str, Any] = {}
        children: dict[str, Node] = {}
        i = self.space(start + 1)
        closed = self.text[i] == "}"
        end = i + 1
        while not closed:
            key, key_start, key_end, i = self.key(i)
            child = self.value(i)
            child.key = (key_start, key_end)
            if key in children:
                self.duplicate(key, children[key], child)
            children[key] = child
            values[key] = child.value
            i, closed = self.after_member(child.end, "}")
            end = i
        self.open.pop()
        return Node(values, self.source, start, end, children)

    def array(self, start: int) -> Node:
        self.enter(start)
        children: list[Node] = []
        i = self.space(start + 1)
        closed = self.text[i] == "]"
        end = i + 1
        while not closed:
            child = self.value(i)
            children.append(child)
            i, closed = self.after_member(child.end, "]")
            end = i
        self.open.pop()
        return Node([child.value for child in children], self.source, start, end, children)

    def string(self, i: int) -> Node:
        try:
            value, end = scanstring(self.text, i + 1, True)
        except ValueError:
            value, end = read_faulty_string(self, i)
        if not value.isascii() and _SURROGATE(value):
            value, end = read_faulty_string(self, i)
        return Node(value, self.source, i, end)

    def scalar(self, i: int) -> Node:
        number = _NUMBER(self.text, i)
        if number:
            return self.number(number, i)
        word = _WORD(self.text, i)
        if word and word[0] in _LITERALS:
            return Node(_LITERALS[word[0]], self.source, i, word.end())
        if self.text[i] in "/#" and _COMMENT(self.text, i, self.length):
            return self.value(self.space(i))
        if self.text[i] == "'":
            return self.single_quoted(i)
        guess = guess_word(word[0], i) if word else guess_number(self.text, i)
        if guess is None:
            self.expected("a value", i)
        self.error(guess.code, guess.message, i, guess.end, hint=guess.hint)
        self.usable = self.usable and guess.known
        return Node(guess.value, self.source, i, guess.end)

    def number(self, match: re.Match[str], i: int) -> Node:
        end = match.end()
        value: int | float
        if match.lastindex == 1:
            if end - i <= MAX_INTEGER_DIGITS:
                return Node(int(match[0]), self.source, i, end)
            return Node(self.long_integer(match[0], i, end), self.source, i, end)
        value = float(match[0])
        if value in (float("inf"), float("-inf")):
            message = f"`{match[0]}` is too large for a float64"
            self.error("J030", message, i, end, hint="the largest is about 1.8e308")
        return Node(value, self.source, i, end)

    def long_integer(self, written: str, i: int, end: int) -> int:
        digits = len(written.lstrip("-"))
        if digits <= MAX_INTEGER_DIGITS:
            return -int(written[1:])
        self.usable = False
        message = f"integer of {digits:,} digits; the limit is {MAX_INTEGER_DIGITS:,}"
        self.error("J031", message, i, end)
        return 0

    def single_quoted(self, i: int) -> Node:
        value, end = read_faulty_string(self, i)
        self.error("J024", "string in single quotes", i, end, hint='write it in `"` quotes')
        return Node(value, self.source, i, end)

    def key(self, i: int) -> tuple[str, int, int, int]:
        """A key, its place, and where its value starts."""
        match = _KEY(self.text, i)
        if match:
            return match[1], i, match.end(1) + 1, match.end()
        bare = _BARE_KEY(self.text, i)
        if self.text[i] in "\"'":
            node = self.string(i) if self.text[i] == '"' else self.single_quoted(i)
            key, end = node.value, node.end
        elif bare:
            key, end = bare[0], bare.end()
            self.error("J025", f"key `{key}` has no quotes", i, end, hint=f'write `"{key}"`')
        else:
            self.expected("a key in quotes", i)
        return key, i, end, self.after_key(key, end)

    def after_key(self, key: str, end: int) -> int:
        i = self.space(end)
        if i >= self.length:
            self.expected("`:`", i)
        if self.text[i] != ":":
            hint = "write `:` in place of `=`" if self.text[i] == "=" else ""
            message = f"expected `:` after the key `{key}`, got {self.found(i)}"
            self.stop("J012", message, end, end, hint=hint)
        return self.space(i + 1)

    def after_member(self, end: int, closer: str) -> tuple[int, bool]:
        """From the end of a member: where the next starts, or where the container ends."""
        match = _AFTER_MEMBER(self.text, end)
        assert match
        if match[1] == closer:
            return match.end(1), True
        if match[1] != ",":
            return self.odd_separator(end, match, closer)
        i = match.end()
        if self.text[i] in "/#":
            i = self.space(i)
        if self.text[i] not in "}]":
            return i, False
        if self.text[i] != closer:
            self.wrong_closer(i, closer)
        comma = match.start(1)
        self.error("J022", "comma before the end", comma, comma + 1, hint="take the comma out")
        return i + 1, True

    def odd_separator(self, end: int, match: re.Match[str], closer: str) -> tuple[int, bool]:
        if match[1]:
            self.wrong_closer(match.start(1), closer)
        i = self.space(match.end())
        if self.text[i] in ",}]":
            return self.after_member(i, closer)
        if i >= self.length:
            self.expected("`,`", i)
        # A gap before what clearly starts a value: only the comma is missing.
        safe = i > end and self.text[i] in ('"' if closer == "}" else '"{[0123456789')
        hint = ""
        if i == end and self.text[end - 1] == '"':
            hint = 'a `"` inside a string is written `\\"`'
        message = f"expected `,` or `{closer}`, got {self.found(i)}"
        (self.error if safe else self.stop)("J011", message, end, end, hint=hint)
        return i, False

    def wrong_closer(self, i: int, closer: str) -> NoReturn:
        opener = self.open[-1]
        message = f"expected `{closer}`, got `{self.text[i]}`"
        opened = Label(self.span(opener, opener + 1), f"`{self.text[opener]}` opened here")
        self.out.add("J016", message, self.span(i, i + 1), secondary=(opened,))
        raise _Break

    def enter(self, start: int) -> None:
        self.open.append(start)
        if len(self.open) > MAX_DEPTH:
            self.stop("J007", f"nested deeper than {MAX_DEPTH} levels", start, start + 1)

    def duplicate(self, key: str, first: Node, second: Node) -> None:
        assert first.key and second.key
        earlier = Label(self.span(*first.key), "first given here")
        at = self.span(*second.key)
        hint = "keep one of the two"
        self.out.add("J020", f"key `{key}` is given twice", at, secondary=(earlier,), hint=hint)

    def space(self, i: int) -> int:
        """Where the next token starts; comments on the way are reported."""
        match = _SPACE(self.text, i)
        assert match
        i = match.end()
        while self.text[i] in "/#":
            comment = _COMMENT(self.text, i, self.length)
            if not comment:
                if self.text.startswith("/*", i):
                    self.stop("J023", "comment is not closed", i, i + 2)
                break
            hint = "take it out; a note for readers goes in a `doc` key"
            self.error("J023", "comment", i, comment.end(), hint=hint)
            match = _SPACE(self.text, comment.end())
            assert match
            i = match.end()
        return i

    def finish(self, end: int) -> None:
        i = self.space(end)
        if i < self.length:
            stop = len(self.source.text.rstrip())
            self.stop("J015", f"expected the end of the text, got {self.found(i)}", i, stop)

    def expected(self, what: str, i: int) -> NoReturn:
        if i < self.length:
            hint = ""
            if self.text[i] in _ODD_QUOTES:
                hint = 'JSON strings stand in straight `"` quotes'
            width = len(self.word(i))
            self.stop("J010", f"expected {what}, got {self.found(i)}", i, i + width, hint=hint)
        if not self.open:
            self.stop("J010", f"expected {what}, got the end of the text", i, i)
        opener = self.open[-1]
        char = self.text[opener]
        hint = f"close it with `{_CLOSER[char]}`"
        self.stop("J014", f"`{char}` is not closed", opener, opener + 1, hint=hint)

    def found(self, i: int) -> str:
        if i >= self.length:
            return "the end of the text"
        word = self.word(i)
        if word.isprintable():
            return f"`{word if len(word) <= 24 else word[:20] + '…'}`"
        return f"the character U+{ord(word):04X}"

    def word(self, i: int) -> str:
        match = _BARE_KEY(self.text, i)
        return match[0] if match else self.text[i]

    def span(self, start: int, end: int) -> Span:
        return Span(self.source, start, end)

    def error(
        self, code: str, message: str, start: int, end: int, *, label: str = "", hint: str = ""
    ) -> None:
        self.out.add(code, message, self.span(start, end), label=label, hint=hint or None)

    def stop(
        self, code: str, message: str, start: int, end: int, *, label: str = "", hint: str = ""
    ) -> NoReturn:
        self.error(code, message, start, end, label=label, hint=hint)
        raise _Break
