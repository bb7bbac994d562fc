"""The command line as its users see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from specc.cli import main

ROOT = Path(__file__).parent.parent
DIGITS = ROOT / "specs" / "digits_mlp.json"


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", str(DIGITS)],
        ["show", str(DIGITS)],
        ["ops"],
        ["ops", "Linear"],
        ["schema"],
        ["explain", "T402"],
    ],
    ids=lambda a: "-".join(Path(x).stem for x in a),
)
def test_the_front_end_never_imports_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom specc.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'onnx', 'onnx_ir', 'onnxruntime', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("spec", sorted((ROOT / "specs").glob("*.json")), ids=lambda p: p.stem)
def test_every_shipped_spec_is_fine(spec: Path) -> None:
    assert run("check", str(spec)).endswith("fine\n")


def test_check_reports_bad_specs_with_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text('{"specc": 1, "name": "x", "inputs": {}, "layers": ["Relu"]}')
    assert "did you mean `ReLU`?" in run("check", str(path), code=2)
    found = json.loads(run("check", str(path), "--json", code=2))["diagnostics"]
    column = path.read_text().index('"Relu"') + 1
    assert [(d["code"], d["line"], d["column"]) for d in found] == [("S105", 1, column)]


def test_set_reaches_every_key() -> None:
    rows = json.loads(run("show", str(DIGITS), "--json", "--set", "params.hidden=32"))["layers"]
    assert rows[1]["output"] == "(batch, 32)"
    assert rows[1]["parameters"] == 64 * 32 + 32
    changed = json.loads(run("show", str(DIGITS), "--json", "--set", "layers.1.bias=false"))
    assert changed["layers"][1]["parameters"] == 64 * 128


def test_without_a_spec_the_one_in_the_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no spec named" in run("check", code=2)
    (tmp_path / "spec.json").write_text(DIGITS.read_text())
    assert run("check") == "spec.json: fine\n"


def test_build_writes_source_that_needs_no_specc(tmp_path: Path) -> None:
    run("build", str(DIGITS), "-o", str(tmp_path / "out"))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.py", "loss.py", "spec.resolved.json", "summary.json"}
    code = (
        "import sys, torch, model\n"
        "net = model.DigitsMlp().eval()\n"
        "assert net(torch.zeros(3, 64)).shape == (3, 10)\n"
        "assert not any(name.startswith('specc') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    again = run("check", str(tmp_path / "out" / "spec.resolved.json"))
    assert again.endswith("fine\n")


def test_unknown_names_are_answered(tmp_path: Path) -> None:
    assert "did you mean `Linear`?" in run("ops", "Liner", code=2)
    assert "there is no code" in run("explain", "X999", code=2)
    assert "no file" in run("check", str(tmp_path / "no.json"), code=2)
    assert "no finished run" in run("export", "--onnx", "--runs", str(tmp_path), code=2)
    assert "no model" in run("verify", str(tmp_path / "no.onnx"), code=2)


@pytest.mark.parametrize(
    "arguments",
    [["check", str(DIGITS)], ["show", str(DIGITS)], ["ops"], ["ops", "ReLU"], ["explain", "T402"]],
)
def test_quiet_prints_nothing(arguments: list[str]) -> None:
    assert run(*arguments, "-q") == ""


def test_build_names_only_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    last = run("build", str(DIGITS), "-o", ".").splitlines()[-1]
    assert last == "wrote loss.py, model.py, spec.resolved.json, summary.json to ."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "--nope", "--json"], "no such option"),
        (["chekc", "--json"], "no such command"),
        (["predict", "model.onnx", "--json"], "missing option"),
        (["export", "spec.json", "--json"], "say which format"),
    ],
)
def test_wrong_usage_is_json_too(arguments: list[str], message: str) -> None:
    (found,) = json.loads(run(*arguments, code=2))["diagnostics"]
    assert found["message"].startswith(message)
    assert found["code"] == "U805" and not found["message"].endswith(".")
    assert run(*[a for a in arguments if a != "--json"], code=2).startswith("Usage:")


def test_help_is_help_with_json_too() -> None:
    assert run("check", "--json", "--help").startswith("Usage:")
