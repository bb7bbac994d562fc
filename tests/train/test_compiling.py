"""Compiled steps give what plain ones give, and give way where they can't be made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from specc.training import compiling
from specc.training.precision import Precision
from tests.train.cases import failing
from tests.train.specs import LAYERS, Notes, spec, trained, weights

# Without the bias, which the normalization takes out again: Adam would magnify its rounding.
BATCH_NORM = [{**LAYERS[0], "bias": False}, {"name": "bn", "op": "BatchNorm1d"}, *LAYERS[1:]]
ADAM = {"epochs": 3, "optimizer": {"op": "AdamW", "lr": 0.01}, "clip_grad_norm": 0.5,
        "scheduler": {"op": "ExponentialLR", "gamma": 0.7}, "ema": 0.9}  # fmt: skip
CASES = {
    "adam": ADAM,
    "sgd": {"epochs": 3, "optimizer": {"op": "SGD", "lr": 0.1, "momentum": 0.9}},
    "bfloat16": {"epochs": 2, "precision": "bfloat16"},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", list(CASES))
def test_a_compiled_step_gives_the_same_within_rounding(tmp_path: Path, case: str) -> None:
    notes = Notes()
    plain = trained(tmp_path, spec(CASES[case], BATCH_NORM))
    made = spec({**CASES[case], "compile": "step"}, BATCH_NORM, name="compiled")
    result = trained(tmp_path, made, reporter=notes)
    assert notes.texts == ["compiling the training step"]
    assert weights(result)["bn.num_batches_tracked"] == weights(plain)["bn.num_batches_tracked"]
    tolerance = 1e-2 if case == "bfloat16" else 2e-5
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(result)[name], value, rtol=tolerance, atol=tolerance)
    lines = [(r.folder / "metrics.jsonl").read_text().splitlines() for r in (plain, result)]
    rates = [[json.loads(line)["lr"] for line in part] for part in lines]
    assert rates[0] == pytest.approx(rates[1], rel=1e-12)


@pytest.mark.slow
def test_a_compiled_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    made = spec({**ADAM, "compile": "step"}, BATCH_NORM, name="whole")
    whole = trained(tmp_path, made)
    part = trained(tmp_path, spec({**ADAM, "epochs": 1, "compile": "step"}, BATCH_NORM))
    resumed = trained(tmp_path, made, resume=part.folder)
    for name in ("checkpoints/last/weights", "checkpoints/last/state", "weights"):
        a, b = weights(whole, name), weights(resumed, name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_a_compiled_model_gives_the_same_within_rounding(tmp_path: Path) -> None:
    plain = trained(tmp_path, spec(ADAM))
    notes = Notes()
    made = spec({**ADAM, "compile": "model"}, name="compiled")
    result = trained(tmp_path, made, reporter=notes)
    assert notes.texts == []
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(result)[name], value, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"accumulate": 2}, "batches are accumulated"),
        ({"optimizer": "LBFGS"}, "`LBFGS` evaluates the loss several times a step"),
        ({"precision": "float16"}, "the scaler of `float16` decides each step anew"),
    ],
    ids=["accumulate", "lbfgs", "float16"],
)
def test_what_can_not_be_compiled_is_said_and_trained_plainly(
    tmp_path: Path, section: dict[str, Any], reason: str
) -> None:
    notes = Notes()
    plain = trained(tmp_path, spec(section))
    result = trained(tmp_path, spec({**section, "compile": "step"}, name="b"), reporter=notes)
    assert notes.texts == [f"the step is not compiled: {reason}"]
    assert all(torch.equal(v, weights(plain)[n]) for n, v in weights(result).items())


NO_COMPILER = """
import sys
from pathlib import Path
from tests.train.specs import Notes, spec, trained
notes = Notes()
section = {"compile": "step", "optimizer": {"op": "AdamW", "lr": 0.01}}
trained(Path(sys.argv[1]), spec(section), reporter=notes)
print(notes.texts)
"""


@pytest.mark.slow
def test_without_a_compiler_the_run_goes_on_plainly(tmp_path: Path) -> None:
    env = {**os.environ, "CXX": str(tmp_path / "none"), "PATH": str(tmp_path),
           "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}  # fmt: skip
    call = [sys.executable, "-c", NO_COMPILER, str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    expected = ["compiling the training step", "not compiled: there is no C++ compiler"]
    assert done.stdout.strip() == str(expected)
    plain = trained(tmp_path, spec({"optimizer": {"op": "AdamW", "lr": 0.01}}, name="plain"))
    (run,) = (tmp_path / "small").iterdir()
    assert (run / "metrics.jsonl").read_bytes() == (plain.folder / "metrics.jsonl").read_bytes()


def test_auto_leaves_a_short_run_alone(tmp_path: Path) -> None:
    notes = Notes()
    plain = trained(tmp_path, spec({"epochs": 12}))
    result = trained(tmp_path, spec({"epochs": 12, "compile": "auto"}, name="b"), reporter=notes)
    assert notes.texts == []
    assert all(torch.equal(v, weights(plain)[n]) for n, v in weights(result).items())


def test_auto_compiles_when_it_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BASE_SECONDS", 0.0)
    monkeypatch.setattr(compiling, "SECONDS_PER_WEIGHT", 0.0)
    # Whether it compiles is what counts here, not what comes of it.
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    notes = Notes()
    result = trained(tmp_path, spec({"epochs": 12, "compile": "auto"}), reporter=notes)
    assert notes.texts == ["compiling the training step"]
    state = json.loads((result.folder / "checkpoints/last/state.json").read_text())
    assert ["compiled", True] in state["dict"]


def test_a_fault_of_the_model_is_reported_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def failing_loss(self: Any, forward: Any, batch: Any) -> Any:
        calls.append(batch)
        if len(calls) > 2:
            raise RuntimeError("out of memory")
        return forward.loss(forward.values(batch))

    monkeypatch.setattr(Precision, "loss", failing_loss)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    (found,) = failing(lambda: trained(tmp_path, spec({"compile": "step"})))
    assert (found.code, found.message) == ("L611", "step 2 failed: out of memory")
