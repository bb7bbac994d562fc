"""A proof without PyTorch: a model against the test vectors that lie beside it.

The vectors hold PyTorch's float32 results, so the bound of `parity.json` is widened by
PyTorch's own error: `|actual - torch32| <= |actual - ref64| + |ref64 - torch32|`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.parity.cases import Case, CaseMaker, Rows
from specc.parity.certificate import (
    BoundsRecord,
    CaseRecord,
    Certificate,
    FamilyRecord,
    VectorSet,
    WitnessRecord,
    versions,
)
from specc.parity.companions import VECTORS, Companions
from specc.parity.judge import Array, Bounds, Limit, Yardstick, unit_roundoff, yardstick
from specc.parity.measure import Measured, Results, case_record, crash, family_record, measure
from specc.parity.onnx_file import digests, read_onnx
from specc.parity.runtimes import Witness, default_witnesses
from specc.parity.vector_sets import chosen_cases, read_set, set_folders, write_set

if TYPE_CHECKING:
    import torch

    from specc.ir.graph import Interface

SOURCE_FAMILY = "vectors"


def write_vectors(
    folder: Path,
    module: torch.nn.Module,
    interface: Interface,
    *,
    seed: int = 0,
    cases: int | None = None,
    rows: Rows | None = None,
    chosen: Sequence[str] | None = None,
    taken: Collection[str] = (),
) -> tuple[VectorSet, ...]:
    """Write the test vectors of a model into a folder, with PyTorch's float32 results.

    `seed`, `cases` and `rows` are those of the proof, `chosen` the cases that its certificate
    names. `taken` are the names of folders that belong to somebody else.
    """
    from specc.parity.reference import Reference

    reference, written = Reference(module, interface), []
    free = (name for i in count() if (name := f"{VECTORS}{i}") not in taken)
    maker = CaseMaker(interface, seed, cases, rows)
    for case in chosen_cases(maker) if chosen is None else map(maker.case, chosen):
        name = next(free)
        write_set(folder / name, case.feeds, reference.single(case.feeds))
        written.append(VectorSet(name, case.name, case.family))
    return tuple(written)


def verify_vectors(model_path: Path, witnesses: Sequence[Witness] | None = None) -> Certificate:
    """Prove a model again from what lies beside it.

    Raises `SpeccError` P708 where there are no vectors, P705 where a file is damaged. A model
    that is not the one of `parity.json` fails.
    """
    proof = read_proof(model_path)
    folders = set_folders(model_path)
    if not folders:
        where = "" if Companions(model_path).is_plain else f"{Companions(model_path).vectors.name}/"
        raise _refuse("P708", f"no `{where}{VECTORS}0` beside `{model_path.name}`")
    asked = [w for w in witnesses or default_witnesses() if w.available()]
    return _Recheck(model_path, proof, asked).run(folders)


def _refuse(code: str, message: str) -> SpeccError:
    return SpeccError([Diagnostic(code, message)])


@dataclass(frozen=True)
class Proven:
    """What a certificate says that is needed to prove its model again."""

    verdict: str = ""
    fresh: bool = False
    seed: int = 0
    bounds: BoundsRecord = field(
        default_factory=lambda: BoundsRecord(Bounds.max, Bounds.rms, False)
    )
    digests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[tuple[str, str], float] = field(default_factory=dict)
    vectors: Mapping[str, VectorSet] = field(default_factory=dict)


def read_proof(model_path: Path) -> Proven | None:
    """The certificate beside a model, if there is one; raises `SpeccError` P705 if damaged."""
    path = Companions(model_path).proof
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
        return Proven(
            str(found["verdict"]), bool(found["fresh"]), int(found["seed"]),
            BoundsRecord(**found["bounds"]), dict(found["digests"]),
            {
                (record["family"], record["output"]):
                    float(record["max_bound"]) + float(record["torch_max_error"])
                for record in found["families"] if record["weights"] == "given"
            },
            {record["folder"]: VectorSet(**record) for record in found["vectors"]},
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refuse("P705", f"`{path.name}` is damaged: {error}") from error


def changed_files(model_path: Path, proof: Proven | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """The digests of the model's files, and which of them are not those that were proven."""
    try:
        sums = digests(model_path)
    except Exception as error:
        raise _refuse("P705", f"`{model_path.name}` is damaged: {error}") from error
    proven = proof.digests if proof else {}
    changed = [k for k in sums if k in proven and sums[k] != proven[k]]
    lost = [k for k in proven if k.startswith("onnx") and k not in sums]
    problems = [f"`{_file_of(k, model_path)}` is not the proven file" for k in changed]
    problems += [f"`{_file_of(k, model_path)}` is missing" for k in lost]
    return {**proven, **sums}, tuple(problems)


