"""The whole proof of one model, from which the certificate is made."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from specc.ir.graph import Graph, Interface
from specc.parity.ablation import idle_inputs
from specc.parity.cases import Case, CaseMaker, Rows
from specc.parity.certificate import (
    BoundsRecord,
    CaseRecord,
    Certificate,
    Divergence,
    VectorSet,
    WitnessRecord,
    versions,
)
from specc.parity.judge import Bounds
from specc.parity.locate import locate
from specc.parity.onnx_file import digests, read_onnx
from specc.parity.perturb import perturbed
from specc.parity.reference import Reference
from specc.parity.runtimes import Witness, default_witnesses
from specc.parity.signature import signature_problems
from specc.parity.trial import Trial
from specc.parity.vector_sets import chosen_cases
from specc.parity.verdict import failures, overall

Reweight = Callable[[Mapping[str, torch.Tensor]], "Path | bytes"]
Progress = Callable[[int, int, str], None]


FAILURES_LISTED = 20


def prove(
    module: torch.nn.Module,
    model: Path | bytes,
    interface: Interface,
    *,
    rows: Rows | None = None,
    fresh: bool = False,
    reweight: Reweight | None = None,
    options: Mapping[str, Any] | None = None,
    spec: bytes | None = None,
    graph: Graph | None = None,
    witnesses: Sequence[Witness] | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Compare an ONNX model with the module it was made from.

    `options` is the spec's `parity`. A `fresh` model is tried with other weights too, put
    into the ONNX model by `reweight`. With the `graph` that the module was compiled from, a
    difference is traced to its layer. A failed proof is a certificate, never an exception.
    """
    settings = options or {}
    maker = CaseMaker(interface, settings.get("seed", 0), settings.get("cases"), rows)
    asked = [w for w in witnesses or default_witnesses() if w.available()]
    with tempfile.TemporaryDirectory() as scratch:
        proof = _Proof(
            maker, Bounds(**settings.get("bounds", {})), asked, Path(scratch), fresh,
            _Counter(progress, maker, 2 if fresh and reweight else 1), graph,
        )  # fmt: skip
        return proof.run(module, model, reweight, spec)


class _Counter:
    """Turns steps into progress."""

    def __init__(self, report: Progress | None, maker: CaseMaker, trials: int) -> None:
        self._report, self._done = report, 0
        self._total = trials * sum(maker.count_of(f) for f in maker.families()) if report else 0

    def __call__(self, label: str) -> None:
        if self._report:
            self._report(self._done, self._total, label)
        self._done += 1


@dataclass
class _Proof:
    maker: CaseMaker
    bounds: Bounds
    witnesses: Sequence[Witness]
    scratch: Path
    fresh: bool
    step: Callable[[str], None]
    graph: Graph | None

    def run(
        self,
        module: torch.nn.Module,
        model: Path | bytes,
        reweight: Reweight | None,
        spec: bytes | None,
    ) -> Certificate:
        path = self._on_disk(model, "model.onnx")
        sums = {"weights": weights_digest(module)}
        if spec is not None:
            sums["spec"] = hashlib.sha256(spec).hexdigest()
        try:
            sums |= digests(path)
            trials = [self._trial("given", module, path)]
            if self.fresh and reweight:
                other = perturbed(module, self.maker.seed)
                path = self._on_disk(reweight(other.state_dict()), "perturbed.onnx")
                trials.append(self._trial("perturbed", other, path))
        except Exception as error:  # a file that cannot be read is a failed proof, not a crash
            return self._certificate(sums, [], [f"{type(error).__name__}: {error}"[:400]], None)
        for trial in trials:
            trial.run()
        last = trials[-1]
        problems, notes = idle_inputs(last.reference, self.maker, last.file)
        last.result.degenerate += problems
        last.result.notes += notes
        broken = signature_problems(self.maker.interface, trials[0].file)
        return self._certificate(sums, trials, broken, self._divergence(trials))

    def _on_disk(self, model: Path | bytes, name: str) -> Path:
        if isinstance(model, Path):
            return model
        path = self.scratch / name
        path.write_bytes(model)
        return path

    def _trial(self, weights: Any, module: torch.nn.Module, path: Path) -> Trial:
        reference = Reference(module, self.maker.interface)
        return Trial(
            weights, reference, path, read_onnx(path), self.maker, self.witnesses, self.bounds,
            self.step,
        )  # fmt: skip

    def _divergence(self, trials: Sequence[Trial]) -> Divergence | None:
        for trial in trials:
            case = _case_to_look_at(trial)
            if case is None:
                continue
            try:
                return locate(trial.reference, trial.model_path, case, self.bounds, self.graph)
            except Exception as error:
                trial.result.notes.append(f"the difference was not located: {error}"[:200])
        return None

    def _certificate(
        self,
        sums: Mapping[str, str],
        trials: Sequence[Trial],
        broken: Sequence[str],
        divergence: Divergence | None,
    ) -> Certificate:
        results = [trial.result for trial in trials]
        messages = [*broken, *(m for r in results for m in failures(r))]
        verdict, remarks = overall(results, bool(broken), self.fresh)
        cases = tuple(case for result in results for case in result.cases)
        refused = {name for result in results for name in result.refused}
        return Certificate(
            verdict, self.fresh, self.maker.seed,
            BoundsRecord(self.bounds.max, self.bounds.rms, self.bounds.is_looser),
            sums, versions("specc", "torch", "onnxruntime", "onnx", "numpy"),
            tuple(_witness_record(w, cases) for w in self.witnesses),
            tuple(messages[:FAILURES_LISTED]),
            tuple(dict.fromkeys([*self._remarks(), *remarks])),
            divergence,
            tuple(family for result in results for family in result.families),
            cases,
            tuple(VectorSet(f"test_data_set_{i}", case.name, case.family)
                  for i, case in enumerate(chosen_cases(self.maker, refused))),
        )  # fmt: skip

    def _remarks(self) -> list[str]:
        if not self.bounds.is_looser:
            return []
        given = f"max {self.bounds.max:g}, rms {self.bounds.rms:g}"
        return [f"the bounds were made looser: {given} instead of {Bounds.max:g}, {Bounds.rms:g}"]


def _case_to_look_at(trial: Trial) -> Case | None:
    """The first failing case that ONNX Runtime finished."""
    names = [c.name for c in trial.result.cases if c.verdict == "fail" and c.outputs]
    families = {f.family for f in trial.result.families if f.verdict == "fail"}
    names += [c.name for c in trial.result.cases if c.family in families and c.outputs]
    return trial.maker.case(names[0]) if names else None


def _witness_record(witness: Witness, cases: Sequence[CaseRecord]) -> WitnessRecord:
    return WitnessRecord(
        witness.name, witness.version, sum(case.witness == witness.name for case in cases)
    )


def weights_digest(module: torch.nn.Module) -> str:
    """A digest of the weights' names, types, shapes and values, in the order of their names."""
    made = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        made.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        made.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return made.hexdigest()
