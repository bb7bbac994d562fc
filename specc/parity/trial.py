"""One set of weights: every family of inputs through PyTorch and every witness, and judged."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from specc.parity.accuracy import Coarse, coarse
from specc.parity.cases import NORMAL_LIKE, REPEATING, Case, CaseMaker
from specc.parity.certificate import CaseRecord, FamilyRecord, Weights
from specc.parity.judge import (
    ILL_CONDITIONED,
    LOTTERY_MULTIPLE,
    Bounds,
    Limit,
    Stats,
    Variation,
    Yardstick,
    yardstick,
)
from specc.parity.measure import (
    Measured,
    Results,
    case_record,
    crash,
    family_record,
    measure,
)
from specc.parity.onnx_file import OnnxFile
from specc.parity.reference import Reference
from specc.parity.runtimes import Witness

SLOW = 10.0
"""Seconds after which a witness that is only asked about few families is not asked again."""

BAD_VALUE = re.compile(r"out of (bounds|range)|ZeroDivision|division by zero", re.IGNORECASE)
"""What PyTorch says of values that it does not take."""

Step = Callable[[str], None]


@dataclass
class TrialResult:
    """What one set of weights showed."""

    weights: Weights
    families: list[FamilyRecord] = field(default_factory=list)
    cases: list[CaseRecord] = field(default_factory=list)
    ill_conditioned: list[str] = field(default_factory=list)
    degenerate: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Cases whose values PyTorch does not take."""

    @property
    def failed(self) -> bool:
        """Whether any comparison did not pass."""
        verdicts = [*(r.verdict for r in self.families), *(c.verdict for c in self.cases)]
        return any(verdict != "pass" for verdict in verdicts)


@dataclass
class _Pool:
    """What is known of a family so far."""

    yardsticks: dict[str, Yardstick] = field(default_factory=dict)
    dtypes: dict[str, np.dtype[np.generic]] = field(default_factory=dict)
    undecided: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    elements: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    measured: list[Measured] = field(default_factory=list)
    refused: list[tuple[Case, Exception]] = field(default_factory=list)

    def add(self, results: Results) -> None:
        for name, torch32 in results.torch32.items():
            mask = results.undecided.get(name)
            made = yardstick(results.ref64[name], torch32, mask)
            before = self.yardsticks.get(name, Yardstick(Stats(), Stats()))
            self.yardsticks[name] = before + made
            self.dtypes[name] = torch32.dtype
            self.elements[name] += torch32.size
            self.undecided[name] += int(mask.sum()) if mask is not None else 0


