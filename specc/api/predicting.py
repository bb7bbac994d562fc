"""`specc predict`: rows of a table or images through an exported model, in ONNX Runtime alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.training.data import ColumnSpec, Table, encode_inputs, read_images, read_table
from specc.training.data.images import ENDINGS
from specc.training.problems import TrainError, nowhere

BATCH = 256
KINDS = {
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz",
    ".npy": "npy",
}  # fmt: skip
DELIMITERS = ",;\t|"


def predict(model: Path, data: Path) -> dict[str, list[Any]]:
    """A column for each output: the label and its probability where the file knows labels.

    `data` is a csv, parquet, npz or npy file, an image, or a folder of images; for images the
    first column is `file`. Raises `SpeccError` if the model or the data cannot be used.
    """
    session = _session(model)
    about = session.get_modelmeta().custom_metadata_map
    try:
        rows, feeds = _feeds(session, about, data)
        results = _run(session, feeds)
    except TrainError as problem:
        raise SpeccError([problem.diagnostic(nowhere)]) from None
    except ExceptionGroup as group:
        found = [p.diagnostic(nowhere) for p in group.exceptions if isinstance(p, TrainError)]
        raise SpeccError(found) from None
    meanings = json.loads(about.get("specc.outputs", "{}"))
    table: dict[str, list[Any]] = {}
    if "file" in rows.columns and _is_image(data):
        table["file"] = rows.columns["file"].to_pylist()
    heads = [meanings[name]["column"] for name in results if name in meanings]
    for name, array in results.items():
        meaning = meanings.get(name)
        if meaning and heads.count(meaning["column"]) > 1:
            meaning = {**meaning, "column": name}  # two outputs for one column
        several = len(heads) > 1 or "probability" in {*results, *heads}
        table |= _columns(name, array, meaning, several)
    return table


def _session(model: Path) -> Any:
    import onnxruntime as ort

    if not model.is_file():
        raise SpeccError([Diagnostic("U807", f"no model `{model}`")])
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        message = f"`{model}` cannot be loaded: {_first_line(error)}"
        raise SpeccError([Diagnostic("P705", message)]) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _run(session: Any, feeds: Mapping[str, Any]) -> dict[str, Any]:
    rows = min((len(array) for array in feeds.values()), default=0)
    limit, fixed = _batch_limit(session)
    outputs = [value.name for value in session.get_outputs()]
    batches = []
    for start in range(0, rows, limit):
        at = np.arange(start, start + limit if fixed else min(start + limit, rows))
        # A file of a fixed batch size takes no smaller one: the last row stands in.
        at = np.minimum(at, rows - 1)
        batch = {name: array.take(at, axis=0) if isinstance(array, np.ndarray) else array.take(at)
                 for name, array in feeds.items()}  # fmt: skip
        try:
            batches.append(session.run(outputs, batch))
        except Exception as error:
            message = f"the rows do not fit the model: {_first_line(error)}"
            raise SpeccError([Diagnostic("D507", message)]) from None
    joined = {n: np.concatenate([batch[i] for batch in batches]) for i, n in enumerate(outputs)}
    return {name: array[:rows] for name, array in joined.items()}


def _batch_limit(session: Any) -> tuple[int, bool]:
    """Rows per run as the file's own batch size allows, and whether it must be just as many."""
    sizes = [value.shape[0] for value in session.get_inputs() if value.shape]
    fixed = [size for size in sizes if isinstance(size, int)]
    about = session.get_modelmeta().custom_metadata_map
    dims = {dim["name"]: dim.get("max") for dim in json.loads(about.get("specc.dims", "[]"))}
    limits = [dims[size] for size in sizes if isinstance(size, str) and dims.get(size)]
    return int(min(fixed or [BATCH, *limits])), bool(fixed)


def _feeds(session: Any, about: dict[str, str], data: Path) -> tuple[Table, dict[str, Any]]:
    """The table that was read, and the model's inputs made from it."""
    columns = json.loads(about.get("specc.columns", "{}"))
    labels = json.loads(about.get("specc.labels", "{}"))
    wanted = [value.name for value in session.get_inputs()]
    missing = [name for name in wanted if name not in columns]
    if missing:
        message = f"the model does not say which columns its input `{missing[0]}` takes"
        hint = "export it from a run of `specc train`"
        raise SpeccError([Diagnostic("P711", message, hint=hint)])
    specs = {name: ColumnSpec.from_json(columns[name]) for name in wanted}
    table = _read(data)
    if data.suffix.lower() == ".npy" and len(specs) == 1:
        # The only array is what the only input takes, whatever the file is called.
        only = next(iter(table.columns))
        specs = {name: replace(spec, source=only) for name, spec in specs.items()}
    return table, encode_inputs(specs, labels, table)


def _is_image(data: Path) -> bool:
    return data.is_dir() or data.suffix.lower() in ENDINGS


def _read(data: Path) -> Table:
    if _is_image(data):
        return read_images(data)
    kind = KINDS.get(data.suffix.lower())
    if kind is None:
        if data.exists():
            hint = "csv, parquet, npz and npy files, images and folders of images are"
            raise TrainError("D508", f"`{data.name}` is nothing to predict from", hint=hint)
        kind = "csv"
    settings = {"kind": kind}
    if kind == "csv" and data.is_file():
        settings["delimiter"] = _delimiter(data)
    return read_table(data, settings)


def _delimiter(data: Path) -> str:
    """The one that the header has most of."""
    with data.open(encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    return max(DELIMITERS, key=header.count)


def _columns(
    name: str, array: Any, meaning: dict[str, Any] | None, several: bool
) -> dict[str, list[Any]]:
    if meaning is None:
        return _plain(name, array)
    scores = _probabilities(array, meaning["holds"])
    labels = meaning.get("labels")
    if scores.ndim == 1 or scores.shape[-1] == 1:
        positive = scores.reshape(len(scores))
        chosen = (positive > 0.5).astype(int)
        probability = np.where(chosen == 1, positive, 1 - positive)
    elif scores.ndim == 2:
        chosen, probability = scores.argmax(axis=1), scores.max(axis=1)
    else:
        return _plain(name, array)
    named = [labels[i] if labels and i < len(labels) else int(i) for i in chosen]
    column = meaning["column"]
    title = f"{column}_probability" if several else "probability"
    return {column: named, title: [round(float(p), 6) for p in probability]}


def _probabilities(array: Any, holds: str) -> Any:
    values = array.astype(np.float64)
    if holds == "probabilities":
        return values
    if holds == "log_probabilities":
        return np.exp(values)
    if values.ndim == 1 or values.shape[-1] == 1:
        return 1 / (1 + np.exp(-values))
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _plain(name: str, array: Any) -> dict[str, list[Any]]:
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        return {name: array.reshape(len(array)).tolist()}
    flat = array.reshape(len(array), -1)
    return {f"{name}_{i}": flat[:, i].tolist() for i in range(flat.shape[1])}
