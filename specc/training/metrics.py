"""Metrics by name, through torchmetrics.

What a metric computes follows from the shapes of its two tensors: a class axis that the
target lacks makes it multiclass, one score a row binary, several scores with a target for
each multilabel. A classification metric sees probabilities: outputs are taken for logits
unless `BCELoss` is what they go into.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from specc.training.problems import TrainError, did_you_mean, listed
from specc.training.settings import NamedOp


class Kind(NamedTuple):
    """A metric: its class in torchmetrics, without the task's name for a classification."""

    name: str
    family: str
    arguments: Mapping[str, Any] = {}


MACRO = {"average": "macro"}
KINDS: Mapping[str, Kind] = {
    "accuracy": Kind("Accuracy", "classification", {"average": "micro"}),
    "top_k": Kind("Accuracy", "classification", {"average": "micro"}),
    "precision": Kind("Precision", "classification", MACRO),
    "recall": Kind("Recall", "classification", MACRO),
    "f1_score": Kind("F1Score", "classification", MACRO),
    "fbeta_score": Kind("FBetaScore", "classification", MACRO),
    "specificity": Kind("Specificity", "classification", MACRO),
    "jaccard_index": Kind("JaccardIndex", "classification", MACRO),
    "auroc": Kind("AUROC", "classification", MACRO),
    "average_precision": Kind("AveragePrecision", "classification", MACRO),
    "calibration_error": Kind("CalibrationError", "classification"),
    "cohen_kappa": Kind("CohenKappa", "classification"),
    "matthews_corrcoef": Kind("MatthewsCorrCoef", "classification"),
    "mean_absolute_error": Kind("MeanAbsoluteError", "regression"),
    "mean_squared_error": Kind("MeanSquaredError", "regression"),
    "rmse": Kind("MeanSquaredError", "regression", {"squared": False}),
    "mean_absolute_percentage_error": Kind("MeanAbsolutePercentageError", "regression"),
    "r2_score": Kind("R2Score", "regression"),
    "explained_variance": Kind("ExplainedVariance", "regression"),
    "pearson_corrcoef": Kind("PearsonCorrCoef", "regression"),
    "spearman_corrcoef": Kind("SpearmanCorrCoef", "regression"),
    "perplexity": Kind("Perplexity", "text"),
}
ALIASES = {
    "f1": "f1_score", "iou": "jaccard_index", "mae": "mean_absolute_error",
    "mse": "mean_squared_error", "mape": "mean_absolute_percentage_error", "r2": "r2_score",
}  # fmt: skip
COMPARE_ROWS = ("AUROC", "AveragePrecision", "CalibrationError")
"""Metrics that compare one row's scores with another's, which needs probabilities.

They are computed in float64, since in float32 many a difference between logits rounds away.
"""
WORKED_OUT = ("num_classes", "num_labels", "num_outputs", "task")
BUFFER_ROWS = 4096
"""An update of torchmetrics costs more than a small model's forward pass, so rows are saved up."""


