"""The evaluator of compile-time expressions."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from specc.diagnostics.suggest import closest
from specc.ir.dims import Dim, bounds, dmax, dmin
from specc.spec.expression_parser import (
    MAX_ITEMS,
    Expr,
    Fuel,
    bounded,
    parse,
    template_parts,
)  # fmt: skip


class TensorView(NamedTuple):
    """What an expression sees of a tensor: `x.shape`, `x.rank`, `x.dtype`."""

    shape: list[Any]
    rank: int
    dtype: str


def _decide(expr: Expr, relation: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    """Compare; symbolic sizes only where all values of their symbols give one answer."""
    symbolic = isinstance(left, Dim) or isinstance(right, Dim)
    if not symbolic or not all(isinstance(v, int | Dim) for v in (left, right)):
        return bool(relation(left, right))
    low, high = bounds(left - right)
    signs = [-1] * (low is None or low < 0) + [1] * (high is None or high > 0)
    signs += [0] * ((low is None or low <= 0) and (high is None or high >= 0))
    answers = {bool(relation(sign, 0)) for sign in signs}
    if len(answers) == 1:
        return answers.pop()
    raise expr.error(
        "E207", f"how `{left}` and `{right}` compare depends on the input",
        "give the dim a `min` and a `max`, or a fixed size",
    )  # fmt: skip


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int):
        if abs(exponent) > 64:
            raise OverflowError
        return base**exponent
    return float(base) ** float(exponent)


def _true_division(left: Any, right: Any) -> Any:
    if isinstance(left, Dim) or isinstance(right, Dim):
        raise TypeError("a symbolic size can only be divided with `//`")
    return left / right


def _times(left: Any, right: Any) -> Any:
    for value, count in ((left, right), (right, left)):
        if (
            isinstance(value, list | str)
            and isinstance(count, int)
            and len(value) * count > MAX_ITEMS
        ):
            raise OverflowError
    return left * right


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: _times, ast.Div: _true_division,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: _power,
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
}  # fmt: skip


def _extreme(pick: Callable[..., Any], symbolic: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def choose(*values: Any) -> Any:
        items = list(values[0]) if len(values) == 1 else list(values)
        if not any(isinstance(v, Dim) for v in items):
            return pick(items)
        result = items[0]
        for item in items[1:]:
            result = symbolic(result, item)
        return result

    return choose


def _range(*edges: int) -> list[int]:
    found = range(*edges)
    if len(found) > MAX_ITEMS:
        raise OverflowError
    return list(found)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": _extreme(min, dmin), "max": _extreme(max, dmax), "abs": abs, "round": round,
    "ceil": math.ceil, "floor": math.floor, "sqrt": math.sqrt, "log": math.log,
    "log2": math.log2, "len": len, "sum": sum, "range": _range, "int": int, "float": float,
}  # fmt: skip
CONSTANTS: dict[str, Any] = {
    "true": True, "false": False, "null": None, "None": None, "pi": math.pi, "inf": math.inf,
}  # fmt: skip


class Evaluator:
    """Evaluates one expression over names; stops with `ExpressionError` at the place at fault."""

    def __init__(self, scope: Mapping[str, Any], fuel: Fuel) -> None:
        self.scope, self.fuel = scope, fuel

    def value(self, expr: Expr) -> Any:
        """The value of an admitted expression."""
        self.fuel.burn(expr)
        method = getattr(self, f"_{type(expr.node).__name__.lower()}", None)
        if method is None:
            raise expr.error("E203", f"`{type(expr.node).__name__.lower()}` may not stand here")
        try:
            return bounded(expr, method(expr, expr.node))
        except ZeroDivisionError:
            raise expr.error("E204", "division by zero") from None
        except OverflowError:
            raise expr.error("E206", "the result is too large") from None
        except (TypeError, ValueError, AttributeError) as fault:
            raise expr.error("E205", str(fault) or "the values do not fit") from None
        except (IndexError, KeyError):
            raise expr.error("E205", "the index is out of range") from None

    def _children(self, expr: Expr, nodes: list[Any]) -> list[Any]:
        return [self.value(expr.at(node)) for node in nodes]

    def _constant(self, _: Expr, node: ast.Constant) -> Any:
        return node.value

    def _name(self, expr: Expr, node: ast.Name) -> Any:
        if node.id in self.scope:
            found = self.scope[node.id]
            if found is UNKNOWN:
                raise Unknown
            return found
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        near = closest(node.id, [*self.scope, *FUNCTIONS])
        raise expr.error(
            "E202", f"there is no value `{node.id}` here",
            f"did you mean `{near}`?" if near else None,
        )  # fmt: skip

    def _binop(self, expr: Expr, node: ast.BinOp) -> Any:
        left, right = self._children(expr, [node.left, node.right])
        if type(node.op) not in _BINARY:
            raise expr.error("E203", "this operator may not stand in an expression")
        return _BINARY[type(node.op)](left, right)

    def _unaryop(self, expr: Expr, node: ast.UnaryOp) -> Any:
        if type(node.op) not in _UNARY:
            raise expr.error("E203", "this operator may not stand in an expression")
        return _UNARY[type(node.op)](self.value(expr.at(node.operand)))

    def _boolop(self, expr: Expr, node: ast.BoolOp) -> Any:
        is_and, result = isinstance(node.op, ast.And), None
        for child in node.values:
            result = self.value(expr.at(child))
            if bool(result) is not is_and:
                return result
        return result

    def _ifexp(self, expr: Expr, node: ast.IfExp) -> Any:
        return self.value(expr.at(node.body if self.value(expr.at(node.test)) else node.orelse))

    def _compare(self, expr: Expr, node: ast.Compare) -> bool:
        left = self.value(expr.at(node.left))
        for kind, child in zip(node.ops, node.comparators, strict=True):
            right = self.value(expr.at(child))
            if isinstance(kind, ast.In | ast.NotIn):
                answer = (left in right) is isinstance(kind, ast.In)
            else:
                answer = _decide(expr, _COMPARE[type(kind)], left, right)
            if not answer:
                return False
            left = right
        return True

    def _attribute(self, expr: Expr, node: ast.Attribute) -> Any:
        owner = self.value(expr.at(node.value))
        if isinstance(owner, TensorView) and node.attr in TensorView._fields:
            return getattr(owner, node.attr)
        raise expr.error(
            "E203", f"`.{node.attr}` may not stand in an expression",
            "tensors have `.shape`, `.rank` and `.dtype`",
        )  # fmt: skip

    def _subscript(self, expr: Expr, node: ast.Subscript) -> Any:
        owner, index = self._children(expr, [node.value, node.slice])
        if not isinstance(owner, list | tuple | str) or isinstance(owner, TensorView):
            raise expr.error("E205", "only a list or a text can be indexed")
        return owner[index]

    def _slice(self, expr: Expr, node: ast.Slice) -> slice:
        parts = (node.lower, node.upper, node.step)
        return slice(*(self.value(expr.at(p)) if p else None for p in parts))

    def _list(self, expr: Expr, node: ast.List | ast.Tuple) -> list[Any]:
        return self._children(expr, node.elts)

    _tuple = _list

    def _call(self, expr: Expr, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS or node.keywords:
            near = closest(name, FUNCTIONS) if name else None
            raise expr.error(
                "E203", f"`{ast.unparse(node.func)}` may not be called in an expression",
                f"did you mean `{near}`?" if near else f"there are {', '.join(FUNCTIONS)}",
            )  # fmt: skip
        return FUNCTIONS[name](*self._children(expr, node.args))


class Unknown(Exception):  # noqa: N818 - not an error: its cause has been reported already
    """An expression asks about a value whose own error has been reported."""


UNKNOWN = object()
"""Stands in a scope for a value that could not be worked out."""


def evaluate_text(text: str, scope: Mapping[str, Any], fuel: Fuel) -> Any:
    """The value of a string: an expression keeps its type, text around it makes text.

    Raises `ExpressionError` with offsets into `text`.
    """
    if "${" not in text:
        return text
    parts = list(template_parts(text))
    evaluator = Evaluator(scope, fuel)
    values = [
        evaluator.value(parse(part, offset, kind="expression")) if is_expression else part
        for part, offset, is_expression in parts
    ]
    return values[0] if len(values) == 1 else "".join(map(str, values))
