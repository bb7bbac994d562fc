"""Which values are known when a model is made: those of a buffer have to be."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ir.graph import Call, Node, Value


def varying(value: Value, nodes: Sequence[Node]) -> Value | None:
    """The input of the part, or the layer's result, that keeps a value from being constant."""
    made = {output: node for node in nodes for output in node.outputs}
    waiting, seen = [value], {value}
    while waiting:
        current = waiting.pop()
        node = made.get(current)
        if node is None or node.weights or isinstance(node.op, Call):
            return current
        fresh = [v for v in node.inputs if v is not None and v not in seen]
        seen |= set(fresh)
        waiting += fresh
    return None
