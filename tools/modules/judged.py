"""One case through spec, generated module and ONNX Runtime, and what came of it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from modules.case import LAYER, Case, Expected, Outputs, doubled, flat

from specc.api.model import Model
from specc.diagnostics.model import SpeccError
from specc.ir.types import OpError
from specc.parity.runtimes.onnxruntime import open_session
from specc.runtime.build import build_module
from specc.targets.torch_source import class_name, torch_source

Outcome = Literal["equal", "within the bound", "refused", "failed", "no ONNX form", "original fails"]
PASSED: tuple[Outcome, ...] = ("equal", "within the bound", "no ONNX form")

OPSET = 20
STORED_ERROR = 2.0**-18
"""How far a stored float32 output may be from float64, relative to the largest value."""


@dataclass(frozen=True)
class Judged:
    """A case and its outcome; `reason` says why it did not pass, or has no ONNX form."""

    case: Case
    outcome: Outcome
    reason: str = ""


class _WrongError(Exception):
    """Results that are not those of the original."""


def judge(case: Case) -> Judged:
    """Run one case; no exception of ours or of PyTorch's leaves it."""
    try:
        expected = case.expected()
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        return Judged(case, "original fails", _line(error))
    try:
        model = case.model()
    except SpeccError as error:
        return Judged(case, "refused", _line(error))
    try:
        return _compared(case, model, expected)
    except _WrongError as error:
        return Judged(case, "failed", str(error))
    except Exception as error:  # whatever went wrong is the finding
        return Judged(case, "failed", f"{type(error).__name__}: {_line(error)}")


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _compared(case: Case, model: Model, expected: Expected) -> Judged:
    module = build_module(torch_source(model.graph), class_name(model.graph)).eval()
    _load(module, case)
    inputs = tuple(case.inputs.values())
    with torch.no_grad():
        ours = flat(module(*inputs))
        ref64 = expected.ref64 or flat(copy.deepcopy(module).double()(*doubled(inputs)))
    if expected.ref64 is None:
        _require_near(expected.torch32, ref64)
    equal = _require_same(ours, ref64, expected.torch32, "the generated module")
    try:
        data = model.to_onnx(module.state_dict(), opset=OPSET)
    except OpError as refusal:
        if refusal.code != "T407":
            raise
        return Judged(case, "no ONNX form", refusal.message)
    _require_same(_in_onnx_runtime(case, data), ref64, expected.torch32, "ONNX Runtime")
    return Judged(case, "equal" if equal else "within the bound")


def _load(module: torch.nn.Module, case: Case) -> None:
    wanted = {f"{LAYER}.{key}": value for key, value in case.state.items()}
    own = module.state_dict()
    if set(own) != set(wanted):
        raise _WrongError(f"weights are {sorted(own)}, not {sorted(wanted)}")
    module.load_state_dict(wanted)
    layer = getattr(module, LAYER, None)
    for name, value in case.inferred.items():
        found = getattr(layer, name, value)
        if found != value:
            raise _WrongError(f"`{name}` was inferred as {found}, not {value}")


def _in_onnx_runtime(case: Case, data: bytes) -> Outputs:
    session = open_session(data, "enable_all")
    known = {i.name for i in session.get_inputs()}
    feeds = {name: x.numpy() for name, x in case.inputs.items() if name in known}
    return tuple(torch.from_numpy(np.asarray(x)) for x in session.run(None, feeds))


def _require_near(stored: Sequence[torch.Tensor], ref64: Sequence[torch.Tensor]) -> None:
    """A stored output is no yardstick unless it is itself near."""
    for kept, exact in zip(stored, ref64, strict=True):
        limit = STORED_ERROR * float(exact.abs().max())
        if kept.shape != exact.shape or float((kept.double() - exact).abs().max()) > limit:
            raise _WrongError("the stored output is another one")


def _require_same(actual: Outputs, ref64: Outputs, torch32: Outputs, who: str) -> bool:
    """Whether all results are equal bit for bit; raises where one is beyond the bound."""
    if len(actual) != len(torch32):
        raise _WrongError(f"{who} has {len(actual)} results, not {len(torch32)}")
    equal = True
    for mine, exact, single in zip(actual, ref64, torch32, strict=True):
        if mine.dtype != single.dtype or mine.shape != single.shape:
            raise _WrongError(
                f"{who} gives {mine.dtype}{tuple(mine.shape)}, "
                f"not {single.dtype}{tuple(single.shape)}"
            )
        if torch.equal(torch.nan_to_num(mine), torch.nan_to_num(single)):
            continue
        equal = False
        _require_within(mine, exact, single, who)
    return equal


def _require_within(
    mine: torch.Tensor, exact: torch.Tensor, single: torch.Tensor, who: str
) -> None:
    """The bound of the parity proof for one case: four times PyTorch's own error."""
    if not mine.is_floating_point():
        raise _WrongError(f"{who}: {int((mine != single).sum())} of {mine.numel()} differ")
    finite = torch.isfinite(exact)
    if not torch.equal(mine[~finite].nan_to_num(), single[~finite].nan_to_num()):
        raise _WrongError(f"{who}: infinities differ")
    if not bool(finite.any()):
        return
    wide, scale = exact[finite].double(), float(exact[finite].abs().max())
    error = _largest(mine, finite, wide)
    bound = 4 * _largest(single, finite, wide) + 4 * 2.0**-24 * scale
    if not error <= bound:
        raise _WrongError(f"{who} is {error:.3g} off, over {bound:.3g}")


def _largest(values: torch.Tensor, where: torch.Tensor, wide: torch.Tensor) -> float:
    return float((values[where].double() - wide).abs().max())


def summary(judged: Sequence[Judged]) -> dict[str, Any]:
    """How many cases have which outcome."""
    counts: dict[str, int] = {}
    for one in judged:
        counts[one.outcome] = counts.get(one.outcome, 0) + 1
    return counts
