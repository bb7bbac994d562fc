from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from specc.training.batches import Batches
from specc.training.data.columns import ColumnSpec
from specc.training.data.splitting import mix
from specc.training.param_groups import param_groups
from specc.training.reporter import EpochRecord, Progress, RunPlan, Silent, TrainResult
from tests.train.cases import (
    SPECS_DATA,
    Normalization,
    SquaredError,
    blob_data,
    blob_job,
    classifier,
    failing,
    interface,
    load,
    run,
)

PLAIN = {"epochs": 3, "batch_size": 16, "optimizer": {"op": "AdamW", "lr": 0.01}}


def hand_written(
    epochs: int, batch_size: int, optimizer: str, scheduler: str | None = None, clip: float = 0.0
) -> tuple[nn.Module, list[float]]:
    """The loop that a person would write, on the same split and in the same order."""
    module, part = classifier(dropout=0.2), blob_data().parts["train"]
    x, label = torch.from_numpy(part["x"]), torch.from_numpy(part["label"])
    make = {"AdamW": torch.optim.AdamW, "SGD": torch.optim.SGD}[optimizer]
    opt = make(module.parameters(), lr=0.01, fused=True)
    lr = torch.optim.lr_scheduler.ExponentialLR(opt, gamma=0.9) if scheduler else None
    torch.manual_seed(0)
    losses = []
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(int(mix(0, epoch)[0]) >> 1)
        order, total = torch.randperm(len(x), generator=generator), 0.0
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            loss = nn.functional.cross_entropy(module(x[rows]), label[rows])
            opt.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(module.parameters(), clip)
            opt.step()
            total += loss.item() * len(rows)
        if lr:
            lr.step()
        losses.append(total / len(x))
    return module, losses


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def last_weights(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "checkpoints" / "last" / "weights.safetensors")


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
@pytest.mark.parametrize("scheduler", [None, "ExponentialLR"])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_weights_and_losses_are_those_of_a_hand_written_loop(
    tmp_path: Path, optimizer: str, scheduler: str | None, clip: float
) -> None:
    section = {
        "epochs": 3, "batch_size": 16, "optimizer": {"op": optimizer, "lr": 0.01},
        "clip_grad_norm": clip or None,
        "scheduler": {"op": scheduler, "gamma": 0.9} if scheduler else None,
    }  # fmt: skip
    run(tmp_path, section, module=classifier(dropout=0.2))
    expected, losses = hand_written(3, 16, optimizer, scheduler, clip)
    assert same(last_weights(tmp_path), expected.state_dict())
    assert [line["train"] for line in lines(tmp_path)] == [{"loss": loss} for loss in losses]


def test_the_same_spec_twice_gives_the_same_bits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run(tmp_path / name, PLAIN, module=classifier(dropout=0.3))
    assert same(last_weights(tmp_path / "a"), last_weights(tmp_path / "b"))
    (tmp_path / "c").mkdir()
    run(tmp_path / "c", {**PLAIN, "seed": 1}, module=classifier(dropout=0.3))
    assert not same(last_weights(tmp_path / "a"), last_weights(tmp_path / "c"))


