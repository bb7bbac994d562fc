"""`specc verify`: prove an exported model again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from specc.api.exporting import Listener, Proof
from specc.diagnostics.model import Diagnostic, SpeccError
from specc.parity.companions import Companions

if TYPE_CHECKING:
    import torch

    from specc.api.model import Model
    from specc.parity.certificate import Certificate
    from specc.parity.vectors import Proven


def verify(
    path: Path, spec: Path | None = None, weights: Path | None = None, *,
    vectors_only: bool = False, progress: Listener | None = None,
) -> Proof:  # fmt: skip
    """Prove `path` against its spec and weights, or against its test vectors without them.

    Spec and weights are looked for beside the model. Without both, torch is not imported. A
    model that is not the one of the certificate beside it fails.
    """
    if not path.is_file():
        raise SpeccError([Diagnostic("U807", f"no model `{path}`")])
    for given in (spec, weights):
        if given is not None and not given.is_file():
            raise SpeccError([Diagnostic("U807", f"no file `{given}`")])
    beside = Companions(path)
    found = spec or beside.spec, weights or beside.weights
    if vectors_only or not all(file.is_file() for file in found):
        from specc.parity.vectors import verify_vectors

        certificate = verify_vectors(path)
    else:
        certificate = _proven_again(path, *found, weights is None, progress)
    return Proof(certificate, path if certificate.verdict == "pass" else None, path.parent)


def _proven_again(
    path: Path, spec: Path, weights: Path, are_its_own: bool, progress: Listener | None
) -> Certificate:
    from specc.api.model import load
    from specc.api.runs import data_rows, exported_module, with_weights
    from specc.parity.vectors import changed_files, read_proof
    from specc.parity.verify import prove, weights_digest

    proof = read_proof(path)
    problems = list(changed_files(path, proof)[1])
    model = load(spec)
    module = exported_module(model, with_weights(model, weights))
    proven = proof.digests.get("weights") if proof else None
    same = proven == weights_digest(module)
    if proven and are_its_own and not same:
        problems.append(f"`{weights.name}` does not hold the proven weights")
    # A certificate of other files cannot say that these are untrained.
    fresh = proof is not None and proof.fresh and same and not problems
    certificate = prove(
        module, path, model.interface, rows=data_rows(model), options=model.section("parity"),
        progress=progress, graph=model.exported, fresh=fresh,
        reweight=_reweight(model, path) if fresh else None,
    )  # fmt: skip
    return _judged(certificate, problems, proof, Companions(path).proof.name)


def _reweight(model: Model, path: Path) -> Callable[[Mapping[str, torch.Tensor]], bytes]:
    from specc.parity.onnx_file import read_onnx

    opset = read_onnx(path).opset
    return lambda weights: model.to_onnx(weights, opset=opset)


def _judged(
    certificate: Certificate, problems: list[str], proof: Proven | None, name: str
) -> Certificate:
    """The certificate with what the older one has to say."""
    notes = list(certificate.notes)
    if proof is None:
        notes.append(f"there is no `{name}` to compare the file with")
    elif proof.verdict != "pass":
        notes.append(f"the model was not proven: its verdict is `{proof.verdict}`")
    return replace(
        certificate, notes=tuple(notes), failures=(*problems, *certificate.failures),
        verdict="fail" if problems else certificate.verdict,
    )  # fmt: skip
