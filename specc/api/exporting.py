"""`specc export --onnx`: lower, prove, and only then give the file its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.api.runs import SPEC, WEIGHTS, Subject, data_rows, subject
from specc.api.task import output_meanings

if TYPE_CHECKING:
    from specc.parity.certificate import Certificate

Listener = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Proof:
    """A certificate and the file that it is about; `model` is `None` if the proof failed."""

    certificate: Certificate
    model: Path | None
    folder: Path
    failed: Path | None = None

    @property
    def proven(self) -> bool:
        """Whether the verdict is `pass`."""
        return self.certificate.verdict == "pass"


def export(
    source: Path | None = None, sets: Sequence[str] = (), *, runs: Path = Path("runs"),
    target: Path | None = None, weights: Path | None = None, opset: int | None = None,
    progress: Listener | None = None,
) -> Proof:  # fmt: skip
    """Export a run or a spec and prove it; raises `SpeccError` if that cannot be tried.

    Beside the file: `parity.json`, `test_data_set_*/`, and for a spec its fresh weights. If
    the proof fails the file is left as `model.failed.onnx`, with `parity.failed.json`.
    """
    about = subject(source, sets, runs, weights)
    path = target or about.folder / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    return _proven(about, path, opset, progress)


def _proven(about: Subject, path: Path, opset: int | None, progress: Listener | None) -> Proof:
    from specc.parity.verify import prove
    from specc.runtime.atomic import write_bytes, write_json

    state = about.module.state_dict()
    metadata = model_metadata(about)
    data = about.model.to_onnx(state, opset=opset, metadata=metadata)
    partial = path.with_name(f".{path.name}.partial")
    write_bytes(partial, data)
    try:
        certificate = prove(
            about.module, partial, about.model.interface, rows=data_rows(about.model),
            fresh=about.fresh, options=about.model.section("parity"), progress=progress,
            reweight=lambda new: about.model.to_onnx(new, opset=opset, metadata=metadata),
            spec_digest=metadata["specc.spec_sha256"],
        )  # fmt: skip
        if certificate.verdict != "pass":
            failed = path.with_name(f"{path.stem}.failed{path.suffix}")
            partial.replace(failed)
            write_json(path.parent / "parity.failed.json", certificate.to_json())
            return Proof(certificate, None, path.parent, failed)
        _write_companions(about, path, certificate, metadata)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Proof(certificate, path, path.parent)


def _write_companions(
    about: Subject, path: Path, certificate: Certificate, metadata: dict[str, str]
) -> None:
    from safetensors.torch import save

    from specc.runtime.atomic import write_bytes, write_json

    del metadata
    folder = path.parent
    write_json(folder / "parity.json", certificate.to_json())
    if not (folder / SPEC).exists() or about.fresh:
        write_json(folder / SPEC, about.model.resolved(folder))
    if not (folder / WEIGHTS).exists() or about.fresh:
        state = {k: v.contiguous().clone() for k, v in about.module.state_dict().items()}
        write_bytes(folder / WEIGHTS, save(state))


def model_metadata(about: Subject) -> dict[str, str]:
    """What the ONNX file says of itself: digest of the spec, sizes, columns, labels, licence."""
    model = about.model
    value = json.dumps(model.resolved(model.spec.base), sort_keys=True)
    made = {
        "specc.version": _version(), "specc.name": model.name,
        "specc.spec_sha256": hashlib.sha256(value.encode()).hexdigest(),
        "specc.dims": json.dumps([asdict(dim) for dim in model.dims.values()]),
        "specc.outputs": json.dumps(output_meanings(model, about.labels)),
    }  # fmt: skip
    if model.spec.section("data"):
        made["specc.columns"] = json.dumps(_input_columns(about))
        made["specc.labels"] = json.dumps(dict(about.labels))
    own = model.spec.section("export").get("metadata", {})
    return made | {key: str(text) for key, text in own.items()}


def _input_columns(about: Subject) -> dict[str, Any]:
    from specc.train.data import column_specs
    from specc.train.problems import TrainError

    try:
        columns = column_specs(about.model.section("data").get("columns", {}), about.model.interface)
    except TrainError:
        return {}
    names = {info.name for info in about.model.interface.inputs}
    return {name: column.to_json() for name, column in columns.items() if name in names}


def _version() -> str:
    from specc import __version__

    return __version__
