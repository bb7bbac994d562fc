"""One parser for compile-time expressions and run-time formulas.

Both are Python expressions of which only what the language lists is admitted. Nothing is ever
handed to `eval`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

MAX_LENGTH = 2_000
MAX_DEPTH = 50
MAX_INTEGER = 2**63
MAX_ITEMS = 10_000

_COMMON: tuple[type[ast.AST], ...] = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant, ast.Name, ast.Load,
    ast.Attribute, ast.Subscript, ast.Slice, ast.Tuple, ast.List, ast.Call, ast.operator,
    ast.unaryop, ast.cmpop, ast.keyword,
)  # fmt: skip
_EXPRESSION_ONLY = (ast.BoolOp, ast.boolop, ast.IfExp)
_FORBIDDEN_OPERATORS = (ast.LShift, ast.RShift, ast.Is, ast.IsNot)


class ExpressionError(Exception):
    """A fault inside an expression, at characters `start` up to `end` of its text."""

    def __init__(
        self, code: str, message: str, start: int, end: int, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.start, self.end, self.hint = code, message, start, end, hint


class Fuel:
    """The work that one spec may ask for, counted down over all of its expressions."""

    def __init__(self, steps: int = 500_000) -> None:
        self.steps = steps

    def burn(self, node: Expr) -> None:
        """Count one step; raises `ExpressionError` when none is left."""
        self.steps -= 1
        if self.steps < 0:
            raise node.error("E206", "the expressions of this spec ask for too much work")


@dataclass(frozen=True)
class Expr:
    """A parsed node together with the text it stands in, so that faults have a column."""

    node: ast.AST
    text: str
    offset: int = 0

    def error(self, code: str, message: str, hint: str | None = None) -> ExpressionError:
        """An error at this node."""
        start, end = self.extent
        return ExpressionError(code, message, start, end, hint)

    @property
    def extent(self) -> tuple[int, int]:
        """The node's characters within the whole string."""
        if not isinstance(self.node, ast.expr | ast.keyword):
            return self.offset, self.offset + len(self.text)
        encoded = self.text.encode()
        start = len(encoded[: self.node.col_offset].decode(errors="ignore"))
        end = len(encoded[: self.node.end_col_offset].decode(errors="ignore"))
        return self.offset + start, self.offset + end

    def at(self, node: ast.AST) -> Expr:
        """The same text at another node."""
        return Expr(node, self.text, self.offset)


@lru_cache(maxsize=4096)
def parse(text: str, offset: int = 0, *, kind: Literal["expression", "formula"]) -> Expr:
    """Parse the text and admit only what the language lists; raises `ExpressionError`.

    `offset` is where the text begins in the string that holds it.
    """
    whole = Expr(ast.Load(), text, offset)
    if len(text) > MAX_LENGTH:
        raise whole.error("E206", f"an expression of {len(text)} characters is too long")
    flat = re.sub(r"[\n\r\t\f]", " ", text)
    indent = len(flat) - len(flat.lstrip())
    if not flat.strip():
        raise whole.error("E201", f"the {kind} is empty")
    try:
        tree = ast.parse(flat.lstrip(), mode="eval")
    except SyntaxError as fault:
        start = min(max((fault.offset or 1) - 1, 0) + indent, max(len(text) - 1, 0)) + offset
        reason = (fault.msg or "invalid syntax").lower()
        raise ExpressionError("E201", f"not a valid {kind}: {reason}", start, start + 1) from None
    except (RecursionError, MemoryError, ValueError):
        raise whole.error("E201", f"not a valid {kind}: nested too deeply") from None
    root = Expr(tree.body, flat.lstrip(), offset + indent)
    _admit(root, kind, 0)
    return root


def _admit(expr: Expr, kind: str, depth: int) -> None:
    node = expr.node
    if depth > MAX_DEPTH:
        raise expr.error("E206", f"the {kind} is nested too deeply")
    allowed = _COMMON if kind == "formula" else _COMMON + _EXPRESSION_ONLY
    if not isinstance(node, allowed) or isinstance(node, _FORBIDDEN_OPERATORS):
        raise expr.error(
            "E203", f"`{type(node).__name__.lower()}` may not stand in a {kind}",
            "use `where(condition, a, b)`" if isinstance(node, ast.IfExp) else None,
        )  # fmt: skip
    if isinstance(node, ast.Constant) and not isinstance(
        node.value, int | float | str | type(None) | type(...)
    ):
        raise expr.error("E203", f"`{node.value!r}` may not stand in a {kind}")
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        bounded(expr, node.value)
    for child in ast.iter_child_nodes(node):
        # Operators carry no position of their own: report at their expression.
        _admit(
            expr.at(child) if hasattr(child, "col_offset") else _Inside(expr, child),
            kind,
            depth + 1,
        )


def _Inside(parent: Expr, child: ast.AST) -> Expr:  # noqa: N802 - makes a kind of Expr
    start, end = parent.extent
    text = parent.text[start - parent.offset : end - parent.offset]
    return Expr(child, text, start)


def bounded(expr: Expr, value: Any) -> Any:
    """The value, if it is of a size that a spec may have."""
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        raise expr.error("E206", "the number does not fit into 64 bits")
    if isinstance(value, str | list | tuple) and len(value) > MAX_ITEMS:
        raise expr.error("E206", f"a value of {len(value)} items is too large")
    return value


def template_parts(text: str) -> Iterator[tuple[str, int, bool]]:
    """Split a string at its `${…}`: (text, offset, whether it is an expression)."""
    position = 0
    while (start := text.find("${", position)) >= 0:
        if start > position:
            yield text[position:start], position, False
        end = _closing(text, start + 2)
        if end < 0:
            raise ExpressionError("E201", "`${` is never closed", start, len(text), "add `}`")
        yield text[start + 2 : end], start + 2, True
        position = end + 1
    if position < len(text):
        yield text[position:], position, False


def _closing(text: str, position: int) -> int:
    quote = ""
    for i in range(position, len(text)):
        char = text[i]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "}":
            return i
    return -1