def test_accumulated_batches_give_the_step_of_one_large_batch(tmp_path: Path) -> None:
    def module() -> nn.Module:
        torch.manual_seed(2)
        return nn.Linear(4, 3)

    for name, size, accumulate in (("large", 30, 1), ("small", 10, 3)):
        (tmp_path / name).mkdir()
        section = {**PLAIN, "optimizer": {"op": "SGD", "lr": 0.1}, "batch_size": size,
                   "accumulate": accumulate}  # fmt: skip
        result = run(tmp_path / name, section, module=module())
        assert result.steps == 15
    large, small = last_weights(tmp_path / "large"), last_weights(tmp_path / "small")
    torch.testing.assert_close(small["weight"], large["weight"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "size", "sizes"),
    [(10, 4, [4, 4, 2]), (9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (5, 1, [1, 1, 1, 1, 1])],
)
def test_every_row_is_in_one_batch_and_no_batch_is_left_with_one(
    rows: int, size: int, sizes: list[int]
) -> None:
    column = {"x": ColumnSpec("x", "x", "float32")}
    batches = Batches({"x": np.arange(rows, dtype=np.uint8)}, column, size)
    for epoch in range(2):
        seen = list(batches.epoch(0, epoch))
        assert [share.rows for share in seen] == [share.whole for share in seen] == sizes
        together = torch.cat([batch["x"] for batch, *_ in seen])
        assert together.dtype == torch.float32
        assert sorted(together.tolist()) == list(range(rows))
    tail = list(batches.epoch(0, 1, first=1))
    assert all(torch.equal(a["x"], b["x"]) for (a, *_), (b, *_) in zip(tail, seen[1:], strict=True))


def test_small_chunks_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def batches() -> Iterator[list[float]]:
        made = Batches({"x": np.arange(50.0)}, {"x": ColumnSpec("x", "x", "float64")}, 4)
        return (batch["x"].tolist() for batch, *_ in made.epoch(3, 1))

    whole = list(batches())
    monkeypatch.setattr("specc.training.batches.CHUNK_BYTES", 100)
    assert list(batches()) == whole


def test_the_best_weights_are_kept_and_tested(tmp_path: Path) -> None:
    section = {**PLAIN, "epochs": 12, "optimizer": {"op": "SGD", "lr": 2.0},
               "metrics": {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}},
               "checkpoint": {"monitor": "val.accuracy"}}  # fmt: skip
    job = blob_job(tmp_path, section)
    result = run(tmp_path, section, module=job.module)
    scores = [line["val"]["accuracy"] for line in lines(tmp_path)]
    assert result.best_epoch == scores.index(max(scores)) + 1
    assert result.best_epoch < 12
    kept = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    assert not same(kept, last_weights(tmp_path))
    until_best = tmp_path / "until_best"
    until_best.mkdir()
    run(until_best, {**section, "epochs": result.best_epoch})
    assert same(kept, last_weights(until_best))
    module = classifier()
    module.load_state_dict(kept)
    module.eval()
    for name, part in job.dataset.parts.items():
        logits = module(torch.from_numpy(part["x"]))
        right = (logits.argmax(1).numpy() == part["label"]).mean()
        assert result.metrics[name]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert same(job.module.state_dict(), kept)


def test_early_stop(tmp_path: Path) -> None:
    section = {**PLAIN, "epochs": 50, "optimizer": {"op": "SGD", "lr": 0.0},
               "early_stop": {"monitor": "val.loss", "patience": 3}}  # fmt: skip
    module = nn.Linear(4, 3)
    result = run(tmp_path, section, module=module)
    assert (result.stopped, result.epochs, result.best_epoch) == ("early_stop", 4, 1)


def test_small_gains_do_not_count_below_min_delta(tmp_path: Path) -> None:
    section = {**PLAIN, "epochs": 9, "optimizer": {"op": "SGD", "lr": 1e-3},
               "early_stop": {"patience": 2, "min_delta": 0.5}}  # fmt: skip
    result = run(tmp_path, section, module=nn.Linear(4, 3))
    losses = [line["val"]["loss"] for line in lines(tmp_path)]
    assert losses == sorted(losses, reverse=True)
    assert (result.stopped, result.epochs, result.best_epoch) == ("early_stop", 3, 3)


def test_checkpoints_come_every_so_many_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    def noting(*arguments: Any) -> None:
        saved.append(arguments[2]["loop"]["epoch"])

    monkeypatch.setattr("specc.training.replicas.save_checkpoint", noting)
    run(tmp_path, {**PLAIN, "epochs": 5, "checkpoint": {"every": 2}})
    assert saved == [0, 2, 4, 5]


