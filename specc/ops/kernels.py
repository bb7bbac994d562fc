"""Element types for which ONNX Runtime has no kernel pass through one that has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from specc.ops.op import DType, OnnxBuilder, Ref, TensorType

NARROW = frozenset({DType.bool, DType.uint8, DType.int8, DType.int16})
"""Types that ONNX Runtime's arithmetic kernels leave out; `int32` holds all their values."""


def widened(
    g: OnnxBuilder, op_type: str, *inputs: Ref | None, type: TensorType,
    dtype: DType, narrow: Collection[DType] = NARROW, wide: DType = DType.int32, **attributes: Any,
) -> Ref:  # fmt: skip
    """Add a node on inputs of `dtype`, computed in `wide` where `dtype` is one of `narrow`."""
    used = wide if dtype in narrow else dtype
    cast = [_cast(g, x, dtype, used) if x else None for x in inputs]
    made = type.with_dtype(used) if type.dtype is dtype else type
    return g.cast(g.op(op_type, *cast, type=made, **attributes), type.dtype)


def _cast(g: OnnxBuilder, x: Ref, dtype: DType, used: DType) -> Ref:
    # A number goes straight to the wide type: -1 has no uint8 form.
    return g.cast(x if x.type.weak else g.cast(x, dtype), used)
