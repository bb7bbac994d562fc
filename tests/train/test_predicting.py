"""From data of every kind through training and export to predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from specc.api.exporting import model_metadata
from specc.api.model import load
from specc.api.predicting import predict
from specc.api.runs import newest_run, subject
from specc.api.training import train
from specc.diagnostics.model import SpeccError

ROWS = 60


def rows() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, ROWS)
    x = rng.normal(size=(ROWS, 3)).astype(np.float32) + 3 * label[:, None].astype(np.float32)
    return {"x": x, "kind": np.array(["no", "yes"])[label], "label": label}


def table() -> pa.Table:
    made = rows()
    columns = {f"x_{i}": made["x"][:, i] for i in range(3)}
    return pa.table({**columns, "kind": made["kind"].tolist()})


def spec(source: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "specc": 1, "name": "small",
        "inputs": {"x": {"shape": ["batch", 3]}},
        "layers": [{"op": "Linear", "out_features": 2}],
        "outputs": {"logits": "0"},
        "data": {
            "source": source,
            "columns": {"x": {"from": "x_*"}, "kind": {"encode": "class"}},
            "split": {"train": 0.8, "val": 0.2},
        },
        "train": {
            "loss": {"op": "CrossEntropyLoss", "from": ["logits", "kind"]},
            "optimizer": {"op": "AdamW", "lr": 0.1}, "epochs": 8, "batch_size": 8,
        },
        **sections,
    }  # fmt: skip


def exported(folder: Path, value: dict[str, Any]) -> Path:
    """The model of a spec, trained on its data and exported without the proof."""
    (folder / "spec.json").write_text(json.dumps(value))
    train(load(folder / "spec.json"), runs=folder / "runs")
    about = subject(newest_run(folder / "runs"), (), folder / "runs", None)
    path = folder / "model.onnx"
    about.model.save_onnx(path, about.module.state_dict(), metadata=model_metadata(about))
    return path


def test_csv_with_semicolons(tmp_path: Path) -> None:
    options = pa.csv.WriteOptions(delimiter=";")
    pa.csv.write_csv(table(), tmp_path / "t.csv", options)
    model = exported(tmp_path, spec({"kind": "csv", "path": "t.csv", "delimiter": ";"}))
    found = predict(model, tmp_path / "t.csv")
    assert np.mean(np.array(found["kind"]) == rows()["kind"]) > 0.9
    pa.csv.write_csv(table(), tmp_path / "commas.csv")
    assert predict(model, tmp_path / "commas.csv") == found


def test_parquet_streamed_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for i in range(3):
        pq.write_table(table().slice(20 * i, 20), tmp_path / f"parts/{i}.parquet")
    source = {"kind": "parquet", "path": "parts", "memory": False}
    model = exported(tmp_path, spec(source))
    found = predict(model, tmp_path / "parts/0.parquet")
    assert np.mean(np.array(found["kind"]) == rows()["kind"][:20]) > 0.9
    session = ort.InferenceSession(model)
    (logits,) = session.run(None, {"x": rows()["x"][:20]})
    assert [found["kind"][i] for i in range(20)] == [["no", "yes"][i] for i in logits.argmax(1)]


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_arrays(tmp_path: Path, kind: str, memory: bool) -> None:
    made = rows()
    np.savez(tmp_path / "t.npz", x=made["x"], label=made["label"])
    np.save(tmp_path / "x.npy", made["x"])
    np.save(tmp_path / "label.npy", made["label"])
    path = "t.npz" if kind == "npz" else ["x.npy", "label.npy"]
    value = spec({"kind": kind, "path": path, "memory": memory})
    value["data"]["columns"] = {"x": {}, "kind": {"from": "label", "dtype": "int64"}}
    model = exported(tmp_path, value)
    found = predict(model, tmp_path / ("t.npz" if kind == "npz" else "x.npy"))
    assert np.mean(np.array(found["kind"]) == made["label"]) > 0.9


def test_images_and_a_folder_of_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(24):
        place = tmp_path / "pets" / ("cat" if i % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (9, 8, 3), dtype=np.uint8)
        pixels[..., 0] += np.uint8(150 * (i % 2))
        Image.fromarray(pixels).save(place / f"{i}.png")
    value = spec(
        {"kind": "image_folder", "path": "pets", "augment": [
            {"op": "RandomCrop", "padding": 1}, {"op": "RandomHorizontalFlip"}]},
        inputs={"image": {"shape": ["batch", 3, 8, 8]}},
        layers=[
            {"name": "scaled", "formula": "image / 255"},
            {"op": "AdaptiveAvgPool2d", "output_size": 1}, "Flatten",
            {"name": "0", "op": "Linear", "out_features": 2},
        ],
    )  # fmt: skip
    del value["data"]["columns"]
    value["data"]["split"] = {"train": 0.7, "val": 0.3, "stratify": "label"}
    value["train"]["loss"]["from"] = ["logits", "label"]
    model = exported(tmp_path, value)
    found = predict(model, tmp_path / "pets")
    assert list(found) == ["file", "label", "probability"]
    assert found["file"][0] == "pets/cat/1.png"
    assert found["label"] == ["cat"] * 12 + ["dog"] * 12
    single = predict(model, tmp_path / "pets/dog/4.png")
    assert single["file"] == ["4.png"]
    at = found["file"].index("pets/dog/4.png")
    assert single["probability"] == [pytest.approx(found["probability"][at], abs=1e-6)]


def several(folder: Path) -> Path:
    """A model with a word, some words and numbers as inputs."""
    made = rows()
    words = [f"{kind} day" if i % 3 else kind for i, kind in enumerate(made["kind"])]
    colours = np.array(["red", "blue", "green"])[made["label"] + np.arange(ROWS) % 2]
    data = pa.table({
        "colour": colours, "text": words, "size": made["x"][:, 0], "kind": made["kind"],
    })  # fmt: skip
    pa.csv.write_csv(data, folder / "t.csv")
    value = spec(
        {"kind": "csv", "path": "t.csv"},
        inputs={
            "colour": {"shape": ["batch"], "dtype": "int64"},
            "text": {"shape": ["batch", 4]}, "size": {"shape": ["batch", 1]},
        },
        layers=[
            {"name": "embed", "op": "Embedding", "num_embeddings": 3, "embedding_dim": 2,
             "from": "colour"},
            {"op": "cat", "dim": 1, "from": ["embed", "text", "size"]},
            {"name": "0", "op": "Linear", "out_features": 2},
        ],
    )  # fmt: skip
    value["data"]["columns"] = {
        "colour": {"encode": "class"}, "text": {"encode": "multi_hot"},
        "size": {"missing": 0}, "kind": {"encode": "class"},
    }  # fmt: skip
    return exported(folder, value)


def test_several_inputs_take_their_columns_of_one_table(tmp_path: Path) -> None:
    model = several(tmp_path)
    found = predict(model, tmp_path / "t.csv")
    assert np.mean(np.array(found["kind"]) == rows()["kind"]) > 0.9
    session = ort.InferenceSession(model)
    given = pa.csv.read_csv(tmp_path / "t.csv").slice(7, 1).to_pylist()[0]
    (tmp_path / "one.csv").write_text(f"colour,text,size\n{given['colour']},{given['text']},\n")
    without_size = predict(model, tmp_path / "one.csv")
    known = json.loads(session.get_modelmeta().custom_metadata_map["specc.labels"])
    feeds = {
        "colour": np.array([known["colour"].index(given["colour"])]),
        "text": np.array([[w in given["text"].split() for w in known["text"]] + [0]], np.float32),
        "size": np.zeros((1, 1), np.float32),
    }  # fmt: skip
    feeds["text"] = feeds["text"][:, :4]
    (logits,) = session.run(None, feeds)
    shares = np.exp(logits) / np.exp(logits).sum()
    assert without_size["probability"] == [pytest.approx(shares.max(), abs=1e-5)]


def wrong(model: Path, data: Path) -> tuple[str, str, str | None]:
    with pytest.raises(SpeccError) as caught:
        predict(model, data)
    (found,) = caught.value.diagnostics
    return found.code, found.message, found.hint


def test_what_cannot_be_predicted_is_said(tmp_path: Path) -> None:
    model = several(tmp_path)
    (tmp_path / "u.csv").write_text("colour,text,size\nred,no,1\npink,no,1\n")
    assert wrong(model, tmp_path / "u.csv") == (
        "D512",
        "`u.csv`, row 2 (line 3), column `colour`: the label `pink` does not occur in the training "
        "data",
        "known: `blue`, `green`, `red`",
    )
    (tmp_path / "u.csv").write_text("colour,text,size\nred,no,1\nred,no,tall\n")
    assert wrong(model, tmp_path / "u.csv")[:2] == (
        "D503", "`u.csv`, row 2 (line 3), column `size`: `tall` is not a number",
    )  # fmt: skip
    (tmp_path / "u.csv").write_text("colour,text\nred,no\n")
    assert wrong(model, tmp_path / "u.csv")[:2] == ("D502", "`u.csv` has no column `size`")
    assert wrong(model, tmp_path / "none.csv")[:2] == ("D501", "there is no file `none.csv`")
    (tmp_path / "t.docx").write_text("x")
    assert wrong(model, tmp_path / "t.docx")[:2] == ("D508", "`t.docx` is nothing to predict from")
    (tmp_path / "photo.png").write_text("x")
    assert wrong(model, tmp_path / "photo.png")[0] == "D502"
