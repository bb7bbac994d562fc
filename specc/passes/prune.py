"""Leave out what the wanted outputs do not need."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from specc.ir.graph import Graph, Value


def prune(graph: Graph, outputs: Collection[str] | None = None) -> Graph:
    """The graph with only these outputs (default: all but the training-only ones).

    Inputs that nothing needs any more are left out as well.
    """
    wanted = [
        (name, value) for name, value in graph.outputs
        if (name in outputs if outputs is not None else name not in graph.train_only)
    ]  # fmt: skip
    needed: set[Value] = {value for _, value in wanted}
    kept = []
    for node in reversed(graph.nodes):
        if any(output in needed for output in node.outputs):
            kept.append(node)
            needed |= {value for value in node.inputs if value}
    inputs = (
        tuple(value for value in graph.inputs if value in needed)
        if outputs is not None or graph.train_only
        else graph.inputs
    )
    return replace(graph, inputs=inputs, nodes=tuple(reversed(kept)), outputs=tuple(wanted))