@dataclass
class Trial:
    """Runs every case of a `CaseMaker` on one set of weights."""

    weights: Weights
    reference: Reference
    model_path: Path
    file: OnnxFile
    maker: CaseMaker
    witnesses: Sequence[Witness]
    bounds: Bounds
    step: Step = lambda _: None

    def __post_init__(self) -> None:
        self._typical: dict[str, Yardstick] = {}
        self._variations: dict[str, Variation] = defaultdict(Variation)
        self._tired: set[str] = set()
        self.result = TrialResult(self.weights)

    def run(self) -> TrialResult:
        """Every family, then what the normal-like ones say of the model itself."""
        for family in self.maker.families():
            pool = _Pool()
            for case in self.maker.cases(family):
                self.step(f"{case.name}, {self.weights} weights")
                self._run_case(case, pool)
            if pool.refused:
                self._leave_out(family, pool)
            if family == "normal":
                self._typical = pool.yardsticks
            self._judge(family, pool)
            self._condition(family, pool)
        for name, variation in self._variations.items():
            if variation.problem and self._is_constant(name):
                self.result.notes.append(f"`{name}` depends on no input")
            elif variation.problem:
                self.result.degenerate.append(f"`{name}` {variation.problem}")
        return self.result

    def _is_constant(self, output: str) -> bool:
        """Whether nothing that goes in can change it, in a model that computes something else."""
        depends = self.file.depends
        return output in depends and not depends[output] and any(depends.values())

    def _leave_out(self, family: str, pool: _Pool) -> None:
        """Cases that PyTorch refuses prove nothing, unless none of normal values is left."""
        if family == "normal" and not pool.yardsticks:
            case, error = pool.refused[0]
            pool.measured.append(crash(case, "pytorch", error, self.model_path))
            self.result.notes.append("`low` and `high` of an input bound the values it is given")
            return
        self.result.refused += [case.name for case, _ in pool.refused]
        named = ", ".join(f"`{case.name}`" for case, _ in pool.refused[:3])
        named += f" and {len(pool.refused) - 3} more" if len(pool.refused) > 3 else ""
        reason = str(pool.refused[0][1]).strip().partition("\n")[0]
        text = f"left out, for PyTorch refuses its values: {named} ({reason})"
        self.result.notes.append(text[:400])

    def _run_case(self, case: Case, pool: _Pool) -> None:
        try:
            results = self.reference.run(case.feeds)
        except Exception as error:
            if isinstance(error, IndexError) or BAD_VALUE.search(str(error)):
                pool.refused.append((case, error))
            else:
                pool.measured.append(crash(case, "pytorch", error, self.model_path))
            return
        pool.add(results)
        if case.family in NORMAL_LIKE:
            for name, value in results.ref64.items():
                self._variations[name].add(value, results.torch32[name].dtype)
        for witness in self._asked(case.family):
            pool.measured.append(self._ask(witness, case, results))

    def _asked(self, family: str) -> Iterator[Witness]:
        for witness in self.witnesses:
            wanted = witness.families is None or family in witness.families
            if wanted and witness.name not in self._tired:
                yield witness

    def _ask(self, witness: Witness, case: Case, results: Results) -> Measured:
        start = time.monotonic()
        try:
            outputs = witness.run(self.model_path, case.feeds)
        except Exception as error:
            return crash(case, witness.name, error, self.model_path)
        if witness.families is not None and time.monotonic() - start > SLOW:
            self._tired.add(witness.name)
            self.result.notes.append(f"`{witness.name}` took over {SLOW:g} s and was asked no more")
        return measure(case, witness, outputs, results, self.file.op_types)

    def _judge(self, family: str, pool: _Pool) -> None:
        by_witness: dict[str, list[Measured]] = defaultdict(list)
        for measured in pool.measured:
            by_witness[measured.witness].append(measured)
        runtimes = {witness.name: witness.runtime for witness in self.witnesses}
        for name, found in by_witness.items():
            known = coarse(runtimes.get(name, ""), family, self.file.op_types)
            limits = {n: self._limit(family, n, pool, known) for n in pool.yardsticks}
            self.result.cases += [case_record(m, self.weights, limits) for m in found]
            if any(m.outputs for m in found):
                self._judge_family(found, limits, pool, [known.reason] if known else [])

    def _judge_family(
        self, found: list[Measured], limits: dict[str, Limit], pool: _Pool, reasons: list[str]
    ) -> None:
        for name, limit in limits.items():
            record = family_record(
                found, name, self.weights, limit, pool.yardsticks[name],
                pool.undecided[name], reasons,
            )  # fmt: skip
            self.result.families.append(record)
            if pool.yardsticks[name].is_lottery and 1 >= record.used > 1 / LOTTERY_MULTIPLE:
                self._inconclusive(record)

    def _inconclusive(self, record: FamilyRecord) -> None:
        """Over the plain bound, but by no more than luck explains."""
        text = f"a few elements make up the error of `{record.output}`: {record.max_error:.3g}"
        if record.family in NORMAL_LIKE:
            self.result.ill_conditioned.append(f"{text} ({record.family})")
        else:
            self.result.notes.append(f"{text} ({record.family}, {self.weights} weights)")

    def _limit(self, family: str, output: str, pool: _Pool, known: Coarse | None) -> Limit:
        if output in self.file.copied and self._is_constant(output):
            return Limit(own_error := pool.yardsticks[output].error.peak, own_error)
        own, dtype = pool.yardsticks[output], pool.dtypes[output]
        typical = self._typical.get(output, own)
        limit = own.limit(dtype, self.bounds, typical if family in REPEATING else own)
        limit = limit.times(LOTTERY_MULTIPLE) if own.is_lottery else limit
        return limit | typical.limit(dtype, self.bounds, typical) if known else limit

    def _condition(self, family: str, pool: _Pool) -> None:
        for name, own in pool.yardsticks.items():
            text = ""
            if own.relative_error > ILL_CONDITIONED:
                text = f"float32 PyTorch is {own.relative_error:.1%} off float64 in `{name}`"
            elif 2 * pool.undecided[name] > pool.elements[name]:
                text = f"rounding may decide most of `{name}`"
            if text and family in NORMAL_LIKE:
                self.result.ill_conditioned.append(f"{text} ({family})")
            elif text:
                self.result.notes.append(f"{text} ({family}, {self.weights} weights)")
