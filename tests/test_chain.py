"""The main job end to end: spec, training, export with proof, verification, prediction."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner

from specc.cli import main

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"


def specc(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


def trained(name: str, runs: Path, *sets: str) -> Path:
    changes = [part for text in sets for part in ("--set", text)]
    done = json.loads(
        specc("train", str(SPECS / f"{name}.json"), "--runs", str(runs), "--json", *changes)
    )
    return Path(done["folder"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = trained("digits_mlp", tmp_path_factory.mktemp("runs"), "train.epochs=3")
    specc("export", "--onnx", str(folder), "-q")
    return folder


def test_a_run_leaves_what_is_promised(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "spec.resolved.json", "model.py", "metrics.jsonl", "checkpoints", "weights.safetensors",
        "model.onnx", "parity.json", "test_data_set_0",
    }  # fmt: skip
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    assert not [name for name in names if name.startswith(".")]


def test_the_onnx_file_has_the_names_of_the_spec(run: Path) -> None:
    model = onnx.load(run / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == ["image"]
    assert [o.name for o in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {t.name for t in model.graph.initializer} >= {
        "fc1.weight",
        "bn1.running_mean",
        "norm.std",
    }
    first = next(node for node in model.graph.node if node.name == "fc1")
    about = {entry.key: entry.value for entry in first.metadata_props}
    assert about["specc.path"] == "fc1"
    assert about["specc.pointer"] == "/layers/1"
    assert model.opset_import[0].version == 20


def test_the_certificate(run: Path) -> None:
    proof = json.loads((run / "parity.json").read_text())
    assert proof["verdict"] == "pass"
    assert {w["name"].partition(":")[0] for w in proof["witnesses"]} == {"onnxruntime", "reference"}
    assert {"normal", "zeros", "data", "sizes"} <= {f["family"] for f in proof["families"]}
    metadata = ort.InferenceSession(run / "model.onnx").get_modelmeta().custom_metadata_map
    assert metadata["specc.parity.verdict"] == "pass"
    assert metadata["license"] == "CC-BY-4.0"


def test_verify_in_full_and_from_vectors(run: Path) -> None:
    assert "proven" in specc("verify", str(run / "model.onnx"))
    assert "proven" in specc("verify", str(run / "model.onnx"), "--vectors")


def test_verify_catches_a_changed_file(run: Path, tmp_path: Path) -> None:
    model = onnx.load(run / "model.onnx")
    bias = next(t for t in model.graph.initializer if t.name == "fc3.bias")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] += 1e-3
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    for name in ("spec.resolved.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    onnx.save(model, tmp_path / "model.onnx")
    assert "NOT PROVEN" in specc("verify", str(tmp_path / "model.onnx"), code=1)


def test_a_failed_proof_leaves_no_model_under_its_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specc.ops import REGISTRY

    def wrong(self: object, g: object, input: object) -> object:
        del self
        return g.op("LeakyRelu", input, alpha=1e-3)  # type: ignore[attr-defined]

    monkeypatch.setattr(REGISTRY["ReLU"], "onnx", wrong)
    text = specc("export", "--onnx", str(run), "-o", str(tmp_path / "out" / "model.onnx"), code=1)
    assert "NOT PROVEN" in text
    assert "layer `3`" in text
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "model.failed.onnx",
        "parity.failed.json",
    }


def test_predictions_carry_labels_and_agree_with_the_runtime(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "predictions.csv"
    specc(
        "predict",
        str(run / "model.onnx"),
        "--data",
        str(SPECS / "data" / "digits.csv"),
        "-o",
        str(target),
    )
    rows = list(csv.DictReader(target.open()))
    table = np.loadtxt(SPECS / "data" / "digits.csv", delimiter=",", skiprows=1)
    session = ort.InferenceSession(run / "model.onnx")
    (logits,) = session.run(None, {"image": table[:256, :64].astype(np.float32)})
    assert [int(row["label"]) for row in rows[:256]] == logits.argmax(axis=1).tolist()
    assert len(rows) == len(table)
    assert np.mean([int(r["label"]) == t for r, t in zip(rows, table[:, 64], strict=True)]) > 0.8


@pytest.mark.parametrize(
    "arguments", [["verify", "{}", "--vectors"], ["predict", "{}", "--data", "{data}"]]
)
def test_deployment_needs_no_torch(run: Path, arguments: list[str]) -> None:
    data = str(SPECS / "data" / "digits.csv")
    filled = [a.format(run / "model.onnx", data=data) for a in arguments]
    code = (
        "import sys\nfrom specc.cli import main\n"
        f"try:\n    main({filled!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_spec_without_data_is_proven_with_fresh_weights(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    specc("export", "--onnx", str(SPECS / "iris.json"), "-o", str(target), "--opset", "17", "-q")
    assert onnx.load(target).opset_import[0].version == 17
    proof = json.loads((tmp_path / "parity.json").read_text())
    assert proof["verdict"] == "pass"
    assert proof["fresh"]
    assert (tmp_path / "weights.safetensors").exists()


def test_the_same_run_twice_is_the_same(run: Path, tmp_path: Path) -> None:
    again = trained("digits_mlp", tmp_path, "train.epochs=3")
    assert (again / "weights.safetensors").read_bytes() == (
        run / "weights.safetensors"
    ).read_bytes()


ACCURACY = {
    "digits_mlp": 0.95,
    "digits_cnn": 0.97,
    "breast_cancer": 0.95,
    "iris": 0.9,
    "bag_of_words": 0.85,
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", sorted(p.stem for p in SPECS.glob("*.json")))
def test_every_shipped_spec_through_the_whole_chain(spec: str, tmp_path: Path) -> None:
    source = json.loads((SPECS / f"{spec}.json").read_text())
    if "train" in source:
        folder = trained(spec, tmp_path / "runs")
        result = json.loads((folder / "result.json").read_text())
        if spec in ACCURACY:
            assert result["metrics"]["test"]["accuracy"] >= ACCURACY[spec]
        subject, model = str(folder), folder / "model.onnx"
        specc("export", "--onnx", subject, "-q")
    else:
        model = tmp_path / "model.onnx"
        specc("export", "--onnx", str(SPECS / f"{spec}.json"), "-o", str(model), "-q")
    assert json.loads((model.parent / "parity.json").read_text())["verdict"] == "pass"
    specc("verify", str(model), "-q")


@pytest.mark.slow
def test_the_wheel_runs_the_chain_from_an_empty_folder(tmp_path: Path) -> None:
    """The wheel is put before the checkout on the path, and run where nothing of it is near."""
    home, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("specc-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(home), str(wheel)], check=True)
    rows = "\n".join(f"{i % 7},{i % 5},{'even' if i % 7 % 2 == 0 else 'odd'}" for i in range(80))
    (work / "rows.csv").write_text(f"a,b,parity\n{rows}\n")
    (work / "spec.json").write_text(json.dumps({
        "specc": 1, "name": "tiny", "inputs": {"x": {"shape": ["batch", 2]}},
        "layers": [{"op": "Linear", "out_features": 8}, "ReLU", {"op": "Linear", "out_features": 2}],
        "data": {
            "source": {"kind": "csv", "path": "rows.csv"},
            "columns": {"x": {"from": ["a", "b"]}, "y": {"from": "parity", "encode": "class"}},
        },
        "train": {"loss": {"op": "CrossEntropyLoss", "from": ["output", "y"]}, "epochs": 2},
    }))  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(home)}
    where = "import specc; print(specc.__path__[0])"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(home)
    for arguments in (
        ["check"],
        ["show"],
        ["build"],
        ["train"],
        ["export", "--onnx"],
        ["ops"],
        ["schema"],
    ):
        command = [sys.executable, "-m", "specc", *arguments]
        done = subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    (model,) = work.glob("runs/tiny/*/model.onnx")
    command = [sys.executable, "-m", "specc", "predict", str(model), "--data", "rows.csv"]
    done = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert {line.split(",")[0] for line in done.stdout.splitlines()[1:]} <= {"even", "odd"}


def test_an_input_without_axes_is_proven(tmp_path: Path) -> None:
    spec = {
        "specc": 1, "name": "scaled", "inputs": {"x": {"shape": []}, "y": {"shape": ["b", 3]}},
        "layers": [{"name": "z", "formula": "y * x + 1"}],
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    target = tmp_path / "out" / "model.onnx"
    specc("export", "--onnx", str(tmp_path / "spec.json"), "-o", str(target), "-q")
    specc("verify", str(target), "-q")
    specc("verify", str(target), "--vectors", "-q")
