"""Precision, averaged weights, other starts, schedules and losses, each against PyTorch itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import specc
from tests.train.cases import blobs, failing
from tests.train.specs import LAYERS, LOSS, Notes, spec, train_part, trained, weights

FROZEN = [{**LAYERS[0], "freeze": True}, *LAYERS[1:]]


def rates(folder: Path) -> list[float]:
    return [json.loads(line)["lr"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def fresh(made: dict[str, Any]) -> nn.Module:
    return specc.load(made).compile(seed=0)


def whole_batches(result: Any) -> tuple[torch.Tensor, torch.Tensor]:
    x, label = train_part(result)
    return torch.from_numpy(x), torch.from_numpy(label)


FULL = {"epochs": 4, "batch_size": 1000}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_like_a_hand_written_autocast_loop(
    tmp_path: Path, precision: str
) -> None:
    made = spec({**FULL, "precision": precision})
    result = trained(tmp_path, made)
    module, (x, label) = fresh(made), whole_batches(result)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "float16")
    for _ in range(4):
        with torch.autocast("cpu", getattr(torch, precision)):
            logits = module(x)
        assert logits.dtype == getattr(torch, precision)
        loss = nn.functional.cross_entropy(logits.float(), label)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    found = weights(result)
    # Rows come in another order, so sums are rounded otherwise.
    for name, value in module.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=0.02, atol=0.02)
    full = weights(trained(tmp_path, spec(FULL)))
    assert any(not torch.equal(full[name], found[name]) for name in full)
    assert all(value.dtype == torch.float32 for value in found.values())


def test_float16_leaves_out_a_step_that_overflows(tmp_path: Path) -> None:
    # The first scales are too large for gradients of this size, and are halved until they fit.
    made = spec({**FULL, "epochs": 1, "precision": "float16"},
                loss=[{**LOSS, "weight": 1e4}])  # fmt: skip
    result = trained(tmp_path, made)
    start = fresh(made).state_dict()
    assert all(torch.equal(value, start[name]) for name, value in weights(result).items())


def test_a_scaler_refuses_lbfgs(tmp_path: Path) -> None:
    made = spec({"precision": "float16", "optimizer": "LBFGS"})
    (found,) = failing(lambda: trained(tmp_path, made))
    assert (found.code, found.message) == ("L603", "`LBFGS` can't be used with `float16`")
    assert not list(tmp_path.iterdir())


def test_the_average_is_that_of_torch_and_is_what_is_kept(tmp_path: Path) -> None:
    made = spec({**FULL, "ema": {"decay": 0.8}, "checkpoint": {"keep": "all"}})
    result = trained(tmp_path, made)
    live = fresh(made)
    average = torch.optim.swa_utils.AveragedModel(
        live, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    )
    average.update_parameters(live)  # the first call copies
    epochs = [weights(trained(tmp_path, spec({**FULL, "epochs": n}, name="plain")))
              for n in range(1, 5)]  # fmt: skip
    for number, after in enumerate(epochs, start=1):
        live.load_state_dict(after)
        average.update_parameters(live)
        kept = weights(result, f"checkpoints/epoch_{number:04d}")
        for name, value in average.module.state_dict().items():
            torch.testing.assert_close(kept[name], value, rtol=1e-6, atol=1e-7)
    assert all(torch.equal(weights(result)[n], t) for n, t in epochs[-1].items())
    line = json.loads((result.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["val"]["loss"] == pytest.approx(result.metrics["val"]["loss"])


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    base = trained(tmp_path, spec({"epochs": 3}))
    notes = Notes()
    still = {"epochs": 1, "optimizer": {"op": "SGD", "lr": 0.0}}
    result = trained(
        tmp_path, spec({**still, "init_from": str(base.folder)}, name="next"), reporter=notes
    )
    expected = weights(base, "weights")
    assert all(torch.equal(value, expected[name]) for name, value in weights(result).items())
    assert notes.texts == [f"4 of 4 weights loaded from {base.folder}"]


def test_matched_takes_what_fits_and_says_what_does_not(tmp_path: Path) -> None:
    base = trained(tmp_path, spec({"epochs": 3}))
    wider = [*LAYERS[:2], {"name": "mid", "op": "Linear", "out_features": 5},
             {"name": "fc2", "op": "Linear", "out_features": 3}]  # fmt: skip
    start = {"path": str(base.weights), "match": "matched"}
    still = {"epochs": 1, "optimizer": {"op": "SGD", "lr": 0.0}}
    made = spec({**still, "init_from": start}, wider, name="wider")
    result = trained(tmp_path, made)
    old, new = weights(base, "weights"), weights(result)
    assert torch.equal(new["fc1.weight"], old["fc1.weight"])
    assert torch.equal(new["mid.weight"], fresh(made).state_dict()["mid.weight"])
    report = json.loads((result.folder / "init_from.json").read_text())
    assert report["loaded"] == ["fc1.weight", "fc1.bias", "fc2.bias"]
    assert report["misfits"] == ["fc2.weight"]
    assert report["fresh"] == ["mid.weight", "mid.bias"]
    strict = spec({**still, "init_from": str(base.weights)}, wider, name="strict")
    (found,) = failing(lambda: trained(tmp_path, strict))
    assert found.code == "L612"
    assert found.notes[0] == "`fc2.weight` is (3, 16) and the model's (3, 5)"
    assert not (tmp_path / "strict").exists()


def test_frozen_layers_stay_as_they_were_loaded(tmp_path: Path) -> None:
    base = trained(tmp_path, spec({"epochs": 2}))
    result = trained(tmp_path, spec({"epochs": 2, "init_from": str(base.folder)}, FROZEN, "tuned"))
    old, new = weights(base, "weights"), weights(result)
    same = {name for name in old if torch.equal(old[name], new[name])}
    assert same == {"fc1.weight", "fc1.bias"}


def test_warm_up_then_decay(tmp_path: Path) -> None:
    scheduler = {
        "op": "SequentialLR", "milestones": [3], "schedulers": [
            {"op": "LinearLR", "start_factor": 0.25, "total_iters": 3},
            {"op": "CosineAnnealingLR", "T_max": 5}],
    }  # fmt: skip
    result = trained(tmp_path, spec({"epochs": 8, "scheduler": scheduler}))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = torch.optim.lr_scheduler
    expected = schedule.SequentialLR(
        optimizer,
        [schedule.LinearLR(optimizer, 0.25, total_iters=3),
         schedule.CosineAnnealingLR(optimizer, 5)],
        milestones=[3],
    )  # fmt: skip
    for rate in rates(result.folder):
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        expected.step()


HALF = [
    {**LOSS, "weight": 0.5},
    {"op": "MultiMarginLoss", "from": ["logits", "label"], "weight": 2},
]
SMOOTH = {**LOSS, "label_smoothing": 0.1, "weight": [1.0, 2.0, 0.5], "ignore_index": 2}
LAYERED = {"layers": [
    {"name": "ce", "op": "CrossEntropyLoss", "from": ["logits", "label"], "reduction": "none"},
    {"formula": "sqrt(mean(ce * ce + 0.25))"},
]}  # fmt: skip


def layered(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    each = nn.functional.cross_entropy(logits, label, reduction="none")
    return (each.square() + 0.25).mean().sqrt()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (HALF, lambda y, t: 0.5 * nn.functional.cross_entropy(y, t)
         + 2 * nn.functional.multi_margin_loss(y, t)),
        (SMOOTH, lambda y, t: nn.functional.cross_entropy(
            y, t, torch.tensor([1.0, 2.0, 0.5]), ignore_index=2, label_smoothing=0.1)),
        (LAYERED, layered),
    ],
    ids=["weighted sum", "class weights, smoothing, ignored class", "layers"],
)  # fmt: skip
def test_losses_are_those_of_pytorch(tmp_path: Path, loss: Any, expected: Any) -> None:
    made = spec({**FULL, "epochs": 1}, loss=loss)
    result = trained(tmp_path, made)
    x, label = whole_batches(result)
    value = expected(fresh(made)(x), label).item()
    line = json.loads((result.folder / "metrics.jsonl").read_text())
    assert line["train"]["loss"] == pytest.approx(value, rel=1e-5)


def test_a_changed_rate_counts_when_a_run_goes_on(tmp_path: Path) -> None:
    first = trained(tmp_path, spec({"epochs": 2}))
    more = spec({"epochs": 4, "optimizer": {"op": "SGD", "lr": 0.025}})
    trained(tmp_path, more, resume=first.folder)
    assert rates(first.folder) == [0.1, 0.1, 0.025, 0.025]


def test_every_epoch_can_be_kept(tmp_path: Path) -> None:
    result = trained(tmp_path, spec({"epochs": 3, "checkpoint": {"keep": "all"}}))
    kept = sorted(p.name for p in (result.folder / "checkpoints").glob("epoch_*"))
    assert kept == [f"epoch_000{i}.safetensors" for i in (1, 2, 3)]
    last = weights(result, "checkpoints/epoch_0003")
    assert all(torch.equal(last[name], value) for name, value in weights(result).items())


def test_the_confusion_matrix_counts_every_row(tmp_path: Path) -> None:
    made = spec({"epochs": 3})
    result = trained(tmp_path, made)
    found = json.loads((result.folder / "confusion_matrix.json").read_text())
    module = fresh(made)
    module.load_state_dict(weights(result, "weights"))
    x, label = whole_batches(result)
    expected = torch.zeros(3, 3, dtype=torch.int64)
    for true, guess in zip(label, module.eval()(x).argmax(1), strict=True):
        expected[true, guess] += 1
    assert found["train"] == expected.tolist()
    page = (result.folder / "curves.html").read_text()
    assert "Confusion matrix, test" in page
    assert "http" not in page
    assert page.count("<svg") == 1


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    from specc.runtime.lock import held

    first = trained(tmp_path, spec({"epochs": 1}))
    with held(first.folder / ".lock"):
        (found,) = failing(lambda: trained(tmp_path, spec({}), resume=first.folder))
    assert found.message == f"another process is training in `{first.folder}`"


IMAGES = [
    {"name": "conv", "op": "Conv2d", "out_channels": 8, "kernel_size": 3},
    {"name": "flat", "op": "Flatten"},
    {"name": "fc", "op": "Linear", "out_features": 3},
]


def test_channels_last_lays_images_and_weights_out_and_changes_no_number(tmp_path: Path) -> None:
    x, label = blobs()
    images = np.repeat(x, 16, axis=1).reshape(-1, 4, 4, 4)

    def made(**train: Any) -> dict[str, Any]:
        layers = spec(train, IMAGES)
        return {**layers, "inputs": {"x": {"shape": ["batch", 4, 4, 4]}}}

    seen: list[bool] = []

    plain = trained(tmp_path, made(), {"x": images, "label": label})
    original = nn.Conv2d.forward

    def watching(module: nn.Conv2d, value: torch.Tensor) -> torch.Tensor:
        last = {"memory_format": torch.channels_last}
        seen.append(value.is_contiguous(**last) and module.weight.is_contiguous(**last))
        return original(module, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Conv2d, "forward", watching)
        last = trained(tmp_path, made(memory_format="channels_last"), {"x": images, "label": label})
    assert seen and all(seen)
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(last)[name], value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Conv2d, "forward", watching)
        seen.clear()
        trained(tmp_path, made(), {"x": images, "label": label})
    assert not any(seen)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_accumulated_batches_count_as_the_loss_says(tmp_path: Path, reduction: str) -> None:
    """142 rows, the last batch with fewer of them; each step has all rows."""

    def end(**train: Any) -> dict[str, torch.Tensor]:
        rate = {"optimizer": {"op": "SGD", "lr": 0.1 if reduction == "mean" else 0.001}}
        made = spec({**rate, **train}, loss={**LOSS, "reduction": reduction})
        return weights(trained(tmp_path, made))

    large, small = end(batch_size=142), end(batch_size=50, accumulate=3)
    for name, value in large.items():
        torch.testing.assert_close(small[name], value, rtol=1e-5, atol=1e-6)


def test_a_resumed_run_with_channels_last_ends_in_the_same_bits(tmp_path: Path) -> None:
    x, label = blobs()
    arrays = {"x": np.repeat(x, 16, axis=1).reshape(-1, 4, 4, 4), "label": label}

    def made(epochs: int) -> dict[str, Any]:
        section = {"memory_format": "channels_last", "optimizer": {"op": "Adam"}, "epochs": epochs}
        return {**spec(section, IMAGES), "inputs": {"x": {"shape": ["batch", 4, 4, 4]}}}

    whole = trained(tmp_path, made(4), arrays)
    half = trained(tmp_path, made(2), arrays)
    again = trained(tmp_path, made(4), arrays, resume=half.folder)
    for name, value in weights(whole).items():
        assert torch.equal(weights(again)[name], value), name