@dataclass
class Metric:
    """One metric of a spec; `settle` decides its task once shapes are known."""

    name: str
    spec: NamedOp
    output: str
    target: str
    one_hot: bool = False
    probabilities: bool = False
    task: str = ""
    instance: Any = None
    buffer: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """What the metric's name stands for; raises `TrainError` L602."""
        op = ALIASES.get(self.spec.op, self.spec.op)
        if op not in KINDS:
            hint = did_you_mean(op, [*KINDS, *ALIASES]) or f"metrics: {listed(KINDS, 30)}"
            raise TrainError("L602", f"there is no metric `{op}`", "op", hint=hint)
        return KINDS[op]

    @property
    def higher_is_better(self) -> bool:
        """Whether more is better."""
        better = self.instance.higher_is_better
        return bool(better) if better is not None else self.kind.family == "classification"

    def settle(self, values: Mapping[str, Tensor]) -> None:
        """Make the torchmetrics object; raises `TrainError` L602, L603 or L609."""
        output, target = values[self.output], values[self.target]
        family = self.kind.family
        sizes: dict[str, int] = {}
        if family == "regression":
            if output.numel() != target.numel():
                raise self._misfit(output, target)
        else:
            self.task, sizes = self._classification(output, target)
            if family == "text":
                sizes = {}
        self.instance = self._make(sizes)
        self._prepared(output, target)

    def _classification(self, output: Tensor, target: Tensor) -> tuple[str, dict[str, int]]:
        if self.one_hot and output.shape == target.shape and output.ndim > 1:
            return "Multiclass", {"num_classes": output.shape[1]}
        if output.ndim == target.ndim + 1 and not target.is_floating_point():
            axis = _class_axis(output, target)
            if axis and output.shape[axis] > 1:
                return "Multiclass", {"num_classes": output.shape[axis]}
        if output.numel() == target.numel():
            if output.ndim < 2 or output.numel() == output.shape[0]:
                return "Binary", {}
            return "Multilabel", {"num_labels": output.shape[1]}
        raise self._misfit(output, target)

    def _misfit(self, output: Tensor, target: Tensor) -> TrainError:
        shapes = f"`{self.output}` {tuple(output.shape)} and `{self.target}` {tuple(target.shape)}"
        return TrainError("L609", f"`{self.spec.op}` can't compare {shapes}", "from")

    def _make(self, sizes: Mapping[str, int]) -> Any:
        name, family, defaults = self.kind
        given = {k: v for k, v in self.spec.arguments.items() if k != "from"}
        if self.spec.op == "top_k":
            given["top_k"] = given.pop("k", 5)
        module = _imported("text.perplexity" if family == "text" else family)
        cls = getattr(module, self.task + name if family == "classification" else name, None)
        if cls is None:
            raise TrainError("L609", f"`{self.spec.op}` takes no {self.task.lower()} outputs", "op")
        known = [n for n in inspect.signature(cls.__init__).parameters if n not in
                 (*WORKED_OUT, "self", "kwargs")]  # fmt: skip
        for argument in given:
            if argument not in known:
                takes = f"it takes {listed(known)}"
                message = f"`{self.spec.op}` takes no `{argument}`"
                raise TrainError("L603", message, argument, hint=takes)
        kept = {k: v for k, v in defaults.items() if k in known}
        try:
            # Some tell that they keep all rows, which is so for every metric that compares them.
            with warnings.catch_warnings(action="ignore"):
                return cls(**{**kept, **sizes, **given})
        except (ValueError, TypeError) as error:
            message = str(error).splitlines()[0].rstrip(".")
            raise TrainError("L603", f"`{self.spec.op}`: {message}") from error

    def update(self, values: Mapping[str, Tensor]) -> None:
        """Count these rows in."""
        self.buffer.append((values[self.output].detach(), values[self.target]))
        if sum(len(output) for output, _ in self.buffer) >= BUFFER_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self.buffer:
            outputs, targets = zip(*self.buffer, strict=True)
            self.buffer.clear()
            self.instance.to(outputs[0].device)
            self.instance.update(*self._prepared(torch.cat(outputs), torch.cat(targets)))

    def _prepared(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.task == "Multiclass":
            return self._multiclass(output, target)
        if self.task in ("Binary", "Multilabel"):
            scores = output if self.probabilities else output.double().sigmoid()
            if self.task == "Binary":
                scores, target = scores.flatten(), target.flatten()
            return scores, target.reshape(scores.shape).long()
        flat = output.numel() == output.shape[0] or self.kind.name.startswith("Mean")
        output = output.flatten() if flat else output
        return output.float(), target.reshape(output.shape).float()

    def _multiclass(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if self.one_hot and output.shape == target.shape:
            target = target.argmax(1)
        axis = _class_axis(output, target)
        scores = output.movedim(axis, -1).flatten(0, -2)
        if self.kind.family == "text":
            return scores[None], target.flatten()[None]
        if self.kind.name in COMPARE_ROWS:
            scores = scores.double().softmax(-1)
        return scores, target.flatten()

    def result(self) -> Any:
        """The value over all rows since the last call; None for a number that is not finite."""
        self._flush()
        value = self.instance.compute()
        self.instance.reset()
        plain = value.tolist() if isinstance(value, Tensor) else float(value)
        return plain if not isinstance(plain, float) or math.isfinite(plain) else None


def _imported(part: str) -> ModuleType:
    try:
        return import_module(f"torchmetrics.{part}")
    # It imports other packages where they are installed, and those may fail in many ways.
    except Exception as error:
        message = f"torchmetrics can't be imported: {(str(error).splitlines() or [''])[0]}"
        hint = "if torchvision is installed, it must be of the same build as torch"
        raise TrainError("U806", message, "op", hint=hint) from error


def _class_axis(output: Tensor, target: Tensor) -> int:
    """Axis 1, as for `CrossEntropyLoss`, or the last; 0 where neither fits."""
    if output.shape[:1] + output.shape[2:] == target.shape:
        return 1
    return output.ndim - 1 if output.shape[:-1] == target.shape else 0


def build_metrics(
    specs: Mapping[str, NamedOp],
    *,
    known: set[str],
    one_hot: set[str],
    probabilities: set[str],
) -> list[Metric]:
    """The metrics of a spec, not settled yet; `known` are the tensors they may name."""
    metrics = []
    for name, spec in specs.items():
        names = spec.arguments.get("from")
        if not isinstance(names, list) or len(names) != 2:
            message = f"metric `{name}` needs `from`: an output and a target"
            raise TrainError("L609", message, "metrics", name)
        for wanted in names:
            if wanted not in known:
                raise TrainError(
                    "L609", f"there is no output, input or column `{wanted}`", "metrics", name,
                    "from", hint=did_you_mean(wanted, known) or f"known: {listed(sorted(known))}",
                )  # fmt: skip
        output, target = names
        metrics.append(
            Metric(name, spec, output, target, target in one_hot, output in probabilities)
        )
    return metrics


def metric_targets(specs: Mapping[str, NamedOp]) -> list[str]:
    """The tensors that metrics name."""
    return [n for spec in specs.values() for n in spec.arguments.get("from", ()) if n]
