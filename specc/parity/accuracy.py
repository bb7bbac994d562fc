"""Known differences in accuracy: kernels that are coarser than rounding explains."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Coarse:
    """Operators whose error does not shrink with small inputs, though the result does.

    In the families named, the bound of the normal family holds where it is the wider one.
    """

    op_types: frozenset[str]
    runtimes: frozenset[str]
    families: frozenset[str]
    reason: str


KNOWN = (
    Coarse(
        frozenset({"Elu", "Selu", "Celu"}),
        frozenset({"onnxruntime"}),
        frozenset({"scaled_small", "denormals"}),
        "Elu near zero is exp(x) - 1, in which digits cancel",
    ),
)
"""Differences seen in ONNX Runtime 1.32; a test shows that each is still there."""


def coarse(runtime: str, family: str, op_types: Collection[str]) -> Coarse | None:
    """The known difference that applies, if there is one."""
    for known in KNOWN:
        right_place = runtime in known.runtimes and family in known.families
        if right_place and not known.op_types.isdisjoint(op_types):
            return known
    return None
