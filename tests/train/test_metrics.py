from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from torch import Tensor

from specc.training.metrics import build_metrics
from specc.training.problems import TrainError
from specc.training.settings import NamedOp

RNG = torch.Generator().manual_seed(0)
N = 500


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=RNG) * 2


def score(op: str, output: Tensor, target: Tensor, batches: int = 3, **rest: Any) -> Any:
    options = {key: rest.pop(key, set()) for key in ("one_hot", "probabilities")}
    spec = NamedOp(op, {"from": ["o", "t"], **rest})
    (metric,) = build_metrics({"m": spec}, known={"o", "t"}, **options)
    metric.settle({"o": output[:4], "t": target[:4]})
    for o, t in zip(output.chunk(batches), target.chunk(batches), strict=True):
        metric.update({"o": o, "t": t})
    return metric.result()


LOGITS = rand(N, 4)
LABELS = torch.randint(0, 4, (N,), generator=RNG)
PREDICTED, PROBABLE = LOGITS.argmax(1).numpy(), LOGITS.softmax(1).numpy()


@pytest.mark.parametrize(
    ("op", "arguments", "expected"),
    [
        ("accuracy", {}, reference.accuracy_score(LABELS, PREDICTED)),
        ("top_k", {"k": 2}, reference.top_k_accuracy_score(LABELS, PROBABLE, k=2)),
        ("f1", {}, reference.f1_score(LABELS, PREDICTED, average="macro")),
        ("precision", {}, reference.precision_score(LABELS, PREDICTED, average="macro")),
        ("recall", {}, reference.recall_score(LABELS, PREDICTED, average="macro")),
        ("auroc", {}, reference.roc_auc_score(LABELS, PROBABLE, multi_class="ovr")),
        ("average_precision", {}, np.mean([
            reference.average_precision_score(c == LABELS, PROBABLE[:, c]) for c in range(4)])),
        ("cohen_kappa", {}, reference.cohen_kappa_score(LABELS, PREDICTED)),
        ("matthews_corrcoef", {}, reference.matthews_corrcoef(LABELS, PREDICTED)),
        ("perplexity", {}, math.exp(reference.log_loss(LABELS, PROBABLE))),
    ],
)  # fmt: skip
def test_multiclass(op: str, arguments: dict[str, Any], expected: float) -> None:
    assert score(op, LOGITS, LABELS, **arguments) == pytest.approx(expected, abs=1e-5)


BITS = torch.randint(0, 2, (N,), generator=RNG)
ONE = rand(N, 1) + BITS[:, None]


@pytest.mark.parametrize("target", [BITS, BITS[:, None].float()])
def test_binary_logits_near_zero_are_no_probabilities(target: Tensor) -> None:
    small = ONE / 50 + 0.3
    truth, high = BITS.numpy(), ONE / 20 + 0.5
    assert high.min() >= 0
    assert high.max() <= 1
    assert score("accuracy", high, target) == pytest.approx(truth.mean())
    assert score("auroc", small, target) == pytest.approx(
        reference.roc_auc_score(truth, small.numpy()), abs=1e-6
    )
    assert score("average_precision", small, target) == pytest.approx(
        reference.average_precision_score(truth, small.numpy()), abs=1e-6
    )


def test_probabilities_are_taken_as_such() -> None:
    p = ONE.sigmoid()
    expected = reference.f1_score(BITS.numpy(), (p > 0.5).numpy())
    assert score("f1", p, BITS, probabilities={"o"}) == pytest.approx(expected)
    assert score("f1", p, BITS) != pytest.approx(expected)


def test_multilabel_and_one_hot_targets() -> None:
    bits = torch.randint(0, 2, (N, 4), generator=RNG).float()
    expected = reference.f1_score(bits.numpy(), (LOGITS > 0).numpy(), average="macro")
    assert score("f1", LOGITS, bits) == pytest.approx(expected)
    one_hot = torch.nn.functional.one_hot(LABELS, 4).float()
    right = reference.accuracy_score(LABELS, PREDICTED)
    assert score("accuracy", LOGITS, one_hot, one_hot={"t"}) == pytest.approx(right)


def test_a_class_axis_in_the_middle_or_at_the_end() -> None:
    logits, labels = rand(N, 4, 6), torch.randint(0, 4, (N, 6), generator=RNG)
    right = (logits.argmax(1) == labels).float().mean().item()
    assert score("accuracy", logits, labels) == pytest.approx(right)
    assert score("accuracy", logits.movedim(1, 2), labels) == pytest.approx(right)
    expected = torch.nn.functional.cross_entropy(logits, labels).exp().item()
    assert score("perplexity", logits, labels) == pytest.approx(expected, rel=1e-5)


Y, Z = rand(N, 1), rand(N, 1)


@pytest.mark.parametrize("target", [Z, Z[:, 0]])
@pytest.mark.parametrize(
    ("op", "function"),
    [
        ("mae", reference.mean_absolute_error),
        ("mse", reference.mean_squared_error),
        ("rmse", reference.root_mean_squared_error),
        ("r2", reference.r2_score),
        ("explained_variance", reference.explained_variance_score),
    ],
)
def test_regression(op: str, function: Any, target: Tensor) -> None:
    assert score(op, Y, target) == pytest.approx(function(Z, Y), abs=1e-4)


def test_regression_on_several_values_a_row() -> None:
    a, b = rand(N, 3), rand(N, 3)
    assert score("r2", a, b) == pytest.approx(reference.r2_score(b, a), abs=1e-4)
    assert score("mae", a, b) == pytest.approx(reference.mean_absolute_error(b, a), abs=1e-5)


def test_a_metric_without_a_form_for_the_shapes_is_an_error() -> None:
    with pytest.raises(TrainError, match="`cohen_kappa` takes no multilabel outputs"):
        score("cohen_kappa", LOGITS, LOGITS)
    with pytest.raises(TrainError, match="can't compare"):
        score("accuracy", LOGITS, LABELS[:, None].expand(N, 3))


def test_metrics_that_can_not_be_imported_are_an_error_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str) -> Any:
        raise RuntimeError(f"operator torchvision::nms does not exist\n(importing {name})")

    monkeypatch.setattr("specc.training.metrics.import_module", broken)
    with pytest.raises(TrainError, match="torchvision::nms does not exist") as caught:
        score("accuracy", LOGITS, LABELS)
    assert caught.value.code == "U806" and "torchvision" in (caught.value.hint or "")
