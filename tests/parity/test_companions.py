"""What an export leaves beside a model, and what later commands make of it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from safetensors.torch import load_file, save_file

from tests.test_chain import SPECS, specc, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = trained("digits_mlp", tmp_path_factory.mktemp("runs"), "train.epochs=2")
    specc("export", "--onnx", str(folder), "-q")
    return folder


TINY = {
    "specc": 1, "name": "tiny", "inputs": {"x": {"shape": ["batch", 3]}},
    "layers": [{"name": "fc", "op": "Linear", "out_features": 2}],
}  # fmt: skip


def written(folder: Path, name: str = "tiny", **changes: object) -> str:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**TINY, "name": name, **changes}))
    return str(path)


def test_models_share_a_folder(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    for name in ("a", "b"):
        specc("export", "--onnx", str(SPECS / "mlp_two_layer.json" if name == "a" else SPECS / "iris.json"),
              "-o", str(dist / f"{name}.onnx"), "-q")  # fmt: skip
    kinds = ("onnx", "parity.json", "spec.json", "weights.safetensors", "test_data")
    assert {p.name for p in dist.iterdir()} == {f"{n}.{kind}" for n in "ab" for kind in kinds}
    assert (dist / "a.test_data" / "test_data_set_0" / "input_0.pb").exists()
    for name in ("a", "b"):
        assert "proven" in specc("verify", str(dist / f"{name}.onnx"))
        assert "proven" in specc("verify", str(dist / f"{name}.onnx"), "--vectors")


def test_vectors_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_data_set_0").mkdir()
    (tmp_path / "test_data_set_0" / "mine").write_text("kept")
    command = ("export", "--onnx", written(tmp_path), "-o", str(tmp_path / "model.onnx"), "-q")
    for _ in range(2):
        specc(*command)
        assert (tmp_path / "test_data_set_0" / "mine").read_text() == "kept"
        proof = json.loads((tmp_path / "parity.json").read_text())
        folders = {p.name for p in tmp_path.glob("test_data_set_*")} - {"test_data_set_0"}
        assert (
            {v["folder"] for v in proof["vectors"]}
            == folders
            == {"test_data_set_1", "test_data_set_2"}
        )
    assert "proven" in specc("verify", str(tmp_path / "model.onnx"), "--vectors")


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """The shared run in a folder that a test may change."""
    return Path(shutil.copytree(run, tmp_path / "runs" / "digits_mlp" / "copy"))


def test_other_weights_never_take_the_place_of_a_run_s_own(own_run: Path) -> None:
    path, trained_weights = (
        str(own_run / "model.onnx"),
        (own_run / "weights.safetensors").read_bytes(),
    )
    other = own_run / "other.safetensors"
    state = load_file(own_run / "weights.safetensors")
    save_file({n: t * 1.25 if n == "fc3.weight" else t for n, t in state.items()}, other)
    specc("export", "--onnx", str(own_run), "--weights", str(other), "-q")
    assert (own_run / "weights.safetensors").read_bytes() == trained_weights
    assert "proven" in specc("verify", path)
    specc("export", "--onnx", str(own_run), "-q")
    assert not (own_run / "model.weights.safetensors").exists()
    assert "proven" in specc("verify", path)


def test_an_older_model_s_companions_are_replaced(run: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "model.onnx")
    specc("export", "--onnx", str(SPECS / "iris.json"), "-o", target, "-q")
    specc("export", "--onnx", str(run), "-o", target, "-q")
    assert "proven" in specc("verify", target)


def test_a_fresh_zero_head_passes_its_own_verification(tmp_path: Path) -> None:
    spec = written(tmp_path, init=[{"op": "Linear", "init": "zeros_"}])
    target = tmp_path / "zero.onnx"
    assert "perturbed ones were proven" in specc(
        "export", "--onnx", spec, "-o", str(target), "--opset", "18"
    )
    assert "perturbed ones were proven" in specc("verify", str(target))
    (tmp_path / "zero.parity.json").unlink()
    assert "degenerate" in specc("verify", str(target), code=1)


def test_verify_reads_the_certificate(own_run: Path) -> None:
    path, proof = own_run / "model.onnx", own_run / "parity.json"
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"specc.outputs": "{}"})
    onnx.save(model, path)
    text = specc("verify", str(path), code=1)
    assert "`model.onnx` is not the proven file" in text
    assert "\nmodel: " not in text
    proof.write_text("{")
    assert "`parity.json` is damaged" in specc("verify", str(path), code=1)


def test_a_failed_export_keeps_its_external_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specc.ops import REGISTRY
    from specc.runtime.export import save_model

    monkeypatch.setitem(save_model.__kwdefaults__, "external_bytes", 0)
    layers = [{"op": "Linear", "out_features": 40}, "ReLU", {"op": "Linear", "out_features": 2}]
    command = ("export", "--onnx", written(tmp_path, layers=layers), "-o", str(tmp_path / "a.onnx"))
    specc(*command)
    proven = (tmp_path / "a.onnx.data").read_bytes()
    monkeypatch.setattr(
        REGISTRY["ReLU"], "onnx", lambda _, g, *x: g.op("LeakyRelu", *x, alpha=1e-2)
    )
    text = specc(*command, code=1)
    assert "furthest over its bound" in text
    assert (tmp_path / "a.onnx.data").read_bytes() == proven
    session = ort.InferenceSession(tmp_path / "a.failed.onnx")
    assert session.run(None, {"x": np.zeros((1, 3), np.float32)})[0].shape == (1, 2)
    assert (tmp_path / "a.failed.onnx.data").exists()
    monkeypatch.undo()
    specc(*command)
    assert not list(tmp_path.glob("*failed*"))
    assert not (tmp_path / "a.onnx.data").exists()


def test_two_exports_of_one_target_at_once_both_end_well(tmp_path: Path) -> None:
    target = str(tmp_path / "model.onnx")
    call = [
        sys.executable,
        "-m",
        "specc",
        "export",
        "--onnx",
        written(tmp_path),
        "-o",
        target,
        "-q",
    ]
    running = [subprocess.Popen(call, stderr=subprocess.PIPE) for _ in range(2)]
    assert [(p.communicate()[1], p.returncode) for p in running] == [(b"", 0)] * 2
    assert "proven" in specc("verify", target)
    assert not list(tmp_path.glob(".*"))


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    from specc.runtime.atomic import write_bytes

    contents = [bytes([65 + i]) * 100_000 for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda c: write_bytes(tmp_path / "file", c), contents * 10))
    assert (tmp_path / "file").read_bytes() in contents
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_terminated_export_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nimport specc.parity.verify as verify\nfrom specc.cli import main\n"
        "verify.prove = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)\n"
        "main(sys.argv[1:])\n"
    )
    out = tmp_path / "out"
    call = [
        sys.executable,
        "-c",
        code,
        "export",
        "--onnx",
        written(tmp_path),
        "-o",
        str(out / "model.onnx"),
    ]
    assert subprocess.run(call, capture_output=True, check=False).returncode == 143
    assert not list(out.iterdir())


def test_a_file_is_wanted_where_a_folder_is_named(run: Path, tmp_path: Path) -> None:
    data = str(SPECS / "data" / "digits.csv")
    assert "is a folder" in specc("export", "--onnx", str(run), "-o", str(tmp_path), code=2)
    assert "is a folder" in specc(
        "predict", str(run / "model.onnx"), "--data", data, "-o", ".", code=2
    )


def test_predictions_go_where_they_are_sent(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "predictions.csv"
    data = SPECS / "data" / "digits.csv"
    command = ("predict", str(run / "model.onnx"), "--data", str(data), "-o", str(target), "--json")
    said = json.loads(specc(*command))
    rows = list(csv.DictReader(target.open()))
    assert said == {"file": str(target), "rows": len(rows)}
    (tmp_path / "file").write_text("")
    text = specc(*command[:-2], str(tmp_path / "file" / "x.csv"), code=1)
    assert ".tmp" not in text and "file" in text


def test_every_head_has_its_own_probability(tmp_path: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 5},{'ab'[i % 2]},{'cde'[i % 3]}" for i in range(60))
    (tmp_path / "rows.csv").write_text(f"u,v,kind,shade\n{rows}\n")
    heads = {"one": ("kind", 2), "two": ("shade", 3)}
    losses = [{"op": "CrossEntropyLoss", "from": [h, column]} for h, (column, _) in heads.items()]
    spec = written(
        tmp_path, inputs={"x": {"shape": ["batch", 2]}}, outputs={h: h for h in heads},
        layers=[{"name": h, "op": "Linear", "from": "x", "out_features": n} for h, (_, n) in heads.items()],
        data={"source": {"kind": "csv", "path": "rows.csv"}, "columns": {
            "x": {"from": ["u", "v"]}, "kind": {"encode": "class"}, "shade": {"encode": "class"}}},
        train={"loss": losses, "epochs": 1},
    )  # fmt: skip
    folder = json.loads(specc("train", spec, "--runs", str(tmp_path / "runs"), "--json"))["folder"]
    specc("export", "--onnx", folder, "-q")
    table = json.loads(
        specc("predict", f"{folder}/model.onnx", "--data", str(tmp_path / "rows.csv"), "--json")
    )
    assert list(table) == ["kind", "kind_probability", "shade", "shade_probability"]
    assert min(table["kind_probability"]) >= 0.5 and min(table["shade_probability"]) >= 1 / 3


def test_damaged_run_files_are_named(own_run: Path) -> None:
    runs = str(own_run.parent.parent)
    for name, text in (
        ("metrics.jsonl", "{\n"),
        ("result.json", "{"),
        ("labels.json", '{"label": 3}'),
    ):
        before = (own_run / name).read_bytes()
        (own_run / name).write_text(text)
        if name == "labels.json":
            assert "`labels.json` is" not in specc("runs", "--runs", runs)
            said = specc("export", "--onnx", str(own_run), code=1)
        else:
            assert json.loads(specc("runs", "--runs", runs, "--json"))[0]["state"] == "damaged"
            said = specc("runs", str(own_run), code=1)
            assert "is damaged" in specc("train", "--resume", str(own_run), code=1)
        assert f"{name}` is damaged" in said
        (own_run / name).write_bytes(before)


def test_a_finished_run_without_a_checkpoint_is_not_trained_over(own_run: Path) -> None:
    weights = (own_run / "weights.safetensors").read_bytes()
    shutil.rmtree(own_run / "checkpoints")
    assert "has no checkpoint to go on from" in specc("train", "--resume", str(own_run), code=2)
    assert (own_run / "weights.safetensors").read_bytes() == weights
