"""`specc predict`: rows of a table through an exported model, in ONNX Runtime alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.train.data import ColumnSpec, encode_inputs, read_table
from specc.train.problems import TrainError, nowhere

BATCH = 256
KINDS = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}


def predict(model: Path, data: Path) -> dict[str, list[Any]]:
    """A column for each output: the label and its probability where the file knows labels.

    Raises `SpeccError` if the model or the data cannot be used.
    """
    session = _session(model)
    about = session.get_modelmeta().custom_metadata_map
    feeds = _feeds(session, about, data)
    rows = min((len(array) for array in feeds.values()), default=0)
    limit = _batch_limit(session)
    outputs = [value.name for value in session.get_outputs()]
    batches = [
        session.run(outputs, {name: array[i : i + limit] for name, array in feeds.items()})
        for i in range(0, rows, limit)
    ]
    results = {n: np.concatenate([b[i] for b in batches]) for i, n in enumerate(outputs)}
    meanings = json.loads(about.get("specc.outputs", "{}"))
    table: dict[str, list[Any]] = {}
    for name, array in results.items():
        table |= _columns(name, array, meanings.get(name))
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


def _batch_limit(session: Any) -> int:
    """Rows per run: what the file's own batch size allows."""
    sizes = [value.shape[0] for value in session.get_inputs() if value.shape]
    fixed = [size for size in sizes if isinstance(size, int)]
    about = session.get_modelmeta().custom_metadata_map
    dims = {dim["name"]: dim.get("max") for dim in json.loads(about.get("specc.dims", "[]"))}
    limits = [dims[size] for size in sizes if isinstance(size, str) and dims.get(size)]
    return int(min([BATCH, *fixed, *limits]))


def _feeds(session: Any, about: dict[str, str], data: Path) -> dict[str, Any]:
    columns = json.loads(about.get("specc.columns", "{}"))
    labels = json.loads(about.get("specc.labels", "{}"))
    wanted = [value.name for value in session.get_inputs()]
    missing = [name for name in wanted if name not in columns]
    if missing:
        message = f"the model does not say which columns its input `{missing[0]}` takes"
        hint = "export it from a run of `specc train`"
        raise SpeccError([Diagnostic("P711", message, hint=hint)])
    try:
        source = {"kind": KINDS.get(data.suffix.lower(), "csv")}
        table = read_table(data, source)
        specs = {name: ColumnSpec.from_json(columns[name]) for name in wanted}
        return encode_inputs(specs, labels, table)
    except TrainError as problem:
        raise SpeccError([problem.diagnostic(nowhere)]) from None
    except ExceptionGroup as group:
        found = [p.diagnostic(nowhere) for p in group.exceptions if isinstance(p, TrainError)]
        raise SpeccError(found) from None


def _columns(name: str, array: Any, meaning: dict[str, Any] | None) -> dict[str, list[Any]]:
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
    return {meaning["column"]: named, "probability": [round(float(p), 6) for p in probability]}


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
