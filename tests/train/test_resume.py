from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from specc.runtime.atomic import existing_folder, new_folder, write_bytes
from specc.training.reporter import EpochRecord
from specc.training.run_folder import RunFolder
from specc.training.tree import flatten, own_copies, unflatten
from tests.train.cases import blob_job, classifier, failing, run

SECTION = {
    "epochs": 4, "batch_size": 16,
    "optimizer": {"op": "SGD", "lr": 0.05, "momentum": 0.9},
    "scheduler": {"op": "OneCycleLR", "max_lr": 0.1, "total_steps": 36, "interval": "step"},
    "metrics": {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}},
}  # fmt: skip
VARIANTS = {
    "momentum": SECTION,
    "adam": {**SECTION, "optimizer": "Adam", "scheduler": None, "clip_grad_norm": 1.0},
    "accumulate": {**SECTION, "accumulate": 2, "scheduler": {"op": "StepLR", "step_size": 2}},
    "average": {**SECTION, "ema": 0.9},
    "scaler": {**SECTION, "precision": "float16"},
    "plateau": {**SECTION, "optimizer": "RMSprop",
                "scheduler": {"op": "ReduceLROnPlateau", "patience": 0}},
    "chain": {**SECTION, "scheduler": {
        "op": "SequentialLR", "milestones": [2], "schedulers": [
            {"op": "LinearLR", "total_iters": 2}, {"op": "CosineAnnealingLR", "T_max": 3}]}},
}  # fmt: skip


class Stops(nn.Module):
    """A model that asks for a stop in its n-th training pass, as Ctrl-C would."""

    def __init__(self, model: nn.Module, at: int, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.model, self.at, self.number, self.calls = model, at, number, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        if self.training and self.calls == self.at:
            signal.raise_signal(self.number)
        return self.model(x)


OUTCOME = (
    "weights.safetensors", "metrics.jsonl", "checkpoints/best.safetensors",
    "checkpoints/last/weights.safetensors", "checkpoints/last/state.safetensors",
    "checkpoints/last/state.json",
)  # fmt: skip


def same_outcome(one: Path, other: Path) -> None:
    for name in OUTCOME:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_run_stopped_in_the_middle_and_resumed_ends_in_the_same_bits(
    tmp_path: Path, variant: str
) -> None:
    section, whole, parts = VARIANTS[variant], tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    # A wrapper in both, so that weights have the same names.
    result = run(whole, section, module=Stops(classifier(0.3), at=0))
    for at in (5, 14, 1):
        stopped = run(parts, section, module=Stops(classifier(0.3), at), resume=True)
        assert stopped.stopped == "interrupted"
        torch.manual_seed(999)
    resumed = run(parts, section, module=Stops(classifier(0.3), at=0), resume=True)
    assert (resumed.stopped, resumed.steps) == ("finished", result.steps)
    assert resumed.metrics == result.metrics
    same_outcome(whole, parts)


def test_lines_of_epochs_that_are_trained_again_are_dropped(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    run(whole, SECTION, module=Stops(classifier(), at=0))
    run(parts, SECTION, module=Stops(classifier(), at=12), resume=True)
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "step": 18}\n{"epoch": 3, "st')
    run(parts, SECTION, module=Stops(classifier(), at=0), resume=True)
    same_outcome(whole, parts)


def test_a_checkpoint_of_the_last_step_before_the_line_of_its_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after an epoch's line, with the checkpoint of a step as the last one."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    per_epoch = run(whole, SECTION, module=classifier()).steps // SECTION["epochs"]
    section = {**SECTION, "checkpoint": {"every_steps": per_epoch, "every": 100}}
    add = RunFolder.add_metrics

    def dies(self: RunFolder, record: EpochRecord) -> None:
        add(self, record)
        if record.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunFolder, "add_metrics", dies)
        run(parts, section, module=classifier())
    run(parts, section, module=classifier(), resume=True)
    same_outcome(whole, parts)


def test_sigterm_stops_after_the_step_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = run(tmp_path, SECTION, module=Stops(classifier(), 3, signal.SIGTERM))
    assert (result.stopped, result.steps) == ("interrupted", 3)
    assert (tmp_path / "weights.safetensors").exists()
    state = json.loads((tmp_path / "checkpoints/last/state.json").read_text())
    assert "random" in json.dumps(state)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    class Twice(Stops):
        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            if self.training and self.calls == self.at:
                signal.raise_signal(signal.SIGINT)
            return out

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, SECTION, module=Twice(classifier(), 3))


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
import specc.training.run_folder
from tests.train.cases import run, classifier
from tests.train.test_resume import SECTION
folder, countdown = Path(sys.argv[1]), int(sys.argv[2])
count = 0
def dying(function):
    def wrapped(*args, **kwargs):
        global count
        count += 1
        if count == countdown:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped
