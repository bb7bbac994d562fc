"""The training loss, a graph in the same language over outputs, inputs and data columns."""

from __future__ import annotations

from types import NoneType
from typing import Any

from specc.diagnostics.model import Diagnostics, Pointer
from specc.ir.dims import Size
from specc.ir.graph import Graph, Value
from specc.ir.types import DType, TensorType
from specc.passes.layers import new_context
from specc.passes.part import Part
from specc.passes.resolve import shape_of, spec_scope
from specc.passes.scope import POISON, Poison, Scope
from specc.passes.sources import data_columns
from specc.spec.model import Spec


def resolve_loss(spec: Spec, model: Graph) -> tuple[Graph | None, Diagnostics]:
    """The loss as a graph whose inputs are the tensors that it names; it ends in a scalar."""
    out = Diagnostics()
    loss = spec.section("train").get("loss")
    if loss is None:
        return None, out
    _check_shadowing(spec, model, out)
    if out.has_errors:
        return None, out
    context = new_context(spec.document, out)
    outer = spec_scope(spec, context)
    context.globals = outer.constants
    values = loss_values(spec, model, outer)
    part = Part("loss", Scope(context, context.globals), list(values.items()))
    pointer = ("train", "loss")
    if isinstance(loss, list):
        _add_weighted(part, loss, pointer)
    elif isinstance(loss, dict) and "layers" in loss and "op" not in loss:
        part.add_layers(loss["layers"], (*pointer, "layers"))
    else:
        part.add_layer(loss, pointer, 0)
    result = part.previous
    if out.has_errors or not isinstance(result, Value):
        return None, out
    if result.type.rank != 0:
        out.add(
            "L604", f"the loss must be a single number, got {result.type}", spec.locate(pointer),
            hint='end with `"reduction": "mean"` or `"sum"`',
        )  # fmt: skip
        return None, out
    used = {value for node in part.nodes for value in node.inputs}
    inputs = tuple(value for _, value in part.inputs if isinstance(value, Value) and value in used)
    return Graph("loss", inputs, tuple(part.nodes), (("", result),)), out


def _check_shadowing(spec: Spec, model: Graph, out: Diagnostics) -> None:
    """A loss names outputs and columns alike, so none of them may have the other's name."""
    columns = data_columns(spec, model)
    for name in (name for name, _ in model.outputs if name in columns):
        declared = name in spec.section("outputs")
        pointer = ("outputs", name) if declared else ("data", "columns", name)
        at = spec.document.span(pointer, key=True)
        hint = "rename the output" if declared else "name the output, in `outputs`"
        out.add("R303", f"`{name}` is an output and a data column at once", at, hint=hint)


def _add_weighted(part: Part, losses: list[Any], pointer: Pointer) -> None:
    """Several losses: their sum, each times its `weight`."""
    terms = []
    for index, raw in enumerate(losses):
        place = (*pointer, index)
        factor, rest = _weight_of(part, raw, place)
        part.add_layer(rest, place, index)
        part.scope.values[f"term{index}"] = part.previous or POISON
        terms.append(f"term{index}" if factor == 1 else f"{factor!r} * term{index}")
    if terms:
        part.add_layer({"formula": " + ".join(terms)}, pointer, len(losses))


def _weight_of(part: Part, raw: Any, place: Pointer) -> tuple[Any, Any]:
    """A loss's own factor, and the loss without it (a list is a loss's class weights)."""
    if not isinstance(raw, dict) or isinstance(raw.get("weight"), list | NoneType):
        return 1, raw
    factor = part.scope.evaluate(raw["weight"], (*place, "weight"))
    if isinstance(factor, bool) or not isinstance(factor, int | float):
        at = part.context.document.span((*place, "weight"))
        part.context.error("S103", f"the `weight` of a loss must be a number, got `{factor}`", at)
        factor = 1
    return factor, {k: v for k, v in raw.items() if k != "weight"}


def loss_values(spec: Spec, model: Graph, scope: Scope) -> dict[str, Value | Poison]:
    """What a loss or a metric may name, with its type."""
    found: dict[str, Value | Poison] = {v.name: Value(v.name, v.type) for v in model.inputs}
    found |= {name: Value(name, value.type) for name, value in model.outputs}
    batch = _batch(model)
    for name, column in data_columns(spec, model).items():
        if name not in found:
            raw, place = column.get("shape"), ("data", "columns", name, "shape")
            shape = None if raw is None else shape_of(scope, raw, place)
            is_wrong = raw is not None and shape is None
            found[name] = POISON if is_wrong else Value(name, _column_type(column, shape, batch))
    return found


def _batch(model: Graph) -> Size:
    return next((v.type.shape[0] for v in model.inputs if v.type.rank), 1)


def _column_type(column: dict[str, Any], shape: list[Any] | None, batch: Size) -> TensorType:
    encode, source = column.get("encode"), column.get("from")
    default = "int64" if encode == "class" else "float32"
    dtype = DType(column.get("dtype", default))
    if shape is not None:
        return TensorType(dtype, (batch, *shape))
    if isinstance(source, list):
        return TensorType(dtype, (batch, len(source)))
    return TensorType(dtype, (batch,))
