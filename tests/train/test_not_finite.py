"""A loss or a weight that is not finite: the layer and the line of the spec that made it so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from specc.diagnostics.model import Diagnostic
from tests.train.cases import blobs, failing
from tests.train.specs import LAYERS, spec, trained

OVERFLOW = [
    {"name": "fc1", "op": "Linear", "out_features": 16},
    {"name": "big", "formula": "exp(60 * fc1)"},
    {"name": "fc2", "op": "Linear", "out_features": 3},
]
MASKED = [
    {"name": "fc1", "op": "Linear", "out_features": 3},
    {"name": "gate", "formula": "where(fc1 > 1e30, 0.0, -inf)"},
    {"name": "soft", "formula": "exp(gate) + fc1"},
    {"name": "root", "formula": "sqrt(soft)"},
    {"name": "fc2", "op": "Linear", "out_features": 3},
]
NESTED = [
    {"name": "fc1", "op": "Linear", "out_features": 8},
    {"name": "body", "repeat": 2, "layers": [
        {"name": "inner", "op": "Linear", "out_features": 8},
        {"name": "ratio", "formula": "log(inner)"},
    ]},
    {"name": "fc2", "op": "Linear", "out_features": 3},
]  # fmt: skip


def diverging(runs: Path, train: dict[str, Any], layers: list[Any], **rest: Any) -> Diagnostic:
    (found,) = failing(lambda: trained(runs, spec(train, layers), **rest))
    assert found.code == "L605"
    return found


def text_at(found: Diagnostic) -> str:
    assert found.primary is not None
    span = found.primary.span
    return span.source.text[span.start : span.end]


def only_run(runs: Path) -> Path:
    (run,) = runs.glob("*/*")
    return run


@pytest.mark.parametrize(
    ("layers", "path", "written"),
    [
        (OVERFLOW, "`big` (exp)", "exp(60 * fc1)"),
        (NESTED, "`body.0.ratio` (log)", "log(inner)"),
    ],
    ids=["overflow", "nested"],
)
def test_the_first_layer_is_named_with_its_line(
    tmp_path: Path, layers: list[Any], path: str, written: str
) -> None:
    found = diverging(tmp_path, {"optimizer": {"op": "SGD", "lr": 1.0}}, layers)
    assert found.notes[0].startswith(f"{path} gives the first value that is not finite")
    assert written in text_at(found)
    assert found.notes[1].startswith("the checkpoint of step ")


def test_an_infinite_mask_is_not_to_blame(tmp_path: Path) -> None:
    x, label = blobs()
    layers = [{"name": "shift", "op": "Linear", "out_features": 3,
               "init": {"weight": {"op": "zeros_"}, "bias": {"op": "constant_", "val": 5.0}}},
              *MASKED[1:]]  # fmt: skip
    layers[1] = {"name": "gate", "formula": "where(shift > 1e30, 0.0, -inf)"}
    layers[2] = {"name": "soft", "formula": "exp(gate) + shift"}
    found = diverging(
        tmp_path, {"optimizer": {"op": "SGD", "lr": 30.0}}, layers, arrays={"x": x, "label": label}
    )
    assert "`gate`" not in found.notes[0]
    assert found.notes[0].startswith(("`root` (sqrt)", "the gradient of"))


def test_a_gradient_that_is_not_finite_is_traced(tmp_path: Path) -> None:
    # The root of zero is finite and its slope is not.
    layers = [
        {"name": "fc1", "op": "Linear", "out_features": 3},
        {"name": "cut", "formula": "sqrt(fc1 * 0.0)"},
        {"name": "fc2", "op": "Linear", "out_features": 3},
    ]
    found = diverging(tmp_path, {}, layers)
    assert found.message == "the loss is nan in epoch 1, step 2"
    assert found.notes[0] == "the gradient of `cut` (sqrt) is not finite"
    assert "sqrt" in text_at(found)


def test_a_step_that_is_too_long_is_named_by_its_weight(tmp_path: Path) -> None:
    optimizer = {"op": "SGD", "lr": 1e38, "weight_decay": 1e10}
    found = diverging(tmp_path, {"epochs": 1, "batch_size": 1000, "optimizer": optimizer}, LAYERS)
    assert found.message == "a weight is not finite in epoch 1, step 1"
    assert found.notes[0] == "the step makes `fc1.weight` not finite"
    assert '"fc1"' in text_at(found)


def test_the_last_good_checkpoint_is_kept_and_can_be_resumed(tmp_path: Path) -> None:
    layers = [{"name": "fc1", "op": "Linear", "out_features": 3},
              {"name": "grown", "formula": "exp(fc1)"}]  # fmt: skip
    made = spec({"epochs": 40, "optimizer": {"op": "SGD", "lr": 30.0}}, layers)
    (found,) = failing(lambda: trained(tmp_path, made))
    run = only_run(tmp_path)
    kept = safetensors.torch.load_file(run / "checkpoints/last/weights.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())
    gentle = spec({"epochs": 2, "optimizer": {"op": "SGD", "lr": 0.0}}, layers)
    again = trained(tmp_path, gentle, resume=run)
    assert again.stopped == "finished"
    assert "grown" in found.notes[0] or "loss" in found.notes[0]
