"""`specc verify`: prove an exported model again."""

from __future__ import annotations

from pathlib import Path

from specc.api.exporting import Listener, Proof
from specc.api.runs import SPEC, WEIGHTS
from specc.diagnostics.model import Diagnostic, SpeccError


def verify(
    path: Path, spec: Path | None = None, weights: Path | None = None, *,
    vectors_only: bool = False, progress: Listener | None = None,
) -> Proof:  # fmt: skip
    """Prove `path` against its spec and weights, or against its test vectors without them.

    Spec and weights are looked for beside the model. Without both, torch is not imported.
    """
    if not path.is_file():
        raise SpeccError([Diagnostic("U807", f"no model `{path}`")])
    spec_path, weights_path = spec or path.parent / SPEC, weights or path.parent / WEIGHTS
    for given in (spec, weights):
        if given is not None and not given.is_file():
            raise SpeccError([Diagnostic("U807", f"no file `{given}`")])
    if vectors_only or not (spec_path.is_file() and weights_path.is_file()):
        from specc.parity.vectors import verify_vectors

        return Proof(verify_vectors(path), path, path.parent)
    from specc.api.model import load
    from specc.api.runs import data_rows, exported_module, with_weights
    from specc.parity.verify import prove

    model = load(spec_path)
    certificate = prove(
        exported_module(model, with_weights(model, weights_path)), path, model.interface,
        rows=data_rows(model),
        options=model.section("parity"), progress=progress,
        graph=model.exported,
    )  # fmt: skip
    return Proof(certificate, path, path.parent)
