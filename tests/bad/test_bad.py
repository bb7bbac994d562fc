"""Every kind of bad input, a file a kind, with its rendered message beside it.

A file is checked as `specc check` does it, and then trained if that finds nothing. To write
the expected messages anew after a deliberate change: `SPECC_REWRITE=1 pytest tests/bad`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from specc.api.checking import check
from specc.api.model import load
from specc.diagnostics.model import SpeccError
from specc.diagnostics.render import render_summary, render_text

HERE = Path(__file__).parent
PARTS = {"extends_cycle_other"}
CASES = sorted(p.stem for p in HERE.glob("*.json") if p.stem not in PARTS)


def messages(path: Path, runs: Path) -> str:
    found = check(path).items
    if not found:
        try:
            from specc.api.training import train

            train(load(path), runs=runs)
        except SpeccError as error:
            found = list(error.diagnostics)
    return f"{render_text(found)}\n{render_summary(found)}\n" if found else "nothing found\n"


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(HERE)
    text = messages(Path(f"{case}.json"), tmp_path)
    expected = HERE / f"{case}.txt"
    if os.environ.get("SPECC_REWRITE"):
        expected.write_text(text, "utf-8")
    assert text == expected.read_text("utf-8")
    assert "error[" in text
    assert not list(tmp_path.iterdir()), "bad input left a run behind"


def test_there_are_many_kinds() -> None:
    assert len(CASES) >= 40