@dataclass
class _Recheck:
    model_path: Path
    proof: Proven | None
    witnesses: Sequence[Witness]

    def run(self, folders: Sequence[Path]) -> Certificate:
        sums, broken = changed_files(self.model_path, self.proof)
        broken += tuple(f"`{f.name}` is missing" for f in folders if not f.is_dir())
        folders = [folder for folder in folders if folder.is_dir()]
        self._op_types = read_onnx(self.model_path).op_types
        self._reduced = _added_up(self.model_path)
        proof = self.proof or Proven()
        cases: list[CaseRecord] = []
        families: list[FamilyRecord] = []
        sets = []
        for folder in folders:
            default = VectorSet(folder.name, folder.name, SOURCE_FAMILY)
            sets.append(proof.vectors.get(folder.name, default))
            self._set(folder, sets[-1], cases, families)
        verdicts = [*(case.verdict for case in cases), *(family.verdict for family in families)]
        failed = broken or any(verdict != "pass" for verdict in verdicts)
        return Certificate(
            "fail" if failed else "pass", proof.fresh, proof.seed, proof.bounds,
            sums, versions("specc", "onnxruntime", "onnx", "numpy"),
            tuple(WitnessRecord(w.name, w.version, len(folders)) for w in self.witnesses),
            (*broken, *(f"{p} ({c.name}, {c.witness})" for c in cases for p in c.problems)),
            self._notes(), None, tuple(families), tuple(cases), tuple(sets),
        )  # fmt: skip

    def _notes(self) -> tuple[str, ...]:
        notes = ["compared with stored float32 results of PyTorch, not with float64"]
        if not self.proof:
            name = Companions(self.model_path).proof.name
            notes.append(f"there is no `{name}`, so the bound is an estimate from the weights")
        elif self.proof.verdict != "pass":
            notes.append(f"the model was not proven: its verdict is `{self.proof.verdict}`")
        return tuple(notes)

    def _set(
        self,
        folder: Path,
        known: VectorSet,
        cases: list[CaseRecord],
        families: list[FamilyRecord],
    ) -> None:
        try:
            feeds, expected = read_set(folder)
        except ValueError as error:
            raise _refuse("P705", str(error)) from error
        results, case = Results(expected, expected, {}), Case(known.case, known.family, feeds)
        own = {name: yardstick(value, value) for name, value in expected.items()}
        limits = {n: self._limit(known.family, n, v, own[n]) for n, v in expected.items()}
        for witness in self.witnesses:
            measured = self._ask(witness, case, results)
            cases.append(case_record(measured, "given", limits))
            if measured.outputs:
                families += [family_record([measured], n, "given", limits[n], own[n]) for n in own]

    def _ask(self, witness: Witness, case: Case, results: Results) -> Measured:
        try:
            outputs = witness.run(self.model_path, case.feeds)
        except Exception as error:
            return crash(case, witness.name, error, self.model_path)
        return measure(case, witness, outputs, results, self._op_types)

    def _limit(self, family: str, output: str, value: Array, own: Yardstick) -> Limit:
        """The bound on the largest error that was used, PyTorch's error added, or an estimate.

        The estimate takes `sqrt(n)*u*s` for PyTorch's error, the growth with the `n` numbers
        that are added up on the way (Ipsen and Zhou, arXiv 1906.10465). One case is no pool, so
        the mean error is only held to the same bound.
        """
        known = self.proof.limits.get((family, output)) if self.proof else None
        if known is None:
            error = math.sqrt(self._reduced) * unit_roundoff(value.dtype) * own.scale.peak
            floor = 4 * unit_roundoff(value.dtype) * own.scale.peak
            known = (Bounds.max + 1) * error + floor
        return Limit(known, known)


def _file_of(key: str, model_path: Path) -> str:
    return key.partition(":")[2] or model_path.name


def _added_up(model_path: Path) -> int:
    """How many products every output is the sum of, layer after layer."""
    graph = onnx.load(model_path, load_external_data=False).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    weights = [shapes[n] for node in graph.node for n in node.input if len(shapes.get(n, ())) > 1]
    total = 1 + sum(math.prod(shape) // max(1, min(shape[0], shape[-1])) for shape in weights)
    return int(total)
