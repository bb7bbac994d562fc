"""TensorBoard events, read back by TensorBoard itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib import util
from pathlib import Path

import pytest

from tests.train.cases import failing
from tests.train.specs import spec, trained
from tests.train.test_loop import lines

METRICS = {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}}


def events(run: Path) -> Mapping[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    return {
        tag: [(event.step, event.value) for event in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def written(run: Path, part: str, score: str) -> list[tuple[int, float]]:
    return [(line["step"], pytest.approx(line[part][score])) for line in lines(run)]  # type: ignore[index]


@pytest.mark.slow
def test_events_hold_the_numbers_of_every_epoch_once(tmp_path: Path) -> None:
    made = spec({"epochs": 3, "metrics": METRICS})
    first = trained(tmp_path, made, tensorboard=True)
    found = events(first.folder)
    for tag, part, score in (
        ("loss/train", "train", "loss"), ("loss/val", "val", "loss"), ("accuracy/val", "val", "accuracy"),
    ):  # fmt: skip
        assert found[tag] == written(first.folder, part, score)
    assert [value for _, value in found["lr"]] == pytest.approx([0.1] * 3)
    # A run that lost its newest checkpoint does those epochs again; they stand there once.
    last, kept = first.folder / "checkpoints/last", tmp_path / "kept"
    shutil.copytree(last, kept)
    for epochs in (5, 6):
        shutil.rmtree(last)
        shutil.copytree(kept, last)
        more = spec({"epochs": epochs, "metrics": METRICS})
        trained(tmp_path, more, tensorboard=True, resume=first.folder)
    assert len(lines(first.folder)) == 6
    assert events(first.folder)["loss/val"] == written(first.folder, "val", "loss")


def test_without_the_package_the_hint_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = util.find_spec
    monkeypatch.setattr(
        "specc.training.events.find_spec",
        lambda name: None if name == "tensorboard" else found(name),
    )
    (problem,) = failing(lambda: trained(tmp_path, spec({}), tensorboard=True))
    assert problem.code == "U806" and "specc[tensorboard]" in (problem.hint or "")
    assert not list(tmp_path.iterdir())
