"""NaN and infinity: masks have to be equal, but for known differences of single operators."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from specc.parity.judge import Array, Mask

NAN, INF, NEG_INF, FINITE = "nan", "inf", "-inf", "finite"
_RUNTIMES = frozenset({"onnxruntime", "reference"})
_ORT = frozenset({"onnxruntime"})
_REFERENCE = frozenset({"reference"})
_LARGE = "inf scaled_large"


@dataclass(frozen=True)
class Exemption:
    """A known difference: where PyTorch gives `expected`, a runtime may give one of `got`.

    It holds for a model that has one of `op_types`. `got` is wider than what the operator gives,
    because the layers after it turn an infinity into anything.
    """

    op_types: frozenset[str]
    runtimes: frozenset[str]
    expected: str
    got: frozenset[str]
    reason: str
    families: frozenset[str] = frozenset()

    def applies(self, runtime: str, family: str, op_types: Collection[str]) -> bool:
        """Whether the model, the runtime and the family of inputs are those meant."""
        right_family = not self.families or family in self.families
        return runtime in self.runtimes and right_family and not self.op_types.isdisjoint(op_types)


def _entry(
    ops: str, runtimes: frozenset[str], expected: str, got: str, reason: str, families: str = ""
) -> Exemption:
    return Exemption(
        frozenset(ops.split()), runtimes, expected, frozenset(got.split()), reason,
        frozenset(families.split()),
    )  # fmt: skip


ANY = "finite nan inf -inf"
EXEMPTIONS = (
    _entry("MaxPool GlobalMaxPool", _RUNTIMES, NAN, ANY, "max pooling drops NaN", "nan inf"),
    _entry("ReduceMax ReduceMin", _ORT, NAN, ANY, "ReduceMax and ReduceMin drop NaN", "nan inf"),
    _entry("AveragePool", _REFERENCE, NAN, ANY, "average pooling drops NaN", "nan inf"),
    _entry("Gelu Erf", _RUNTIMES, NAN, ANY, "Gelu of infinity is infinity, not NaN", _LARGE),
    _entry("Gelu Erf HardSwish", _RUNTIMES, INF, ANY, "Gelu and HardSwish overflow later", _LARGE),
    _entry("LayerNormalization", _RUNTIMES, NAN, ANY, "LayerNormalization of huge values is 0",
           _LARGE),
    _entry("Sign", _RUNTIMES, FINITE, NAN, "Sign keeps NaN", "nan inf"),
    _entry("LogSoftmax", _REFERENCE, FINITE, NEG_INF, "LogSoftmax underflows before its log"),
    _entry("LSTM GRU", _ORT, NAN, ANY, "the gates of LSTM and GRU make a number of NaN", "nan"),
    _entry("Attention", _RUNTIMES, NAN, FINITE, "attention to nothing is 0", "masks"),
)  # fmt: skip
"""Differences seen in ONNX Runtime 1.32 and onnx 1.23; a test shows that each is still there."""


@dataclass(frozen=True)
class MaskFinding:
    """How many elements differ in kind without excuse, an example, and the excuses used."""

    differing: int
    example: str
    applied: tuple[str, ...]


def kinds(values: Array) -> dict[str, Mask]:
    """The elements of every kind."""
    wide = values.astype(np.float64)
    return {
        NAN: np.isnan(wide),
        INF: np.isposinf(wide),
        NEG_INF: np.isneginf(wide),
        FINITE: np.isfinite(wide),
    }


def compare_masks(
    actual: Array, torch32: Array, runtime: str, family: str, op_types: Collection[str]
) -> MaskFinding:
    """Compare where NaN and infinities are with PyTorch in float32.

    float64 is no reference here: it overflows later.
    """
    open_ended = [e for e in EXEMPTIONS if e.applies(runtime, family, op_types)]
    got, expected = kinds(actual), kinds(torch32)
    differing, example, applied = 0, "", []
    for wanted, where in expected.items():
        for found in got:
            count = int(np.count_nonzero(where & got[found])) if found != wanted else 0
            excuse = next((e for e in open_ended if e.expected == wanted and found in e.got), None)
            if count and excuse:
                applied.append(excuse.reason)
            elif count:
                differing += count
                example = f"{found} where PyTorch has {wanted}"
    return MaskFinding(differing, example, tuple(dict.fromkeys(applied)))
