"""What depends on no input and no weight is computed once, when the file is written.

The proof comes after this pass, so a wrong fold is caught like any other fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from specc.ir.types import DType, TensorType
from specc.targets.onnx_graph import Constant, OnnxGraph, OnnxNode

MAX_ELEMENTS = 2**20
"""A larger constant stays computed: it would make the file larger than its program."""

RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike",
                    "Bernoulli", "Multinomial"})  # fmt: skip

Evaluate = Callable[[OnnxGraph], dict[str, Any]]


def folded(graph: OnnxGraph, evaluate: Evaluate) -> OnnxGraph:
    """The graph with its constant parts as initializers; `evaluate` runs a graph without inputs."""
    foldable = _foldable(graph)
    if not foldable:
        return graph
    made = {name for node in foldable for name in node.outputs}
    kept = [node for node in graph.nodes if node not in foldable]
    read = {name for node in kept for name in node.inputs if name in made}
    unknown = TensorType(DType.float32, ())
    part = replace(
        graph, inputs=[], outputs=[(name, unknown) for name in sorted(read)], nodes=foldable
    )
    values = evaluate(part)
    if any(np.size(value) > MAX_ELEMENTS for value in values.values()):
        return graph
    constants = {name: Constant(value, DType(str(value.dtype))) for name, value in values.items()}
    initializers = {**graph.initializers, **constants}
    used = {name for node in kept for name in node.inputs}
    return replace(
        graph, nodes=kept, initializers={k: v for k, v in initializers.items() if k in used}
    )


def _foldable(graph: OnnxGraph) -> list[OnnxNode]:
    """The nodes that only constants reach; one that makes an output of the model stays."""
    known = {name for name, held in graph.initializers.items() if isinstance(held, Constant)}
    outputs = {name for name, _ in graph.outputs}
    found = []
    for node in graph.nodes:
        constant = all(name is None or name in known for name in node.inputs)
        if constant and node.op_type not in RANDOM and not outputs & set(node.outputs):
            found.append(node)
            known |= set(node.outputs)
    return found
