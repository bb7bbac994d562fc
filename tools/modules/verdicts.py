"""Which cases pass, once the rounding of their whole class is known; and the table of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from modules.case import Case
from modules.refused import Refusals
from modules.trial import OPSET, Outcome, Trial, tried
from specc.parity.judge import Bounds, Stats, Yardstick


@dataclass(frozen=True)
class Verdict:
    """A case and its outcome; `reason` says why it did not pass, or has no ONNX form."""

    case: Case
    outcome: Outcome
    reason: str = ""
    same_source: bool = False
    """Whether the generated module's results are the original's bit for bit."""
    same_onnx: bool = False
    """Whether those of ONNX Runtime are, too."""


def verdicts(cases: Iterable[Case], opset: int = OPSET) -> list[Verdict]:
    """Run all cases; the errors are judged beside those of their neighbours of one class."""
    trials = [tried(case, opset) for case in cases]
    found: list[Verdict] = []
    for _, group in groupby(trials, key=lambda trial: trial.case.module):
        members = list(group)
        typical = _typical(members)
        found += [_verdict(trial, typical) for trial in members]
    return found


def _typical(trials: Sequence[Trial]) -> Yardstick:
    """PyTorch's usual error in this class: in a few numbers it may be lucky."""
    worst = Yardstick(Stats(), Stats())
    for measure in (m for trial in trials for m in trial.measures):
        if measure.yardstick.relative_error >= worst.relative_error:
            worst = measure.yardstick
    return worst


def _verdict(trial: Trial, typical: Yardstick) -> Verdict:
    if trial.outcome in ("original fails", "refused", "failed"):
        return Verdict(trial.case, trial.outcome, trial.reason)
    for measure in trial.measures:
        limit = measure.yardstick.limit(measure.dtype, Bounds(), typical)
        if not limit.allows(measure.errors):
            off = f"{measure.errors.peak:.3g} off (rms {measure.errors.rms:.3g})"
            over = f"over {limit.max:.3g} (rms {limit.rms:.3g})"
            return Verdict(trial.case, "failed", f"{measure.who} is {off}, {over}")
    outcome = trial.outcome or "passed"
    return Verdict(trial.case, outcome, trial.reason, trial.same_source, not trial.measures)


def unexplained(found: Iterable[Verdict], refusals: Refusals) -> list[Verdict]:
    """Those that neither pass nor stand in the reasoned table."""
    return [v for v in found if v.outcome != "passed" and not _explained(v, refusals)]


def _explained(verdict: Verdict, refusals: Refusals) -> bool:
    if verdict.outcome == "no ONNX form":
        return refusals.onnx_reason(verdict.case.module) is not None
    return verdict.outcome == "refused" and refusals.case_reason(verdict.reason) is not None


def table(title: str, found: Sequence[Verdict], refusals: Refusals) -> str:
    """The numbers of one table, and every reason with its count."""
    counts = Counter(v.outcome for v in found)
    passed = [v for v in found if v.outcome == "passed"]
    lines = [
        f"{title}: {len(found)} cases of {len({v.case.module for v in found})} modules",
        f"  pass     {len(passed):5}   bit for bit: the generated module in "
        f"{sum(v.same_source for v in passed)}, ONNX Runtime in {sum(v.same_onnx for v in passed)}",
        f"  refused  {counts['refused'] + counts['no ONNX form']:5}",
        *_reasons(v for v in found if v.outcome in ("refused", "no ONNX form")),
        f"  fail     {counts['failed'] + counts['original fails']:5}",
        *_reasons(v for v in found if v.outcome in ("failed", "original fails")),
        f"  neither passed nor in the reasoned table: {len(unexplained(found, refusals))}",
    ]
    return "\n".join(lines)


def _reasons(found: Iterable[Verdict]) -> list[str]:
    counts = Counter((v.case.module, v.outcome, v.reason) for v in found)
    return [f"      {n:5}   {name}, {out}: {reason}" for (name, out, reason), n in counts.items()]
