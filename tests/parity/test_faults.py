"""Faults planted in the ONNX model are caught, and clean models pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from specc.ir.graph import Interface
from specc.parity.certificate import Certificate
from specc.parity.verify import prove
from tests.parity.faults import CNN_FAULTS, MLP_FAULTS, nudge_bias, one_nan
from tests.parity.models import (
    CNN,
    MLP,
    Cnn,
    Edit,
    Mlp,
    Node,
    State,
    cnn_nodes,
    mlp_nodes,
    onnx_model,
    trained,
)

Model = tuple[type[nn.Module], Interface, Callable[[], list[Node]]]
MODELS: dict[str, Model] = {"cnn": (Cnn, CNN, cnn_nodes), "mlp": (Mlp, MLP, mlp_nodes)}
FAULTS = [("cnn", name) for name in CNN_FAULTS] + [("mlp", name) for name in MLP_FAULTS]


def proven(model: str, edit: Edit | None = None, *, fresh: bool, seed: int = 0) -> Certificate:
    kind, interface, nodes = MODELS[model]
    torch.manual_seed(seed)
    module = kind().eval() if fresh else trained(kind(), seed)

    def export(state: State) -> bytes:
        return bytes(onnx_model(interface, nodes(), state, edit).SerializeToString())

    weights = module.state_dict()
    return prove(module, export(weights), interface, fresh=fresh, reweight=export)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize("fresh", [False, True], ids=["trained", "fresh"])
@pytest.mark.parametrize("model", MODELS)
def test_clean_models_pass(model: str, fresh: bool, seed: int) -> None:
    certificate = proven(model, fresh=fresh, seed=seed)
    assert certificate.verdict == "pass", certificate.failures
    assert not certificate.failures and not certificate.notes
    assert {w.name for w in certificate.witnesses if w.cases} == {
        "onnxruntime:disable_all", "onnxruntime:enable_all", "reference",
    }  # fmt: skip
    assert {f.weights for f in certificate.families} == (
        {"given", "perturbed"} if fresh else {"given"}
    )


@pytest.mark.parametrize(
    "fresh", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["trained", "fresh"]
)
@pytest.mark.parametrize(("model", "fault"), FAULTS)
def test_faults_are_caught(model: str, fault: str, fresh: bool) -> None:
    edit = (CNN_FAULTS if model == "cnn" else MLP_FAULTS)[fault]
    certificate = proven(model, edit, fresh=fresh)
    assert certificate.verdict == "fail"
    assert certificate.failures


@pytest.mark.parametrize(
    ("fault", "value", "after"),
    [
        ("batch norm epsilon", "bn", "conv"),
        ("tanh gelu", "act", "bn"),
        ("layer norm epsilon", "norm", "act"),
        ("transposed kernel", "conv", None),
    ],
)
def test_the_first_diverging_layer_is_named(fault: str, value: str, after: str | None) -> None:
    found = proven("cnn", CNN_FAULTS[fault], fresh=False).divergence
    assert found is not None
    assert (found.value, found.layer, found.after) == (value, value, after)
    assert found.compared_with == "pytorch" and found.error > found.bound
    assert found.source == f"m.json:{found.pointer.rpartition('/')[2]}:1"


def test_a_nan_is_named_as_such() -> None:
    certificate = proven("mlp", one_nan, fresh=False)
    assert "`logits` has nan where PyTorch has finite" in certificate.failures[0]


def test_a_failing_certificate_says_by_how_much() -> None:
    certificate = proven("mlp", nudge_bias("fc3.bias"), fresh=False)
    worst = certificate.worst
    assert worst is not None and worst.used > 5
    assert worst.max_error == pytest.approx(1e-6, rel=0.2)
