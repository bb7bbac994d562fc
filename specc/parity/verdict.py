"""From what the trials showed to one verdict, and what there is to say about it."""

from __future__ import annotations

from collections.abc import Sequence

from specc.parity.certificate import FamilyRecord, Verdict
from specc.parity.trial import TrialResult


def overall(results: Sequence[TrialResult], broken: bool, fresh: bool) -> tuple[Verdict, list[str]]:
    """The verdict and what there is to say about it.

    The given weights decide. Only where those of a fresh model are degenerate do the
    perturbed ones speak for it.
    """
    notes = [note for result in results for note in result.notes]
    if broken or not results or any(result.failed for result in results):
        return "fail", notes
    given, other = results[0], results[1] if len(results) > 1 else None
    notes += [f"with {r.weights} weights: {p}" for r in results for p in _doubts(r)]
    if fresh and other is None:
        notes.append("the model is untrained, and was not tried with other weights")
    if fresh and other and given.degenerate and not given.ill_conditioned:
        if _own_verdict(other) == "pass":
            notes.append("the given weights prove nothing; perturbed ones were proven instead")
        return _own_verdict(other), notes
    if other and any("input `" in problem for problem in other.degenerate):
        return _own_verdict(other), notes
    return _own_verdict(given), notes


def _doubts(result: TrialResult) -> list[str]:
    return [*result.ill_conditioned, *result.degenerate]


def _own_verdict(result: TrialResult) -> Verdict:
    if result.failed:
        return "fail"
    if result.ill_conditioned:
        return "ill_conditioned"
    return "degenerate" if result.degenerate else "pass"


def failures(result: TrialResult) -> list[str]:
    """What failed in a few words, each sort of problem once for every witness."""
    found: dict[tuple[str, str], str] = {}
    for case in result.cases:
        for problem in case.problems:
            text = f"{problem} ({case.name}, {case.witness}, {case.weights} weights)"
            found.setdefault((case.witness, _sort_of(problem)), text)
    for record in result.families:
        if record.rms_error > record.rms_bound:
            found.setdefault((record.witness, "rms"), _rms_text(record))
    return list(found.values())


def _sort_of(problem: str) -> str:
    return "".join(c for c in problem if c.isalpha())


def _rms_text(record: FamilyRecord) -> str:
    return (
        f"`{record.output}` is {record.rms_error:.3g} off on average, over {record.rms_bound:.3g}"
        f" ({record.family}, {record.witness}, {record.weights} weights)"
    )
