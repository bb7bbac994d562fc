"""`specc export --onnx`: lower, prove, and only then give the file its name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
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
    staged = path.with_name(f".{path.name}.partial")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        return _Export(about, path, staged / path.name, opset).run(progress)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


class _Export:
    """One export: everything is made in a folder of its own, and moved once it is proven."""

    def __init__(self, about: Subject, path: Path, staged: Path, opset: int | None) -> None:
        self.about, self.path, self.staged, self.opset = about, path, staged, opset
        self.metadata = model_metadata(about)
        self.rows = data_rows(about.model)
        self.options = about.model.section("parity")

    def run(self, progress: Listener | None) -> Proof:
        from specc.parity.certificate import write_certificate
        from specc.parity.verify import prove

        model, module = self.about.model, self.about.exported
        model.save_onnx(self.staged, module.state_dict(), opset=self.opset, metadata=self.metadata)
        certificate = prove(
            module, self.staged, model.interface, rows=self.rows, fresh=self.about.fresh,
            options=self.options, progress=progress, spec=self.resolved(), graph=model.exported,
            reweight=lambda new: model.to_onnx(new, opset=self.opset, metadata=self.metadata),
        )  # fmt: skip
        folder = self.path.parent
        if certificate.verdict != "pass":
            failed = self.path.with_name(f"{self.path.stem}.failed{self.path.suffix}")
            self.staged.replace(failed)
            write_certificate(certificate, folder / "parity.failed.json")
            return Proof(certificate, None, folder, failed)
        return Proof(self._seal(certificate), self.path, folder)

    def resolved(self) -> bytes:
        """The spec as the certificate's digest sees it."""
        value = self.about.model.resolved(self.about.model.spec.base)
        return json.dumps(value, sort_keys=True).encode()

    def _seal(self, certificate: Certificate) -> Certificate:
        """Put the proof into the file's metadata, write what goes beside it, and move it all."""
        from specc.parity.certificate import sealed, summary, write_certificate
        from specc.parity.vectors import write_vectors

        metadata = self.metadata | summary(certificate)
        state = self.about.exported.state_dict()
        self.about.model.save_onnx(self.staged, state, opset=self.opset, metadata=metadata)
        vectors = write_vectors(
            self.staged.parent, self.about.exported, self.about.model.interface,
            seed=certificate.seed, cases=self.options.get("cases"), rows=self.rows,
        )  # fmt: skip
        final = replace(sealed(certificate, self.staged), vectors=vectors)
        write_certificate(final, self.staged.parent / "parity.json")
        self._write_companions()
        self._move()
        return final

    def _write_companions(self) -> None:
        """What `specc verify` needs in full: the spec and the weights."""
        from safetensors.torch import save_file

        from specc.runtime.atomic import write_json

        folder, fresh = self.path.parent, self.about.fresh
        if fresh or not (folder / SPEC).exists():
            write_json(self.staged.parent / SPEC, self.about.model.resolved(folder))
        if fresh or not (folder / WEIGHTS).exists():
            state = self.about.module.state_dict()
            save_file(
                {k: v.contiguous().clone() for k, v in state.items()}, self.staged.parent / WEIGHTS
            )

    def _move(self) -> None:
        """The model comes last, so that it never stands beside the proof of another one."""
        folder = self.path.parent
        self.path.unlink(missing_ok=True)
        for old in folder.glob("test_data_set_*"):
            shutil.rmtree(old)
        made = sorted(self.staged.parent.iterdir(), key=lambda p: p.name == self.path.name)
        for item in made:
            item.replace(folder / item.name)
        for stale in ("parity.failed.json", f"{self.path.stem}.failed{self.path.suffix}"):
            (folder / stale).unlink(missing_ok=True)


def model_metadata(about: Subject) -> dict[str, str]:
    """What the ONNX file says of itself: digest of the spec, sizes, columns, labels, licence."""
    model = about.model
    made = {
        "specc.version": version("specc"), "specc.name": model.name,
        "specc.dims": json.dumps([asdict(dim) for dim in model.interface.dims]),
        "specc.outputs": json.dumps(output_meanings(model, about.labels)),
    }  # fmt: skip
    if model.spec.section("data"):
        made["specc.columns"] = json.dumps(_input_columns(about))
        made["specc.labels"] = json.dumps(dict(about.labels))
    own = model.spec.section("export").get("metadata", {})
    return made | {key: str(text) for key, text in own.items()}


def _input_columns(about: Subject) -> dict[str, Any]:
    from specc.training.data import column_specs
    from specc.training.problems import TrainError

    try:
        columns = column_specs(
            about.model.section("data").get("columns", {}), about.model.interface
        )
    except TrainError:
        return {}
    names = {info.name for info in about.model.interface.inputs}
    return {name: column.to_json() for name, column in columns.items() if name in names}
