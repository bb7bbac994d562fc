"""Which class is taken for which: the confusion matrix of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from specc.training.metrics import Kind, Metric
from specc.training.problems import TrainError
from specc.training.settings import NamedOp, compared

NAME = "confusion_matrix"
KIND = Kind("ConfusionMatrix", "classification")
MOST_CLASSES = 1000
"""Beyond this the matrix is a burden, and a language model's vocabulary no set of classes."""
LOSSES = ("CrossEntropyLoss", "NLLLoss", "BCEWithLogitsLoss", "BCELoss")


class Confusion(Metric):
    """Rows are the true classes, columns the predicted ones."""

    @property
    def kind(self) -> Kind:
        """No metric of a spec, since it is no single number."""
        return KIND


def confusion_matrix(loss: Any, values: Mapping[str, Tensor]) -> Metric | None:
    """The matrix of the first pair that a classification loss compares, if there is one."""
    for pair in compared(loss):
        if pair.op not in LOSSES or not {pair.output, pair.target} <= values.keys():
            continue
        output, target = values[pair.output], values[pair.target]
        arguments = {}
        if (ignored := pair.arguments.get("ignore_index")) is not None:
            arguments["ignore_index"] = ignored
        one_hot = output.shape == target.shape and pair.op == "CrossEntropyLoss"
        metric = Confusion(
            NAME, NamedOp(NAME, arguments), pair.output, pair.target, one_hot,
            probabilities=pair.op == "BCELoss",
        )  # fmt: skip
        try:
            metric.settle(values)
        except (TrainError, ValueError, RuntimeError):
            continue
        classes = output.shape[1] if metric.task == "Multiclass" else 2
        return metric if metric.task != "Multilabel" and classes <= MOST_CLASSES else None
    return None
