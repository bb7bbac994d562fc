"""`specc export --onnx`: lower, prove, and only then give the file its name."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.api.runs import SPEC, WEIGHTS, Subject, data_rows, is_run, misfits, read_object, subject
from specc.api.task import output_meanings
from specc.diagnostics.model import Diagnostic, SpeccError
from specc.parity.companions import VECTORS, Companions

if TYPE_CHECKING:
    import torch

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

    Beside the file, under the names of `Companions`: its certificate, test vectors, spec and
    weights. If the proof fails the file is left as `model.failed.onnx`, with its certificate.
    """
    about = subject(source, sets, runs, weights)
    path = target or about.folder / "model.onnx"
    if path.is_dir():
        hint = f"name a file, for example `{path / 'model.onnx'}`"
        raise SpeccError([Diagnostic("U803", f"`{path}` is a folder", hint=hint)])
    path.parent.mkdir(parents=True, exist_ok=True)
    return _proven(about, path, opset, progress)


def _proven(about: Subject, path: Path, opset: int | None, progress: Listener | None) -> Proof:
    staged = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        return _Export(about, path, staged / path.name, opset).run(progress)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


class _Export:
    """One export: everything is made in a folder of its own, and moved once it is proven."""

    def __init__(self, about: Subject, path: Path, staged: Path, opset: int | None) -> None:
        self.about, self.path, self.staged, self.opset = about, path, staged, opset
        self.final, self.made = Companions(path), Companions(staged)
        self.metadata = model_metadata(about)
        self.rows = data_rows(about.model)
        self.options = about.model.section("parity")

    def run(self, progress: Listener | None) -> Proof:
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
            return Proof(certificate, None, folder, self._keep_failed(certificate))
        return Proof(self._seal(certificate), self.path, folder)

    def resolved(self) -> bytes:
        """The spec as the certificate's digest sees it."""
        value = self.about.model.resolved(self.about.model.spec.base)
        return json.dumps(value, sort_keys=True).encode()

    def _keep_failed(self, certificate: Certificate) -> Path:
        from specc.parity.certificate import write_certificate
        from specc.parity.onnx_file import move_model
        from specc.runtime.atomic import alone_in

        with alone_in(self.path.parent):
            self._forget_failed()
            move_model(self.staged, self.final.failed_model)
            write_certificate(certificate, self.final.failed_proof)
        return self.final.failed_model

    def _forget_failed(self) -> None:
        model = self.final.failed_model
        for stale in (self.final.failed_proof, model, model.with_name(f"{model.name}.data")):
            stale.unlink(missing_ok=True)

    def _seal(self, certificate: Certificate) -> Certificate:
        """Put the proof into the file's metadata, write what goes beside it, and move it all."""
        from specc.parity.certificate import sealed, summary, write_certificate
        from specc.parity.vectors import write_vectors
        from specc.runtime.atomic import alone_in

        metadata = self.metadata | summary(certificate)
        state = self.about.exported.state_dict()
        self.about.model.save_onnx(self.staged, state, opset=self.opset, metadata=metadata)
        vectors = write_vectors(
            self.made.vectors, self.about.exported, self.about.model.interface,
            seed=certificate.seed, cases=self.options.get("cases"), rows=self.rows,
            chosen=[vector.case for vector in certificate.vectors], taken=self._foreign_vectors(),
        )  # fmt: skip
        final = replace(sealed(certificate, self.staged), vectors=vectors)
        write_certificate(final, self.made.proof)
        with alone_in(self.path.parent):
            self._write_companions()
            self._move()
        return final

    def _foreign_vectors(self) -> list[str]:
        """Folders that are called as test vectors are, and that no export of this model made."""
        found = [path.name for path in self.final.vectors.glob(f"{VECTORS}*")]
        return [name for name in found if name not in self.final.listed_vectors()]

    def _write_companions(self) -> None:
        """What `specc verify` needs in full: the spec and the weights.

        Those of a training run are never touched: what differs goes beside them.
        """
        from safetensors.torch import save_file

        from specc.runtime.atomic import write_json

        folder = self.path.parent
        value, state = self.about.model.resolved(folder), self.about.module.state_dict()
        spec = self._place(SPEC, self.made.own_spec, lambda path: read_object(path) == value)
        if spec:
            write_json(spec, value)
        weights = self._place(WEIGHTS, self.made.own_weights, lambda p: _holds(p, state))
        if weights:
            save_file({k: v.contiguous().clone() for k, v in state.items()}, weights)

    def _place(self, plain: str, own: Path, is_same: Callable[[Path], bool]) -> Path | None:
        """Where to write a companion; `None` where the run's own one is the same."""
        folder = self.path.parent
        if not self.final.is_plain:
            return own
        if is_run(folder) and (folder / plain).exists() and not is_same(folder / plain):
            return own
        (folder / own.name).unlink(missing_ok=True)
        return None if is_run(folder) and (folder / plain).exists() else own.with_name(plain)

    def _move(self) -> None:
        """The model comes last, so that it never stands beside the proof of another one."""
        folder = self.path.parent
        self.path.unlink(missing_ok=True)
        (folder / f"{self.path.name}.data").unlink(missing_ok=True)
        for name in self.final.listed_vectors():
            shutil.rmtree(self.final.vectors / name, ignore_errors=True)
        self.final.vectors.mkdir(exist_ok=True)
        for made in self.made.vectors.glob(f"{VECTORS}*"):
            made.replace(self.final.vectors / made.name)
        files = [path for path in self.staged.parent.iterdir() if path.is_file()]
        for file in sorted(files, key=lambda p: p.name == self.path.name):
            file.replace(folder / file.name)
        self._forget_failed()


def _holds(path: Path, state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a file holds these weights."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(path)
    except (SafetensorError, OSError):
        return False
    return not misfits(state, stored) and all(torch.equal(stored[n], state[n]) for n in stored)


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
