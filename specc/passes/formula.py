"""`formula`: a line of tensor arithmetic becomes the nodes that layers written out would be."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from specc.diagnostics.suggest import closest
from specc.ir.dims import Dim
from specc.ir.graph import Value
from specc.ir.types import OpError, TensorType
from specc.ops import REGISTRY, Op
from specc.ops.schema import coerce, open_param, param_schema, plain
from specc.passes.inference import inferred
from specc.passes.maker import Maker
from specc.passes.part import Input, Made, Result
from specc.passes.scope import POISON, Names, Poison, Scope
from specc.spec.expression_parser import Expr, ExpressionError, parse
from specc.spec.expressions import CONSTANTS, FUNCTIONS, Evaluator, Unknown
from specc.spec.validate import fault_in

_BINARY: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder", ast.Pow: "pow", ast.MatMult: "matmul", ast.BitAnd: "bitwise_and",
    ast.BitOr: "bitwise_or", ast.BitXor: "bitwise_xor", ast.Eq: "eq", ast.NotEq: "ne",
    ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
}  # fmt: skip
_UNARY: dict[type[ast.AST], str] = {ast.USub: "neg", ast.Invert: "bitwise_not"}


class Number(NamedTuple):
    """A compile-time value within a formula; `shown` is how the generated source writes it."""

    value: Any
    shown: str = ""


Operand = Value | Number
_IN_MATH = frozenset({"sqrt", "log", "log2", "pi"})
_ELLIPSIS = "..."
_TENSOR = "tensor"


class FormulaMaker(Maker):
    """A layer with `formula`."""

    def default_sources(self) -> list[Input]:
        """A formula names its tensors itself."""
        return []

    def __call__(self, path: str, sources: list[Input], scope: Scope) -> Result:  # noqa: ARG002
        """Emit the nodes of the formula."""
        return build_formula(self, path, scope)


def build_formula(maker: FormulaMaker, path: str, scope: Scope) -> Result:
    """The nodes of a formula; a finding and `POISON` where it is at fault."""
    pointer = (*maker.layer.pointer, "formula")
    text = maker.layer.target
    try:
        expr = parse(_substituted(text, scope), kind="formula")
        found = FormulaBuilder(maker, path, scope).build(expr)
    except Unknown:
        return {"": POISON}
    except ExpressionError as fault:
        at = maker.context.document.inside(pointer, fault.start, fault.end)
        maker.context.error(fault.code, fault.message, at, fault.hint)
        return {"": POISON}
    return {"": found}


def _substituted(text: str, scope: Scope) -> str:
    """A formula sees compile-time values by name, so `${…}` in it is a mistake."""
    del scope
    if "${" in text:
        start = text.index("${")
        raise ExpressionError(
            "E203", "`${…}` may not stand in a formula", start, start + 2,
            "compile-time values are in scope by their names",
        )  # fmt: skip
    return text


class FormulaBuilder:
    """Turns one parsed formula into nodes of the part around it."""

    def __init__(self, maker: FormulaMaker, path: str, scope: Scope) -> None:
        self.maker, self.path, self.scope = maker, path, scope
        self.part, self.context = maker.part, maker.context
        self.names = Names(scope)
        self.count = 0

    def build(self, expr: Expr) -> Value:
        """The value of the whole formula, at the layer's own path."""
        self._refuse_ambiguous(expr)
        before = len(self.part.nodes)
        result = self.operand(expr)
        if isinstance(result, Number):
            result = self._scalar(expr, result)
        if len(self.part.nodes) == before:
            return result  # a bare name
        return self._finished(self.part.nodes.pop(), result)

    def _finished(self, node: Any, result: Value) -> Value:
        made = Made(node.op, (Value(self.path, result.type),), node.weights)
        self.part.emit(made, self.path, self.path, node.inputs, self.maker.layer)
        return made.outputs[0]

    def _refuse_ambiguous(self, expr: Expr) -> None:
        for node in ast.walk(expr.node):
            if isinstance(node, ast.Name):
                tensor = node.id in self.scope.values
                if tensor and node.id in self.scope.constants:
                    raise expr.at(node).error(
                        "R303", f"`{node.id}` is a layer and a compile-time value at once",
                        "rename one of them",
                    )  # fmt: skip

    # -- operands ---------------------------------------------------------------------------

    def operand(self, expr: Expr) -> Operand:
        """A tensor, or a compile-time value where no tensor takes part."""
        node = expr.node
        if self._is_compile_time(node) and not self._divides_a_size(expr):
            return Number(value := self._evaluated(expr), self._shown(expr, value))
        if isinstance(node, ast.Name):
            return self._named(expr, node.id)
        if isinstance(node, ast.BinOp):
            return self._binary(expr, _BINARY[type(node.op)], node.left, node.right)
        if isinstance(node, ast.Compare):
            if len(node.ops) != 1 or type(node.ops[0]) not in _BINARY:
                raise expr.error("E203", "only one comparison at a time", "join two with `&`")
            return self._binary(expr, _BINARY[type(node.ops[0])], node.left, node.comparators[0])
        if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            return self.apply(
                expr, _UNARY[type(node.op)], [self.operand(expr.at(node.operand))], {}
            )
        if isinstance(node, ast.Attribute):
            return self._attribute(expr, node)
        if isinstance(node, ast.Subscript):
            return self._subscript(expr, node)
        if isinstance(node, ast.Call):
            return self._call(expr, node)
        raise expr.error("E203", f"`{type(node).__name__.lower()}` may not stand in a formula")

    def _is_compile_time(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and node.attr in ("shape", "rank", "dtype"):
            return True
        if isinstance(node, ast.Name):
            return node.id in self.scope.constants or node.id in CONSTANTS
        if isinstance(node, ast.Call):
            known = isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS
            return known and all(self._is_compile_time(a) for a in node.args) and not node.keywords
        return all(self._is_compile_time(child) for child in ast.iter_child_nodes(node))

    def _shown(self, expr: Expr, value: Any) -> str:
        """`math.sqrt(64)` or `(2 * math.pi)` rather than the digits of an irrational number."""
        if not isinstance(value, float) or len(repr(value)) < 10:
            return ""

        class Filled(ast.NodeTransformer):
            def visit_Name(_, node: ast.Name) -> ast.AST:  # noqa: N805 - ast's own form
                found = self.scope.constants.get(node.id)
                if isinstance(found, int | float):
                    return ast.Constant(found)
                return ast.Name(f"math.{node.id}") if node.id in _IN_MATH else node

        tree = Filled().visit(copy.deepcopy(expr.node))
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        if any(not name.startswith("math.") for name in names):
            return ""
        text = re.sub(r"\*\* \((-[\d.]+)\)", r"**\1", ast.unparse(tree)).replace(" ** ", "**")
        return f"({text})" if isinstance(tree, ast.BinOp) else text if names else ""

    def _evaluated(self, expr: Expr) -> Any:
        return Evaluator(self.names, self.context.fuel).value(expr)

    def _divides_a_size(self, expr: Expr) -> bool:
        """Whether this is a true division of symbolic sizes: only a run can tell its result."""
        node = expr.node
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Pow):
            return any(
                isinstance(self._evaluated(expr.at(n)), Dim) for n in (node.left, node.right)
            )
        children = [c for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)]
        return not isinstance(node, ast.Attribute | ast.Call) and any(
            self._divides_a_size(expr.at(child)) for child in children
        )

    def _named(self, expr: Expr, name: str) -> Value:
        found = self.scope.values.get(name)
        if isinstance(found, Poison):
            raise Unknown
        if found is None:
            later = name in self.part.later
            known = [*self.scope.values, *self.scope.constants]
            near = closest(name, known)
            hint = f"did you mean `{near}`?" if near else None
            if later:
                raise expr.error(
                    "R302",
                    f"`{name}` comes later in this list",
                    "a formula can only take what stands before it",
                )
            raise expr.error("E202", f"there is no layer, input or value `{name}` here", hint)
        return found

    def _binary(self, expr: Expr, name: str, left: ast.expr, right: ast.expr) -> Value:
        operands = [self.operand(expr.at(left)), self.operand(expr.at(right))]
        return self.apply(expr, name, operands, {})

    def _attribute(self, expr: Expr, node: ast.Attribute) -> Value:
        if isinstance(node.value, ast.Name):
            return self._named(expr, f"{node.value.id}.{node.attr}")
        raise expr.error("E203", f"`.{node.attr}` may not stand in a formula")

    def _subscript(self, expr: Expr, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Name) and f"{node.value.id}.0" in self.scope.values:
            index = self.operand(expr.at(node.slice))
            if isinstance(index, Number) and isinstance(index.value, int):
                return self._named(expr, f"{node.value.id}.{index.value}")
        owner = self.operand(expr.at(node.value))
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        operands, index_items = [owner], []
        for item in items:
            found = self._index_item(expr.at(item))
            if isinstance(found, Value):
                operands.append(found)
                found = _TENSOR
            index_items.append(found)
        if len(operands) > 2:
            raise expr.error("E203", "only one tensor may stand in an index")
        return self.apply(expr, "getitem", operands, {"index": index_items})

    def _index_item(self, expr: Expr) -> Any:
        node = expr.node
        if isinstance(node, ast.Slice):
            edges = [node.lower, node.upper] + ([node.step] if node.step else [])
            return [None if e is None else self._compile_time(expr.at(e)) for e in edges]
        if isinstance(node, ast.Constant) and node.value in (None, ...):
            return _ELLIPSIS if node.value is ... else None
        found = self.operand(expr)
        return found.value if isinstance(found, Number) else found

    def _compile_time(self, expr: Expr) -> Any:
        found = self.operand(expr)
        if isinstance(found, Value):
            raise expr.error("E205", "a value known at compile time is needed here, not a tensor")
        return found.value

    # -- calls ------------------------------------------------------------------------------

    def _call(self, expr: Expr, node: ast.Call) -> Value:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in REGISTRY or name[0].isupper():
            functions = [n for n in REGISTRY if not n[0].isupper()]
            near = closest(name, functions) if name else None
            raise expr.error(
                "E203", f"there is no function `{ast.unparse(node.func)}`",
                f"did you mean `{near}`?" if near else "`specc ops` lists them",
            )  # fmt: skip
        cls = REGISTRY[name]
        names = cls.input_names()
        slots = [*names.required, *names.optional]
        operands: list[Any] = []
        params: dict[str, Any] = {}
        free = list(cls.params)
        for argument in node.args:
            if (
                isinstance(argument, ast.List | ast.Tuple)
                and names.variadic
                and not self._is_compile_time(argument)
            ):
                operands += [self.operand(expr.at(item)) for item in argument.elts]
                continue
            found = self.operand(expr.at(argument))
            takes = len(operands) < len(slots) and slots[len(operands)] in cls.scalars
            if isinstance(found, Value) or takes:
                operands.append(found)
            elif free:
                params[free.pop(0)] = found.value
            else:
                raise expr.at(argument).error("E205", f"`{name}` takes no further argument")
        for keyword in node.keywords:
            self._keyword(expr, cls, keyword, slots, operands, params)
        return self.apply(expr, name, operands, params)

    def _keyword(
        self, expr: Expr, cls: type[Op], keyword: ast.keyword, slots: list[str],
        operands: list[Any], params: dict[str, Any],
    ) -> None:  # fmt: skip
        at = expr.at(keyword)
        if keyword.arg in slots:
            position = slots.index(keyword.arg)
            operands += [None] * (position + 1 - len(operands))
            operands[position] = self.operand(expr.at(keyword.value))
        elif keyword.arg in cls.params:
            params[keyword.arg] = self._compile_time(expr.at(keyword.value))
        elif named := open_param(cls):
            found = self._compile_time(expr.at(keyword.value))
            params[named] = {**params.get(named, {}), str(keyword.arg): found}
        else:
            near = closest(str(keyword.arg), [*slots, *cls.params])
            raise at.error(
                "S101", f"`{cls.name}` has no parameter `{keyword.arg}`",
                f"did you mean `{near}`?" if near else None,
            )  # fmt: skip

    def apply(
        self, expr: Expr, name: str, operands: Sequence[Any], params: dict[str, Any]
    ) -> Value:
        """Append the node of one operator and return its one result."""
        cls = REGISTRY[name]
        bound = self._bound(expr, cls, params)
        inputs = [self._scalar(expr, o) if isinstance(o, Number) else o for o in operands]
        names = cls.input_names()
        if len(inputs) < len(names.required):
            missing = ", ".join(f"`{n}`" for n in names.required[len(inputs) :])
            raise expr.error("R306", f"`{name}` also needs {missing}")
        types = [value.type if value else None for value in inputs]
        try:
            outputs, weights = inferred(bound, types)
        except OpError as fault:
            raise expr.error(fault.code, fault.message, fault.hint) from None
        except (ZeroDivisionError, TypeError) as fault:
            raise expr.error("E205", f"`{name}` cannot be applied here: {fault}") from None
        if len(outputs) != 1 or weights:
            raise expr.error(
                "E203", f"`{name}` cannot stand in a formula",
                "only operators with one result and no weights can; write it as a layer",
            )  # fmt: skip
        return self._emit(bound, inputs, outputs[0][1])

    def _bound(self, expr: Expr, cls: type[Op], params: dict[str, Any]) -> Op:
        for key, value in params.items():
            fault = fault_in(plain(cls, key, value), param_schema(cls, key))
            if fault:
                raise expr.error("S103", f"`{key}` of `{cls.name}` {fault}")
        try:
            return cls(**{k: coerce(cls, k, v) for k, v in params.items()})
        except OpError as fault:
            raise expr.error(fault.code, fault.message, fault.hint) from None

    def _scalar(self, expr: Expr, number: Number) -> Value:
        if not isinstance(number.value, int | float | bool | Dim):
            raise expr.error("E205", f"`{number.value}` cannot take part in tensor arithmetic")
        bound = REGISTRY["scalar"](value=number.value, shown=number.shown)
        kind = bound.infer()
        assert isinstance(kind, TensorType)
        return self._emit(bound, [], kind)

    def _emit(self, bound: Op, inputs: Sequence[Value | None], kind: TensorType) -> Value:
        self.count += 1
        path = f"{self.path}/{bound.name}_{self.count}"
        value = Value(path, kind)
        self.part.emit(Made(bound, (value,)), path, path, inputs, self.maker.layer, inline=True)
        return value
