"""How far the outputs of a witness are from the reference: in one case, and in a family."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from specc.parity.cases import Case
from specc.parity.certificate import (
    CaseRecord,
    CaseVerdict,
    FamilyRecord,
    OutputErrors,
    Weights,
)
from specc.parity.judge import (
    Array,
    Limit,
    Mask,
    Stats,
    Yardstick,
    discrete_differences,
    equal_predictions,
    errors,
    is_floating,
    pooled,
    structure,
)
from specc.parity.masks import compare_masks
from specc.parity.runtimes import Witness

MESSAGE_LENGTH = 400


@dataclass(frozen=True, eq=False)
class Results:
    """The reference of one case, and which of its elements rounding may decide."""

    ref64: Mapping[str, Array]
    torch32: Mapping[str, Array]
    undecided: Mapping[str, Mask]


@dataclass(frozen=True)
class OutputMeasure:
    """One output; `errors` is `None` where there is nothing to subtract."""

    output: str
    errors: Stats | None
    differing: int = 0
    exemptions: tuple[str, ...] = ()
    predictions: tuple[int, int] | None = None


@dataclass(frozen=True)
class Measured:
    """All outputs of one case, before any bound is known."""

    case: str
    family: str
    witness: str
    verdict: CaseVerdict
    outputs: tuple[OutputMeasure, ...] = ()
    problems: tuple[str, ...] = ()


def crash(case: Case, witness: str, error: Exception, model_path: Path) -> Measured:
    """A witness that did not finish, with the first line of what it said last.

    A certificate is passed on, so the folder of the model is left out of it.
    """
    text = str(error).replace(f"{model_path.parent}/", "")
    said = next((line for line in text.splitlines() if line.strip()), "")
    message = f"{type(error).__name__}: {said}"[:MESSAGE_LENGTH]
    return Measured(case.name, case.family, witness, "crashed", (), (message,))


def measure(
    case: Case,
    witness: Witness,
    outputs: Mapping[str, Array],
    reference: Results,
    op_types: Collection[str],
) -> Measured:
    """Structure first, then every output that has the right one."""
    problems = structure(reference.torch32, outputs)
    measures = []
    for name, torch32 in reference.torch32.items():
        actual, undecided = outputs.get(name), reference.undecided.get(name)
        if actual is None or actual.shape != torch32.shape or actual.dtype != torch32.dtype:
            measures.append(OutputMeasure(name, None))
            continue
        ref64 = reference.ref64[name]
        if not is_floating(torch32.dtype):
            differing = discrete_differences(actual, ref64, torch32, undecided)
            measures.append(OutputMeasure(name, Stats(), differing))
            if differing:
                problems.append(f"{differing} of {actual.size} elements of `{name}` are not equal")
            continue
        mask = compare_masks(actual, torch32, witness.runtime, case.family, op_types)
        if mask.differing:
            problems.append(f"`{name}` has {mask.example}, in {mask.differing} elements")
        found = errors(actual, ref64, torch32, undecided)
        same = equal_predictions(actual, torch32)
        measures.append(OutputMeasure(name, found, mask.differing, mask.applied, same))
    verdict: CaseVerdict = "fail" if problems else "pass"
    return Measured(case.name, case.family, witness.name, verdict, tuple(measures), tuple(problems))


def case_record(measured: Measured, weights: Weights, limits: Mapping[str, Limit]) -> CaseRecord:
    """The case for the certificate, now that the bounds of its family are known."""
    outputs = tuple(_output_errors(m, limits[m.output]) for m in measured.outputs)
    problems = [
        *measured.problems,
        *(_over(o) for o in outputs if o.max_error is not None and o.max_error > o.max_bound),
    ]
    verdict = "fail" if problems and measured.verdict == "pass" else measured.verdict
    return CaseRecord(
        measured.case, measured.family, weights, measured.witness, verdict, outputs,
        tuple(problems),
    )  # fmt: skip


def _over(errors: OutputErrors) -> str:
    return f"`{errors.output}` is {errors.max_error:.3g} off, over {errors.max_bound:.3g}"


def _output_errors(measured: OutputMeasure, limit: Limit) -> OutputErrors:
    errors = measured.errors
    return OutputErrors(
        measured.output,
        errors.peak if errors else None,
        errors.rms if errors else None,
        limit.max,
        limit.rms,
        measured.differing,
    )


def family_record(
    measured: Sequence[Measured],
    output: str,
    weights: Weights,
    limit: Limit,
    own: Yardstick,
    undecided: int = 0,
    exemptions: Sequence[str] = (),
) -> FamilyRecord:
    """One output of one witness over a family."""
    family, found = (
        measured[0].family,
        [m for c in measured for m in c.outputs if m.output == output],
    )
    pool = pooled(m.errors for m in found if m.errors)
    wrong = any(m.differing or m.errors is None for m in found)
    predictions = [m.predictions for m in found if m.predictions and family == "data"]
    rows = sum(total for _, total in predictions)
    return FamilyRecord(
        family, weights, measured[0].witness, output,
        "pass" if limit.allows(pool) and not wrong else "fail",
        own.scale.peak, own.error.peak, own.error.rms, pool.peak, pool.rms,
        limit.max, limit.rms, limit.used(pool), undecided,
        sum(same for same, _ in predictions) / rows if rows else None,
        tuple(dict.fromkeys([*exemptions, *(reason for m in found for reason in m.exemptions)])),
    )  # fmt: skip