def test_weights_that_overflow_in_the_last_step_are_not_kept(tmp_path: Path) -> None:
    section = {**PLAIN, "epochs": 1, "batch_size": 1000, "optimizer": {"op": "SGD", "lr": 1e45}}
    data = blob_data(split={"train": 1.0})
    (found,) = failing(lambda: run(tmp_path, section, module=nn.Linear(4, 3), dataset=data))
    assert found.message == "a weight is not finite in epoch 1, step 1"
    assert found.notes == ("the checkpoint of step 0 is kept",)
    assert not (tmp_path / "weights.safetensors").exists()
    assert all(t.isfinite().all() for t in last_weights(tmp_path).values())


def test_tied_weights_are_one_weight_to_the_optimizer() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    (group,) = param_groups(module, [])
    assert [p.shape for p in group["params"]] == [(4, 4), (4,), (4,)]


def test_steps_end_a_run_within_an_epoch(tmp_path: Path) -> None:
    section = {"steps": 13, "batch_size": 16, "optimizer": "SGD"}
    result = run(tmp_path, section)
    assert (result.steps, result.epochs, result.stopped) == (13, 1, "finished")
    assert [(line["epoch"], line["step"]) for line in lines(tmp_path)] == [(1, 9), (2, 13)]


def test_a_scheduler_steps_by_epoch_or_by_step(tmp_path: Path) -> None:
    for interval, factor in (("epoch", 0.5**2), ("step", 0.5**18)):
        folder = tmp_path / interval
        folder.mkdir()
        section = {**PLAIN, "scheduler": {"op": "ExponentialLR", "gamma": 0.5,
                                          "interval": interval}}  # fmt: skip
        run(folder, section)
        # The third epoch's rate: after two epochs, or at its end after all but its own steps.
        used = lines(folder)[2]["lr"]
        assert used == pytest.approx(0.01 * (factor if interval == "epoch" else 0.5**27))


def test_a_plateau_scheduler_follows_the_monitored_score(tmp_path: Path) -> None:
    section = {**PLAIN, "epochs": 12, "optimizer": {"op": "SGD", "lr": 0.3},
               "scheduler": {"op": "ReduceLROnPlateau", "patience": 0, "factor": 0.5},
               "metrics": {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}},
               "checkpoint": {"monitor": "accuracy"}}  # fmt: skip
    run(tmp_path, section, module=nn.Linear(4, 3))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    expected = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, patience=0)
    for line in lines(tmp_path):
        assert line["lr"] == optimizer.param_groups[0]["lr"]
        expected.step(line["val"]["accuracy"])
    assert optimizer.param_groups[0]["lr"] < 0.3