for name in ("rename", "replace"):
    setattr(Path, name, dying(getattr(Path, name)))
os.fsync = dying(os.fsync)
run(folder, SECTION, module=classifier(0.3), resume=True)
"""


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    run(whole, SECTION, module=classifier(0.3))
    # Each death is before some flush or renaming of a file, the moments that matter.
    for countdown in (11, 17, 24):
        args = [sys.executable, "-c", KILLED, str(parts), str(countdown)]
        done = subprocess.run(args, capture_output=True, text=True, env={**os.environ})
        assert done.returncode == -signal.SIGKILL, done.stderr
    run(parts, SECTION, module=classifier(0.3), resume=True)
    same_outcome(whole, parts)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path, SECTION)
    (found,) = failing(lambda: run(tmp_path, SECTION, module=nn.Linear(4, 3), resume=True))
    assert (found.code, found.message[:3]) == ("L608", "the")
    wider = classifier()
    wider[0] = nn.Linear(4, 16, bias=False)
    (found,) = failing(lambda: run(tmp_path, SECTION, module=wider, resume=True))
    assert found.message == "the model has no weight `0.bias`"


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    run(tmp_path, SECTION)
    (tmp_path / "checkpoints/last/state.safetensors").write_bytes(b"12345678")
    (found,) = failing(lambda: run(tmp_path, SECTION, resume=True))
    assert found.code == "L608"
    assert "is damaged" in found.message


def test_a_finished_run_resumes_to_nothing_or_to_more_epochs(tmp_path: Path) -> None:
    section = {**SECTION, "scheduler": None}
    run(tmp_path, section)
    again = run(tmp_path, section, resume=True)
    assert again.samples_per_second == 0
    more = run(tmp_path, {**section, "epochs": 6}, resume=True)
    assert more.epochs == 6
    direct = tmp_path / "direct"
    direct.mkdir()
    run(direct, {**section, "epochs": 6})
    same_outcome(tmp_path, direct)


def test_a_folder_is_found_whenever_its_replacement_is_cut_short(tmp_path: Path) -> None:
    target = tmp_path / "last"
    for content in ("1", "2"):
        with new_folder(target) as new:
            (new / "f").write_text(content)
    assert (target / "f").read_text() == "2"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last"]
    target.rename(tmp_path / ".last.old")
    found = existing_folder(target)
    assert found is not None
    assert (found / "f").read_text() == "2"
    with pytest.raises(RuntimeError), new_folder(target):
        raise RuntimeError
    assert existing_folder(target) == found


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


def test_state_goes_to_json_and_back() -> None:
    tree = {"a": [1, 2.5, None, True, (3, "x")], 7: {"t": torch.arange(3)}, "inf": float("inf")}
    tensors: dict[str, Tensor] = {}
    plain = json.loads(json.dumps(flatten(tree, tensors, "s")))
    back = unflatten(plain, tensors)
    assert torch.equal(back[7].pop("t"), tree[7].pop("t"))
    assert back == tree
    with pytest.raises(TypeError, match="can't store a value of type function"):
        flatten({"f": len.__class__ and (lambda: 0)}, {}, "s")


def test_tied_weights_are_saved_under_both_names() -> None:
    tensor = torch.ones(3)
    copies = own_copies({"a": tensor, "b": tensor, "c": tensor.view(3)})
    assert len({t.data_ptr() for t in copies.values()}) == 3


def test_the_job_needs_no_more_than_a_folder_that_exists(tmp_path: Path) -> None:
    job = blob_job(tmp_path, SECTION)
    assert job.device == "cpu"
