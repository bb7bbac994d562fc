"""What an output means: which column it predicts, with which labels; kept in the ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specc.api.model import Model
from specc.ir.graph import Graph
from specc.ops import Op

KINDS = {
    "CrossEntropyLoss": "logits", "NLLLoss": "log_probabilities", "BCEWithLogitsLoss": "logits",
    "BCELoss": "probabilities",
}  # fmt: skip
"""Losses of a classification, and what their input holds."""


def output_meanings(model: Model, labels: Mapping[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """For each output that a classification loss compares with a column: how to read it."""
    meanings: dict[str, dict[str, Any]] = {}
    for loss_input, target, kind in _compared(model.loss):
        output = next((kind_ for name, kind_ in model.graph.outputs if name == loss_input), None)
        if output is None:
            continue
        meanings[loss_input] = {"column": target, "holds": kind}
        if target in labels:
            meanings[loss_input]["labels"] = labels[target]
    return meanings


def _compared(loss: Graph | None) -> list[tuple[str, str, str]]:
    names = {value: value.name for value in loss.inputs} if loss else {}
    found = []
    for node in loss.nodes if loss else ():
        kind = KINDS.get(node.op.name) if isinstance(node.op, Op) else None
        if kind and len(node.inputs) >= 2 and all(v in names for v in node.inputs[:2]):
            first, second = node.inputs[:2]
            assert first is not None and second is not None
            found.append((names[first], names[second], kind))
    return found
