"""What a runtime sees of a model: inputs with the values they may hold, outputs, sizes."""

from __future__ import annotations

from collections.abc import Mapping

from specc.ir.dims import symbols
from specc.ir.graph import Call, DimInfo, Graph, InputInfo, Interface, Value
from specc.ops import Op

Bounds = tuple[int, int]


def interface(
    graph: Graph, dims: Mapping[str, DimInfo], declared: Mapping[str, Bounds] | None = None
) -> Interface:
    """The interface of a graph; `declared` bounds win over those that operators imply.

    A symbolic size about which the spec promises nothing is at least 1.
    """
    implied = {v.name: b for v, b in index_bounds(graph).items()} | dict(declared or {})
    inputs = tuple(
        InputInfo(value.name, value.type, *implied.get(value.name, (None, None)))
        for value in graph.inputs
    )
    outputs = tuple((name, value.type) for name, value in graph.outputs)
    named = sorted({n for v in graph.inputs for size in v.type.shape for n in symbols(size)})
    known = {name: dims.get(name, DimInfo(name)) for name in named}
    return Interface(inputs, outputs, tuple(known.values()))


def index_bounds(graph: Graph) -> dict[Value, Bounds]:
    """For the graph's integer inputs: the values that the layers they index allow."""
    return _body_bounds(graph, {})


_Known = dict[Graph, dict[Value, Bounds]]


def _body_bounds(graph: Graph, known: _Known) -> dict[Value, Bounds]:
    if graph not in known:
        found: dict[Value, Bounds] = {}
        for node in graph.nodes:
            for value, bounds in _node_bounds(node.op, node.inputs, known):
                low, high = found.get(value, bounds)
                found[value] = (max(low, bounds[0]), min(high, bounds[1]))
        known[graph] = {value: found[value] for value in graph.inputs if value in found}
    return known[graph]


def _node_bounds(
    op: object, inputs: tuple[Value | None, ...], known: _Known
) -> list[tuple[Value, Bounds]]:
    if isinstance(op, Call):
        inner = _body_bounds(op.body, known)
        outer = dict(zip(op.body.inputs, (v for v in inputs if v), strict=True))
        return [(outer[value], bounds) for value, bounds in inner.items()]
    assert isinstance(op, Op)
    names = op.input_names()
    slots = [*names.required, *names.optional]
    limits = op.index_bounds(*(value.type if value else None for value in inputs))
    return [
        (value, limits[name])
        for name, value in zip(slots, inputs, strict=False)
        if value and name in limits
    ]
