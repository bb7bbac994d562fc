"""The certificate: what was compared, how far apart it was, and the verdict (`parity.json`)."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from specc.parity.onnx_file import digests
from specc.runtime.atomic import write_bytes

PARITY_VERSION = 1
"""The version of the format of `parity.json`."""
FILE_NAME = "parity.json"

Verdict = Literal["pass", "fail", "ill_conditioned", "degenerate"]
CaseVerdict = Literal["pass", "fail", "crashed"]
Weights = Literal["given", "perturbed"]


@dataclass(frozen=True)
class OutputErrors:
    """The errors of one output in one case; `None` where shapes do not let them be computed."""

    output: str
    max_error: float | None
    rms_error: float | None
    max_bound: float
    rms_bound: float
    differing: int = 0
    """Elements of a discrete output, or NaN and infinities, that are not equal."""


@dataclass(frozen=True)
class CaseRecord:
    """One case as one witness computed it."""

    name: str
    family: str
    weights: Weights
    witness: str
    verdict: CaseVerdict
    outputs: tuple[OutputErrors, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class FamilyRecord:
    """One output over all cases of a family: where the bound is applied."""

    family: str
    weights: Weights
    witness: str
    output: str
    verdict: CaseVerdict
    scale: float
    torch_max_error: float
    torch_rms_error: float
    max_error: float
    rms_error: float
    max_bound: float
    rms_bound: float
    used: float
    """The larger share of a bound that is used up; above 1 fails."""
    undecided: int = 0
    """Discrete elements left out because rounding may decide them."""
    equal_predictions: float | None = None
    exemptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class WitnessRecord:
    """A runtime that was asked."""

    name: str
    version: str
    cases: int


@dataclass(frozen=True)
class BoundsRecord:
    """The multiples of PyTorch's own error that were allowed."""

    max: float
    rms: float
    looser_than_default: bool


@dataclass(frozen=True)
class Divergence:
    """The first value that differs, and where in the model and in the spec it comes from."""

    value: str
    layer: str | None
    node: str
    op_type: str
    after: str | None
    """The last layer before it that agrees."""
    error: float
    bound: float
    case: str
    compared_with: Literal["pytorch", "reference"]
    pointer: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class VectorSet:
    """A folder of test vectors beside the model, and the case that is in it."""

    folder: str
    case: str
    family: str


@dataclass(frozen=True)
class Certificate:
    """All that a proof found out."""

    verdict: Verdict
    fresh: bool
    seed: int
    bounds: BoundsRecord
    digests: Mapping[str, str]
    versions: Mapping[str, str]
    witnesses: tuple[WitnessRecord, ...] = ()
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    divergence: Divergence | None = None
    families: tuple[FamilyRecord, ...] = ()
    cases: tuple[CaseRecord, ...] = ()
    vectors: tuple[VectorSet, ...] = ()
    specc_parity: int = field(default=PARITY_VERSION)

    @property
    def worst(self) -> FamilyRecord | None:
        """The comparison that comes closest to its bound, or passes it the furthest."""
        return max(self.families, key=lambda record: record.used, default=None)

    @property
    def crashed(self) -> bool:
        """Whether any witness did not finish."""
        return any(case.verdict == "crashed" for case in self.cases)

    def as_json(self) -> dict[str, Any]:
        """The content of `parity.json`."""
        record = asdict(self)
        return {key: _finite(record[key]) for key in ("specc_parity", *record)}


def _finite(value: Any) -> Any:
    """JSON has no infinity; one in a certificate means that nothing could be computed."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def write_certificate(certificate: Certificate, path: Path) -> None:
    """Write `parity.json`, under a temporary name first."""
    text = json.dumps(certificate.as_json(), indent=1, allow_nan=False, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())


def summary(certificate: Certificate) -> dict[str, str]:
    """What the ONNX file's own metadata says of its proof."""
    worst = certificate.worst
    made = {
        "specc.parity.verdict": certificate.verdict,
        "specc.parity.cases": str(len(certificate.cases)),
        "specc.parity.witnesses": ", ".join(f"{w.name} {w.version}" for w in certificate.witnesses),
        "specc.parity.bounds": f"max {certificate.bounds.max:g}, rms {certificate.bounds.rms:g}",
    }
    if worst:
        made["specc.parity.worst"] = f"{worst.used:.3g} of the bound ({worst.family})"
    kept = ("spec", "weights")
    return made | {
        f"specc.{k}.sha256": certificate.digests[k] for k in kept if k in certificate.digests
    }


def sealed(certificate: Certificate, model_path: Path) -> Certificate:
    """The certificate with the digests of the file as it is now, its metadata put in."""
    others = {k: v for k, v in certificate.digests.items() if k.partition(":")[0] != "onnx"}
    return replace(certificate, digests=others | digests(model_path))


def versions(*packages: str) -> dict[str, str]:
    """The installed versions of packages, and Python's."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
