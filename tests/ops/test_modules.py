"""Modules that others test, as specs: PyTorch's own module tests and the onnx package's cases."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from specc.ops import REGISTRY

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from modules import converted, pytorch_tests
from modules.case import Case
from modules.refused import module_classes, refusals
from modules.trial import Trial, tried
from modules.verdicts import Verdict, unexplained, verdicts

MANY = frozenset({"LinearCrossEntropyLoss", "Transformer", "TransformerDecoderLayer"})
"""Compositions with hundreds of cases."""


def wrong(found: list[Verdict]) -> list[str]:
    return [f"{v.case.name}: {v.outcome}, {v.reason}" for v in unexplained(found, refusals())]


def test_pytorchs_own_module_tests_pass() -> None:
    found = verdicts(pytorch_tests.cases(frozenset(pytorch_tests.names()) - MANY))
    assert len(found) > 800
    assert not wrong(found)
    assert all(v.same_source for v in found if v.outcome == "passed")
    messages = [v.reason for v in found if v.outcome == "refused"]
    unused = [p for p in refusals().cases if not any(refusals().matches(p, m) for m in messages)]
    assert not unused, "reasons that no refusal needs"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MANY & set(pytorch_tests.names())))
def test_pytorchs_tests_of_compositions_pass(name: str) -> None:
    assert not wrong(verdicts(pytorch_tests.cases(frozenset({name}))))


def test_the_cases_that_onnx_ships_pass() -> None:
    found = verdicts(converted.cases())
    assert len(found) == len(list(converted.folder().iterdir()))
    assert not wrong(found)


def test_every_class_of_torch_nn_is_an_operator_or_refused_for_a_reason() -> None:
    classes, refused = set(module_classes()), set(refusals().classes)
    assert classes - set(REGISTRY) - refused == set()
    assert refused & set(REGISTRY) == set()
    assert refused - classes <= {"LinearCrossEntropyLoss"}, "new in PyTorch 2.13"


def test_operators_without_onnx_form_stand_in_the_table() -> None:
    assert {n: cls.no_onnx for n, cls in REGISTRY.items() if cls.no_onnx} == refusals().without_onnx


# -- the judge itself --------------------------------------------------------------------------


def first(name: str) -> Case:
    return next(pytorch_tests.cases(frozenset({name})))


def outcome(case: Case) -> tuple[Any, str]:
    (found,) = verdicts([case])
    return found.outcome, found.reason


def test_a_weight_that_is_a_little_off_fails() -> None:
    case = first("Conv2d")
    moved = case.state | {"op.bias": case.state["op.bias"] + 1e-5}
    assert outcome(case) == ("passed", "")
    assert outcome(replace(case, state=moved))[1].startswith("the generated module is 1")


def test_weights_under_other_names_fail() -> None:
    case = first("Linear")
    assert "weights are" in outcome(replace(case, state={}))[1]


def test_another_parameter_fails() -> None:
    case = first("LayerNorm")
    layers = [{**case.layers[0], "eps": 1e-3}]
    assert outcome(case)[0] == "passed"
    assert outcome(replace(case, layers=[{**layers[0], "eps": 2e-3}]))[0] == "failed"


def test_a_wrongly_inferred_argument_fails() -> None:
    case = first("Linear")
    assert "was inferred as" in outcome(replace(case, inferred={"in_features": 11}))[1]


def test_a_wrong_lowering_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    case = first("Softmin")
    assert outcome(case)[0] == "passed"
    monkeypatch.setattr(
        REGISTRY["Softmin"], "onnx", lambda op, g, x: g.op("Softmax", x, axis=op.dim)
    )
    assert outcome(case)[1].startswith("ONNX Runtime is")


def test_a_stored_output_of_another_module_fails() -> None:
    case = next(converted.cases(frozenset({"ELU"})))
    layers = [{**case.layers[0], "alpha": 2.0001}]
    assert outcome(case)[0] == "passed"
    assert "the stored output is" in outcome(replace(case, layers=layers))[1]


def test_a_refusal_is_told_with_its_message() -> None:
    case = first("Conv2d")
    trial = tried(replace(case, layers=[{**case.layers[0], "groups": 3}]))
    assert isinstance(trial, Trial)
    assert trial.outcome == "refused"
    assert "3" in trial.reason


def test_an_original_that_fails_is_no_pass() -> None:
    def fails() -> Any:
        return torch.nn.Linear(3, 2)(torch.zeros(2, 4))

    assert outcome(replace(first("Linear"), expected=fails))[0] == "original fails"
