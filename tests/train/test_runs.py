"""`specc runs`, `specc train --resume`, and the page of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from specc.cli import main
from specc.runtime.lock import held
from specc.training.chart import line_chart, ticks
from tests.train.test_killed import SPEC


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    short = {**SPEC["train"], "epochs": 2, "scheduler": {"op": "StepLR", "step_size": 1}}
    (tmp_path / "spec.json").write_text(json.dumps({**SPEC, "train": short}))
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


def as_json(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_runs_are_listed_and_compared(folder: Path) -> None:
    assert run("runs") == "there are no runs in runs\n"
    run("train", "-q")
    run("train", "-q", "--set", "train.batch_size=32")
    first, second = as_json("runs")
    assert (first["name"], first["state"], first["epochs"]) == ("killed", "finished", 2)
    assert first["metrics"]["test"].keys() == {"loss", "accuracy"}
    assert as_json("runs", "other") == []
    assert "killed/" in run("runs", "killed")
    compared = as_json("runs", first["folder"], second["folder"])
    assert compared["differences"] == {"train.batch_size": [64, 32]}
    table = run("runs", first["folder"], second["folder"])
    assert "train.batch_size   64" in table
    assert "is not a run" in run("runs", str(folder), str(folder), code=2)


def test_an_unfinished_run_is_found_and_goes_on(folder: Path) -> None:
    assert "no unfinished run of `killed`" in run("train", "--resume", code=2)
    run("train", "-q")
    (path,) = (folder / "runs/killed").iterdir()
    assert "no unfinished run" in run("train", "--resume", code=2)
    more = ("--set", "train.epochs=4")
    assert "resumed after step 46 of 92" in run("train", "spec.json", "--resume", str(path), *more)
    assert len((path / "metrics.jsonl").read_text().splitlines()) == 4
    (path / "result.json").unlink()
    assert as_json("runs")[0]["state"] == "unfinished"
    with held(path / ".lock"):
        assert as_json("runs")[0]["state"] == "running"
        assert "no unfinished run" in run("train", "--resume", code=2)
    assert str(path.relative_to(folder)) in run("train", "--resume", "spec.json")
    assert "is not a run" in run("train", "--resume", "nowhere", code=2)


def test_a_bad_setting_leaves_no_folder(folder: Path) -> None:
    run("train", "--set", "train.optimizer.lr=-1", code=2)
    assert not (folder / "runs").exists()


def test_the_path_of_initial_weights_still_holds_in_the_run_folder(folder: Path) -> None:
    run("train", "-q")
    (base,) = (folder / "runs/killed").iterdir()
    start = f"train.init_from=runs/killed/{base.name}"
    run("train", "-q", "--set", start, "--set", "name=tuned")
    (tuned,) = (folder / "runs/tuned").iterdir()
    kept = json.loads((tuned / "spec.resolved.json").read_text())["train"]["init_from"]
    assert (tuned / kept).resolve() == base.resolve()


def test_the_page_needs_nothing_but_itself(folder: Path) -> None:
    run("train", "-q")
    (path,) = (folder / "runs/killed").iterdir()
    page = (path / "curves.html").read_text()
    assert not any(word in page for word in ("http:", "https:", "src=", "@import", "<script"))
    assert page.count("<svg") == 3
    assert "<th>accuracy</th>" in page
    figures = page[page.index("<figure>") : page.rindex("</figure>") + 9]
    drawn = ElementTree.fromstring(f"<all>{figures}</all>")
    lines = drawn.findall(".//polyline")
    assert [len(line.get("points", "").split()) for line in lines] == [2, 2, 2, 2]


def test_charts_place_points_by_value() -> None:
    svg = line_chart("loss", {"train": [(1, 2.0), (2, 1.0), (3, 1.5)]}, mark=2)
    figure = ElementTree.fromstring(svg)
    (line,) = figure.findall(".//polyline")
    places = [tuple(map(float, p.split(","))) for p in line.get("points", "").split()]
    assert places[0][0] < places[1][0] < places[2][0]
    assert places[0][1] < places[2][1] < places[1][1]
    (mark,) = [e for e in figure.findall(".//line") if e.get("class") == "mark"]
    assert float(mark.get("x1", "0")) == places[1][0]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.97, 1.0, [0.97, 0.98, 0.99, 1.0]), (5, 5, [5])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
