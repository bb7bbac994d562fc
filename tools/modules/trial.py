"""One case through spec, generated module and ONNX Runtime: how far the results are off."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch

from modules.case import LAYER, Case, Expected, Outputs, doubled, flat
from specc.api.model import Model
from specc.diagnostics.model import SpeccError
from specc.ir.types import OpError
from specc.parity.judge import Array, Mask, Stats, Yardstick, errors, is_floating, yardstick
from specc.parity.runtimes.onnxruntime import open_session
from specc.runtime.build import build_module
from specc.targets.torch_source import class_name, torch_source

Outcome = Literal["passed", "no ONNX form", "refused", "failed", "original fails"]

OPSET = 20
STORED_ERROR = 2.0**-18
"""How far a stored float32 output may be from float64, relative to the largest value."""


@dataclass(frozen=True)
class Measure:
    """One floating output of one side: its errors, and PyTorch's own as the yardstick."""

    who: str
    dtype: np.dtype[np.generic]
    errors: Stats
    yardstick: Yardstick


@dataclass
class Trial:
    """What is known of a case before the bounds are: an outcome, or measures to be judged.

    `same_source` says whether the generated module's results are the original's bit for bit.
    """

    case: Case
    outcome: Outcome | None = None
    reason: str = ""
    measures: list[Measure] = field(default_factory=list)
    same_source: bool = False


class WrongError(Exception):
    """Results that are not those of the original."""


def tried(case: Case, opset: int = OPSET) -> Trial:
    """Run one case; what goes wrong on the way is its outcome, never an exception."""
    trial = Trial(case)
    try:
        with plainly():
            expected = case.expected()
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        return Trial(case, "original fails", _line(error))
    try:
        with plainly():
            _run(trial, case.model(), expected, opset)
    except SpeccError as error:
        trial.outcome, trial.reason = "refused", _line(error)
    except WrongError as error:
        trial.outcome, trial.reason = "failed", str(error)
    except Exception as error:  # whatever went wrong is the finding
        trial.outcome, trial.reason = "failed", f"{type(error).__name__}: {_line(error)}"
    return trial


@contextmanager
def plainly() -> Iterator[None]:
    """PyTorch without gradients, and without the fused paths that round in another order."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _run(trial: Trial, model: Model, expected: Expected, opset: int) -> None:
    case = trial.case
    module = build_module(torch_source(model.graph), class_name(model.graph)).eval()
    _load(module, case)
    inputs = tuple(case.inputs.values())
    ours = flat(module(*inputs))
    ref64 = expected.ref64 or flat(copy.deepcopy(module).double()(*doubled(inputs)))
    if expected.ref64 is None:
        _require_near(expected.torch32, ref64)
    trial.measures += compared("the generated module", ours, ref64, expected.torch32)
    trial.same_source = not trial.measures
    try:
        data = model.to_onnx(module.state_dict(), opset=opset)
    except OpError as refusal:
        if refusal.code != "T407":
            raise
        trial.outcome, trial.reason = "no ONNX form", refusal.message
    else:
        results = _in_onnx_runtime(case, data)
        trial.measures += compared("ONNX Runtime", results, ref64, expected.torch32)


def _load(module: torch.nn.Module, case: Case) -> None:
    own = module.state_dict()
    if set(own) != set(case.state):
        raise WrongError(f"weights are {sorted(own)}, not {sorted(case.state)}")
    module.load_state_dict(case.state)
    layer = getattr(module, LAYER, None)
    for name, value in case.inferred.items():
        found = getattr(layer, name, value)
        if found != value:
            raise WrongError(f"`{name}` was inferred as {found}, not {value}")


def _in_onnx_runtime(case: Case, data: bytes) -> Outputs:
    session = open_session(data, "enable_all")
    known = {i.name for i in session.get_inputs()}
    feeds = {name: x.numpy() for name, x in case.inputs.items() if name in known}
    return tuple(torch.from_numpy(np.asarray(x)) for x in session.run(None, feeds))


def _require_near(stored: Sequence[torch.Tensor], ref64: Sequence[torch.Tensor]) -> None:
    """A stored output is no yardstick unless it is itself near."""
    for kept, exact in zip(stored, ref64, strict=True):
        if kept.shape != exact.shape:
            raise WrongError(f"the shape is {tuple(exact.shape)}, not {tuple(kept.shape)}")
        off = float((kept.double() - exact).abs().max())
        if not off <= STORED_ERROR * float(exact.abs().max()):
            raise WrongError(f"the stored output is {off:.3g} away")


def compared(who: str, actual: Outputs, ref64: Outputs, torch32: Outputs) -> list[Measure]:
    """Structure, exact values and infinities now; the errors of floating outputs to be judged."""
    if len(actual) != len(torch32):
        raise WrongError(f"{who} has {len(actual)} results, not {len(torch32)}")
    found = []
    for mine, exact, single in zip(actual, ref64, torch32, strict=True):
        arrays = [np.asarray(t.detach().numpy()) for t in (mine, exact, single)]
        _require_alike(who, arrays[0], arrays[2])
        if not is_floating(arrays[0].dtype) or np.array_equal(arrays[0], arrays[2], equal_nan=True):
            continue
        yard = yardstick(arrays[1], arrays[2])
        found.append(Measure(who, arrays[0].dtype, errors(*arrays), yard))
    return found


def _require_alike(who: str, mine: Array, single: Array) -> None:
    if mine.dtype != single.dtype or mine.shape != single.shape:
        raise WrongError(
            f"{who} gives {mine.dtype.name}{mine.shape}, not {single.dtype.name}{single.shape}"
        )
    odd = ~np.isfinite(single.astype(np.float64)) | ~np.isfinite(mine.astype(np.float64))
    if not is_floating(mine.dtype):
        odd = np.ones(mine.shape, dtype=np.bool_)
    differing = odd & (mine != single) & ~(_is_nan(mine) & _is_nan(single))
    if differing.any():
        raise WrongError(f"{who} has {mine[differing][0]} where {single[differing][0]} is right")


def _is_nan(values: Array) -> Mask:
    found: Mask = np.isnan(values.astype(np.float64))
    return found
