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
        yield (
            f"closest to its bound: {worst.used:.0%}, at family `{worst.family}` of "
            f"`{worst.output}` (error {worst.max_error:.3g}, bound {worst.max_bound:.3g}, "
            f"PyTorch's own {worst.torch_max_error:.3g})"
        )
    if certificate.bounds.looser_than_default:
        yield "the bounds are looser than the default"
    yield from (f"note: {note}" for note in certificate.notes)
    yield from (f"failed: {failure}" for failure in certificate.failures[:10])
    if len(certificate.failures) > 10:
        yield f"… and {len(certificate.failures) - 10} more"
    yield from _divergence(certificate.divergence)
    if done.model:
        yield f"model: {done.model}"
    elif done.failed:
        yield f"the unproven file was left as {done.failed}"


def _divergence(found: Any) -> Iterator[str]:
    if found is None:
        return
    layer = f"layer `{found.layer}`" if found.layer else f"node `{found.node}`"
    where = f" ({found.source})" if found.source else ""
    yield f"first value that differs: `{found.value}`, {found.op_type} of {layer}{where}"
