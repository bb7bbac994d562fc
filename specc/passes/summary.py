"""The table that `specc show` prints: path, operator, output shape, parameters, FLOPs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from specc.ir.dims import Size, evaluate, symbols
from specc.ir.graph import Call, DimInfo, Graph, Weight
from specc.ir.types import show_shape
from specc.ops import Op
from specc.ops.shapes import product


@dataclass(frozen=True)
class Row:
    """One layer of the table."""

    path: str
    op: str
    output: str
    parameters: int
    flops: Size


@dataclass(frozen=True)
class Summary:
    """The table and its totals; FLOPs are symbolic where sizes are."""

    name: str
    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    buffers: int
    flops: Size
    example: dict[str, int]

    @property
    def example_flops(self) -> int:
        """FLOPs of one forward pass at the example sizes."""
        return evaluate(self.flops, self.example)


def summarize(graph: Graph, dims: tuple[DimInfo, ...]) -> Summary:
    """Walk the graph; shared layers and tied weights count their parameters once."""
    rows: list[Row] = []
    owners = {path for path, _ in graph.walk()}
    tied = frozenset(_tied(graph))
    totals = {"parameters": 0, "trainable": 0, "buffers": 0}
    flops: Size = 0
    for path, node in graph.walk(shared=True):
        assert isinstance(node.op, Op)
        types = [value.type if value else None for value in node.inputs]
        own = node.op.flops(types, [value.type for value in node.outputs])
        flops = flops + own
        weights = [
            w for w in node.weights if path in owners and f"{path}.{w.name}" not in tied
        ]  # fmt: skip
        count = sum(_count(w) for w in weights if not w.is_buffer)
        totals["parameters"] += count
        totals["trainable"] += 0 if node.settings.get("freeze") else count
        totals["buffers"] += sum(_count(w) for w in weights if w.is_buffer)
        if not node.inline:
            shape = " ".join(show_shape(value.type.shape) for value in node.outputs)
            rows.append(Row(path, node.op.name, shape, count, own))
    names = symbols(flops) | {s for _, v in graph.outputs for d in v.type.shape for s in symbols(d)}
    example = {d.name: d.example or max(d.min, 1) for d in dims}
    example = {name: example.get(name, 1) for name in sorted(names)}
    return Summary(graph.name, tuple(rows), flops=flops, example=example, **totals)


def _tied(graph: Graph, prefix: str = "") -> Iterator[str]:
    """The full names of weights that are another layer's, as their layer or a group has it."""
    for node in graph.nodes:
        path = prefix + node.path
        tied: Any = node.settings.get("tie") or {}
        yield from (f"{path}.{name}" for name in tied)
        if isinstance(node.op, Call):
            yield from _tied(node.op.body, f"{path}.")


def _count(weight: Weight) -> int:
    total = product(weight.type.shape)
    assert isinstance(total, int)
    return total
