"""A certificate as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VERDICTS = {
    "pass": "proven", "fail": "NOT PROVEN", "ill_conditioned": "not proven: ill-conditioned",
    "degenerate": "not proven: degenerate",
}  # fmt: skip


def certificate_lines(done: Any) -> Iterator[str]:
    """Verdict, witnesses, the comparison closest to its bound, and what failed."""
    certificate = done.certificate
    witnesses = ", ".join(f"{w.name} {w.version}" for w in certificate.witnesses)
    yield f"{VERDICTS[certificate.verdict]}: {len(certificate.cases)} comparisons by {witnesses}"
    worst = certificate.worst
    if worst:
        yield _closest(worst)
    if certificate.bounds.looser_than_default:
        yield "the bounds are looser than the default"
    yield from (f"note: {note}" for note in certificate.notes)
    yield from (f"failed: {failure}" for failure in certificate.failures[:10])
    if len(certificate.failures) > 10:
        yield f"… and {len(certificate.failures) - 10} more"
    yield from _divergence(certificate.divergence)
    if done.proven and done.model:
        yield f"model: {done.model}"
    elif done.failed:
        yield f"the unproven file was left as {done.failed}"


def _closest(worst: Any) -> str:
    """The errors that the share is about: the largest one, or the mean."""
    of_max = worst.max_error / worst.max_bound if worst.max_bound else 0.0
    of_rms = worst.rms_error / worst.rms_bound if worst.rms_bound else 0.0
    shown = ("error", worst.max_error, worst.max_bound, worst.torch_max_error)
    if of_rms > of_max:
        shown = ("rms error", worst.rms_error, worst.rms_bound, worst.torch_rms_error)
    kind, error, bound, own = shown
    title = "furthest over its bound" if worst.used > 1 else "closest to its bound"
    return (
        f"{title}: {worst.used:.0%}, at family `{worst.family}` of `{worst.output}` "
        f"({kind} {error:.3g}, bound {bound:.3g}, PyTorch's own {own:.3g})"
    )


def _divergence(found: Any) -> Iterator[str]:
    if found is None:
        return
    layer = f"layer `{found.layer}`" if found.layer else f"node `{found.node}`"
    where = f" ({found.source})" if found.source else ""
    yield f"first value that differs: `{found.value}`, {found.op_type} of {layer}{where}"
