"""Spec -> Graph: params, dims, inputs and layers become a typed graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from specc.diagnostics.model import Diagnostics, Pointer
from specc.ir.dims import Dim, Size, as_size, symbol
from specc.ir.graph import DimInfo, Graph, Value
from specc.ir.types import DType, TensorType
from specc.passes.calls import add_lets, build_body
from specc.passes.declared import check_declared
from specc.passes.layers import new_context
from specc.passes.scope import POISON, Context, Scope
from specc.passes.starts import starts
from specc.passes.ties import check_ties
from specc.passes.undersized import smallest
from specc.spec.model import Spec
from specc.spec.schema import DIM, MAX_SIZE
from specc.spec.validate import fault_in


def resolve(spec: Spec) -> tuple[Graph | None, Diagnostics]:
    """The model's graph; `None` where an error stands in the way."""
    out = Diagnostics()
    context = new_context(spec.document, out)
    scope = spec_scope(spec, context)
    context.globals = dict(scope.constants)
    inputs = [(name, _input(scope, name, info)) for name, info in spec.section("inputs").items()]
    if any(value is None for _, value in inputs):
        return None, out
    values = [(name, value) for name, value in inputs if value]
    model_scope = Scope(context, context.globals)
    graph = build_body(spec.name, model_scope, values, _definition(spec), ())
    if graph is None or out.has_errors:
        return None, out
    named = _with_output_names(graph, spec)
    check_declared(spec, named, scope)
    check_ties(named, context)
    if out.has_errors:
        return None, out
    return replace(named, starts=starts(spec, named, scope)), out


def spec_scope(spec: Spec, context: Context) -> Scope:
    """What every expression of a spec may name: params, dims and lets."""
    scope = Scope(context, {})
    _add_params(spec, scope)
    _add_dims(spec, scope, declared_dims(spec, scope))
    add_lets(scope, spec.section("let"), ("let",))
    return scope


def _definition(spec: Spec) -> dict[str, Any]:
    return {k: v for k, v in spec.document.value.items() if k in ("layers", "outputs")}


def _with_output_names(graph: Graph, spec: Spec) -> Graph:
    outputs = tuple((name or "output", value) for name, value in graph.outputs)
    declared = spec.section("outputs")
    train_only = frozenset(
        k for k, v in declared.items() if isinstance(v, dict) and v.get("train_only")
    )
    return Graph(graph.name, graph.inputs, graph.nodes, outputs, train_only)


def _add_params(spec: Spec, scope: Scope) -> None:
    for name, value in spec.section("params").items():
        scope.constants[name] = scope.evaluate(value, ("params", name))


def declared_dims(spec: Spec, scope: Scope) -> dict[str, DimInfo]:
    """What the spec promises about its symbolic sizes, checked."""
    found: dict[str, DimInfo] = {}
    for name, info in spec.section("dims").items():
        pointer = ("dims", name)
        keys = {k: scope.evaluate(v, (*pointer, k)) for k, v in info.items() if k != "doc"}
        if any(v is POISON for v in keys.values()) or not _are_sizes(scope, name, keys):
            continue
        dim = DimInfo(name, **keys)
        fault = _dim_fault(dim)
        if fault:
            scope.context.error("T409", fault, spec.document.span(pointer))
        else:
            found[name] = dim
    return found


def _are_sizes(scope: Scope, name: str, keys: dict[str, Any]) -> bool:
    """Whether what expressions gave is what the schema wants; a finding for each that isn't."""
    fine = True
    for key, value in keys.items():
        fault = fault_in(value, DIM["properties"][key])
        if fault:
            at = scope.context.document.span(("dims", name, key))
            scope.context.error("S103", f"`{key}` of dim `{name}` {fault}", at)
            fine = False
    return fine


def spec_dims(spec: Spec) -> dict[str, DimInfo]:
    """The declared dims of a spec that is known to be fine."""
    scope = Scope(new_context(spec.document, Diagnostics()), {})
    _add_params(spec, scope)
    return declared_dims(spec, scope)


def _dim_fault(dim: DimInfo) -> str | None:
    if dim.max is not None and dim.max < dim.min:
        return f"dim `{dim.name}` has a `max` of {dim.max} below its `min` of {dim.min}"
    first = -(-dim.min // dim.multiple_of) * dim.multiple_of
    if dim.max is not None and first > dim.max:
        return f"no multiple of {dim.multiple_of} lies between {dim.min} and {dim.max}"
    if dim.example is None:
        return None
    if dim.example < dim.min or (dim.max is not None and dim.example > dim.max):
        return f"the example {dim.example} of dim `{dim.name}` is out of its own range"
    if dim.example % dim.multiple_of:
        return f"the example {dim.example} of dim `{dim.name}` is no multiple of {dim.multiple_of}"
    return None


def _add_dims(spec: Spec, scope: Scope, dims: dict[str, DimInfo]) -> None:
    """Every name in an input's shape that is no param is a dim, declared or not."""
    for name, info in dims.items():
        scope.constants[name] = symbol(
            name, min=info.min, max=info.max, multiple_of=info.multiple_of
        )
    for info in spec.section("inputs").values():
        for size in info["shape"]:
            if isinstance(size, str) and size.isidentifier() and size not in scope.constants:
                scope.constants[size] = as_size(size)


def _input(scope: Scope, name: str, info: dict[str, Any]) -> Value | None:
    shape = shape_of(scope, info["shape"], ("inputs", name, "shape"))
    if shape is None:
        return None
    if name in scope.constants:
        at = scope.context.document.span(("inputs", name), key=True)
        scope.context.error("R303", f"`{name}` is an input and a compile-time value at once", at)
    return Value(name, TensorType(DType(info.get("dtype", "float32")), tuple(shape)))


def shape_of(scope: Scope, raw: list[Any], pointer: Pointer) -> list[Size] | None:
    """Sizes that are numbers, names of dims, or expressions; `None` (and a finding) for others."""
    shape: list[Size] = []
    for i, size in enumerate(raw):
        found = scope.constants.get(size) if isinstance(size, str) else size
        if found is None:
            found = scope.evaluate(size, (*pointer, i))
        if found is POISON:
            return None
        if fault := _size_fault(found):
            at = scope.context.document.span((*pointer, i))
            scope.context.error("T405", fault[0], at, fault[1])
            return None
        shape.append(found)
    return shape


def _size_fault(found: Any) -> tuple[str, str] | None:
    """Why a value is no size of an input, and what to write instead."""
    if isinstance(found, Dim):
        below = smallest(found)
        return (f"the size would be {below.told}", below.hint) if below else None
    if isinstance(found, int) and not isinstance(found, bool) and 1 <= found <= MAX_SIZE:
        return None
    hint = f"a size is an integer from 1 to {MAX_SIZE}, the name of a dim, or an expression"
    return f"`{found}` is not a size", hint


def evaluated_section(
    spec: Spec, key: str, *, leave: tuple[str, ...] = ()
) -> tuple[dict[str, Any], Diagnostics]:
    """A section of the spec with its expressions worked out, all but the keys to `leave`."""
    out = Diagnostics()
    scope = Scope(new_context(spec.document, out), {})
    _add_params(spec, scope)
    add_lets(scope, spec.section("let"), ("let",))
    found = {}
    for name, value in spec.section(key).items():
        # Sizes of inputs and columns may be symbolic; all else is known by now.
        is_symbolic = key == "inputs" or (key, name) == ("data", "columns")
        own = spec_scope(spec, scope.context) if is_symbolic else scope
        found[name] = value if name in leave else own.evaluate(value, (key, name))
    return found, out
