"""Element types and tensor types: what is known of a value before torch is imported."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from specc.ir.dims import Size

Shape = tuple[Size, ...]


class DType(Enum):
    """Element types, by PyTorch's names, with their rank in PyTorch's type promotion."""

    bool = "bool"
    uint8 = "uint8"
    int8 = "int8"
    int16 = "int16"
    int32 = "int32"
    int64 = "int64"
    float16 = "float16"
    bfloat16 = "bfloat16"
    float32 = "float32"
    float64 = "float64"

    @property
    def is_floating(self) -> builtins.bool:
        """Whether values are floating-point numbers."""
        return self.value.startswith(("float", "bfloat"))

    @property
    def is_integer(self) -> builtins.bool:
        """Whether values are integers (booleans are not)."""
        return self.value.startswith(("int", "uint"))

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        if self is DType.bool:
            return 1
        return int("".join(c for c in self.value if c.isdigit())) // 8

    def __str__(self) -> str:
        return self.value


def _category(dtype: DType) -> int:
    return 2 if dtype.is_floating else 1 if dtype.is_integer else 0


def promote(a: DType, b: DType) -> DType:
    """The element type of `a + b` for two tensors of at least one axis.

    Rules: https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
    """
    if a is b:
        return a
    if _category(a) != _category(b):
        return a if _category(a) > _category(b) else b
    if {a, b} == {DType.float16, DType.bfloat16}:
        return DType.float32
    if DType.uint8 in (a, b):
        other = b if a is DType.uint8 else a
        return DType.int16 if other is DType.int8 else other
    return a if a.itemsize > b.itemsize else b


class OpError(Exception):
    """An operator refuses its inputs or parameters.

    `param` names the parameter and `input` the argument that is to blame; whoever calls the
    operator turns that into a place in the spec.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        input: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.param, self.input, self.hint = param, input, hint


class TensorType(NamedTuple):
    """Element type and shape of a tensor; sizes are integers or symbolic `Dim`s.

    A number written in a formula has rank 0 and is `weak`: it does not decide the element
    type of a result, as in PyTorch.
    """

    dtype: DType
    shape: Shape
    weak: bool = False

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def numel(self) -> Size:
        """The number of elements."""
        total: Size = 1
        for size in self.shape:
            total = total * size
        return total

    @property
    def is_static(self) -> bool:
        """Whether every size is an integer."""
        return all(isinstance(size, int) for size in self.shape)

    def static(self, axis: int, what: str = "") -> int:
        """The size of an axis, which has to be known at compile time.

        Raises `OpError` where the axis does not exist or its size is symbolic.
        """
        if not -self.rank <= axis < self.rank:
            raise OpError("T402", f"there is no axis {axis} in {show_shape(self.shape)}")
        size = self.shape[axis]
        if isinstance(size, int):
            return size
        raise OpError(
            "T403",
            f"axis {axis % self.rank} of {show_shape(self.shape)} must have a fixed size"
            + (f": {what}" if what else ""),
            hint=f"write an integer instead of `{size}` in the input's shape",
        )

    def with_shape(self, *shape: Size) -> TensorType:
        """The same element type in another shape."""
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape with another element type."""
        return TensorType(dtype, self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}{show_shape(self.shape)}"


def result_type(*types: TensorType) -> DType:
    """The element type that PyTorch gives to an elementwise result of these operands.

    Tensors with axes decide before tensors of rank 0, and those before plain numbers; a
    lower group has a say only if its category (bool, integer, floating) is higher.
    """
    best: DType | None = None
    for group in (
        [t.dtype for t in types if t.rank and not t.weak],
        [t.dtype for t in types if not t.rank and not t.weak],
        [t.dtype for t in types if t.weak],
    ):
        level: DType | None = None
        for dtype in group:
            level = dtype if level is None else promote(level, dtype)
        if level and (best is None or _category(level) > _category(best)):
            best = level
    return best or DType.float32


def show_shape(shape: Sequence[Size]) -> str:
    """A shape as PyTorch users write it: `(batch, 64)`, `(10,)`."""
    inner = ", ".join(map(str, shape))
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