def test_a_nan_stops_the_run_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    class Breaks(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            return super().forward(x) * (math.nan if self.calls > 20 else 1.0)

    (found,) = failing(lambda: run(tmp_path, PLAIN, module=Breaks(4, 3)))
    assert (found.code, found.message) == ("L605", "the loss is nan in epoch 3, step 21")
    assert found.notes == ("the checkpoint of step 18 is kept",)
    assert all(t.isfinite().all() for t in last_weights(tmp_path).values())


def test_groups_of_weights_have_options_of_their_own(tmp_path: Path) -> None:
    module = classifier()
    rules = [{"op": "BatchNorm*", "lr": 0.0}, {"parameter": "bias", "path": ["4"], "lr": 0.0}]
    start = {name: value.clone() for name, value in module.state_dict().items()}
    run(tmp_path, {**PLAIN, "optimizer": {"op": "SGD", "lr": 0.1, "param_groups": rules}},
        module=module)  # fmt: skip
    still = {n for n, p in module.named_parameters() if torch.equal(p.detach(), start[n])}
    assert still == {"1.weight", "1.bias", "4.bias"}
    assert lines(tmp_path)[0]["lr"] == 0.1


def test_lbfgs_gets_its_closure(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    target = x @ np.array([[2.0], [-1.0]]) + 3
    data = load(tmp_path, {"target": {"shape": [1]}}, inputs={"x": (2,)}, kind="memory",
                arrays={"x": x, "target": target})  # fmt: skip
    module = nn.Linear(2, 1)
    section = {"epochs": 5, "batch_size": 60, "optimizer": {"op": "LBFGS", "lr": 1.0}}
    result = run(tmp_path, section, module=module, dataset=data, loss_module=SquaredError(),
                 loss_inputs=["y", "target"], interface=interface({"x": (2,)}))  # fmt: skip
    assert result.metrics["train"]["loss"] < 1e-8


def test_a_reporter_hears_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specc.training.pace.REPORT_SECONDS", -1.0)

    class Listener(Silent):
        def __init__(self) -> None:
            self.heard: list[object] = []

        def on_start(self, plan: RunPlan) -> None:
            self.heard.append(plan)

        def on_step(self, progress: Progress) -> None:
            self.heard.append(progress)

        def on_epoch(self, record: EpochRecord) -> None:
            self.heard.append(record)

        def on_end(self, result: TrainResult) -> None:
            self.heard.append(result)

    listener = Listener()
    result = run(tmp_path, PLAIN, listener)
    kinds = [type(item).__name__ for item in listener.heard]
    assert kinds == ["RunPlan", *(["Progress"] * 9 + ["EpochRecord"]) * 3, "TrainResult"]
    assert listener.heard[-1] is result
    assert listener.heard[0].steps == 27
    assert (tmp_path / "environment.json").exists()
    assert json.loads((tmp_path / "result.json").read_text())["steps"] == 27


def test_no_pickle_and_no_leftover_in_the_folder(tmp_path: Path) -> None:
    run(tmp_path, PLAIN)
    names = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert names == {
        "checkpoints/best.safetensors", "checkpoints/last/state.json",
        "checkpoints/last/state.safetensors", "checkpoints/last/weights.safetensors",
        "confusion_matrix.json", "curves.html", "environment.json", "labels.json",
        "metrics.jsonl", "result.json", "times.jsonl", "weights.safetensors",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("section", "code", "message", "hint"),
    [
        ({"optimizer": "adamw"}, "L602", "there is no optimizer `adamw`",
         "did you mean `AdamW`?"),
        ({"optimizer": {"op": "SGD", "learning_rate": 1}}, "L603",
         "`SGD` takes no `learning_rate`", None),
        ({"optimizer": {"op": "SGD", "lr": -1.0}}, "L603",
         "`SGD`: Invalid learning rate: -1.0", None),
        ({"scheduler": {"op": "CosineAnealingLR", "T_max": 3}}, "L602",
         "there is no scheduler `CosineAnealingLR`", "did you mean `CosineAnnealingLR`?"),
        ({"scheduler": {"op": "CosineAnnealingLR"}}, "L603",
         "`CosineAnnealingLR` needs `T_max`", None),
        ({"scheduler": "LambdaLR"}, "L603",
         "`LambdaLR` takes a Python function, which a spec can't give", None),
        ({"metrics": {"m": {"op": "acuracy", "from": ["logits", "label"]}}}, "L602",
         "there is no metric `acuracy`", "did you mean `accuracy`?"),
        ({"metrics": {"m": {"op": "accuracy", "from": ["logit", "label"]}}}, "L609",
         "there is no output, input or column `logit`", "did you mean `logits`?"),
        ({"metrics": {"m": {"op": "mae", "from": ["logits", "label"]}}}, "L609",
         "`mae` can't compare `logits` (16, 3) and `label` (16,)", None),
        ({"metrics": {"m": {"op": "f1", "avg": 1, "from": ["logits", "label"]}}}, "L603",
         "`f1` takes no `avg`", None),
        ({"checkpoint": {"monitor": "val.acc"}}, "L603",
         "there is no score `val.acc` to watch", None),
        ({"optimizer": {"op": "SGD", "param_groups": [{"path": "nowhere*", "lr": 0.0}]}}, "L603",
         "this group has no weights", None),
        ({"optimizer": {"op": "SGD", "param_groups": [{"op": "*", "decay": 0.0}]}}, "L603",
         "`SGD` takes no `decay`", None),
        ({"steps": 4}, "L603", "`epochs` and `steps` are both given", None),
        ({"batchsize": 4}, "L603", "unknown key `batchsize`", "did you mean `batch_size`?"),
    ],
)  # fmt: skip
def test_bad_settings_are_reported_before_the_first_step(
    tmp_path: Path, section: dict[str, object], code: str, message: str, hint: str | None
) -> None:
    (found,) = failing(lambda: run(tmp_path, {**PLAIN, **section}))
    assert (found.code, found.message) == (code, message)
    assert hint is None or found.hint == hint
    assert not (tmp_path / "metrics.jsonl").exists()


def test_real_tumours_are_told_apart(tmp_path: Path) -> None:
    class Logistic(nn.Module):
        def forward(self, y: Tensor, target: Tensor) -> Tensor:
            return nn.functional.binary_cross_entropy_with_logits(y, target)

    columns = {"x": {"from": ["mean_*", "worst_*"]},
               "target": {"from": "diagnosis", "encode": "class", "dtype": "float32",
                          "shape": [1]}}  # fmt: skip
    split = {"train": 0.7, "val": 0.15, "test": 0.15, "stratify": "target", "seed": 0}
    data = load(SPECS_DATA, columns, path="breast_cancer.csv", inputs={"x": (20,)}, split=split,
                targets=["target"])  # fmt: skip
    torch.manual_seed(0)
    module = nn.Sequential(Normalization(20), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 1))
    section = {"epochs": 30, "batch_size": 32, "optimizer": {"op": "AdamW", "lr": 0.01},
               "metrics": {"accuracy": {"op": "accuracy", "from": ["y", "target"]},
                           "auroc": {"op": "auroc", "from": ["y", "target"]}}}  # fmt: skip
    result = run(tmp_path, section, module=module, dataset=data, loss_module=Logistic(),
                 loss_inputs=["y", "target"], interface=interface({"x": (20,)}),
                 fit_layers=["0"])  # fmt: skip
    assert result.metrics["test"]["accuracy"] >= 0.95
    assert result.metrics["test"]["auroc"] >= 0.98
    assert result.labels == {"target": ["benign", "malignant"]}


def test_a_loss_that_does_not_fit_is_reported(tmp_path: Path) -> None:
    class NotScalar(nn.Module):
        def forward(self, logits: Tensor, label: Tensor) -> Tensor:
            return nn.functional.cross_entropy(logits, label, reduction="none")

    (found,) = failing(lambda: run(tmp_path, PLAIN, loss_module=NotScalar()))
    assert found.code == "L604"
    (found,) = failing(lambda: run(tmp_path, PLAIN, module=nn.Linear(5, 3)))
    assert found.code == "L609"
    frozen = nn.Linear(4, 3).requires_grad_(False)
    (found,) = failing(lambda: run(tmp_path, PLAIN, module=frozen))
    assert found.code == "L607"


def test_rows_that_become_large_are_evaluated_few_at_a_time(tmp_path: Path) -> None:
    def seen(width: int) -> set[int]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3))
        rows: set[int] = set()
        module.register_forward_hook(
            lambda m, given, _: None if m.training else rows.add(len(given[0]))
        )
        folder = tmp_path / str(width)
        folder.mkdir()
        run(folder, {**PLAIN, "epochs": 1, "batch_size": 8}, module=module)
        return rows

    # 8 MiB hold 32 rows of 256 KiB, and all 142 training rows of a few bytes.
    assert max(seen(1 << 16)) == 32 and max(seen(16)) == 142
