"""Tensors that are made, not computed from others."""

from __future__ import annotations

import math
from typing import Any, Literal

from specc.ir.graph import Weight
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    Weights,
    example,
    op,
    param,
    weight,
)  # fmt: skip

DTypeName = Literal[
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"
]


@op("Parameter")
class Parameter(Op):
    """A learned tensor; the layer's own path is its name in the `state_dict`.

    Shape: `shape`. It starts with zeros unless `init` says otherwise.
    """

    shape: tuple[int, ...] = param(ge=0, doc="its sizes")

    check = "exact"

    def infer(self) -> TensorType:
        return TensorType(DType.float32, self.shape)

    def weights(self) -> Weights:
        yield weight("", self.shape)

    def torch(self, py: TorchWriter) -> str:
        return py.tensor(f"torch.zeros({', '.join(map(str, self.shape)) or '()'})")

    def onnx(self, g: OnnxBuilder) -> Ref:
        return g.weight("")

    examples = (example(shape=(1, 8)), example(shape=()), example(shape=(3,)))


_LARGEST = {DType.float16: 65504.0, DType.bfloat16: 3.39e38, DType.float32: 3.4028235e38}


def stored(value: Any, dtype: DType, param: str) -> Any:
    """A number as an element of this type; `OpError` where it does not fit.

    Negative numbers become `uint8` as in two's complement, which is what PyTorch makes of them.
    """
    if dtype is DType.bool:
        return bool(value)
    if dtype.is_floating:
        fits = not math.isfinite(value) or abs(value) <= _LARGEST.get(dtype, math.inf)
        number = float(value)
    else:
        fits = math.isfinite(value)
        number = int(value) if fits else 0
        half = 2 ** (8 * dtype.itemsize - 1)
        low, high = (1 - 2 * half, 2 * half) if dtype is DType.uint8 else (-half, half)
        fits = fits and low <= value < high
        number = number % high if dtype is DType.uint8 else number
    if not fits:
        raise OpError("T404", f"{value} does not fit into {dtype}", param=param)
    return number


def _flat(value: Any) -> list[Any]:
    return [x for item in value for x in _flat(item)] if isinstance(value, tuple) else [value]


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        return ()
    inner = {_sizes(item) for item in value}
    if len(inner) > 1:
        raise OpError("T401", "the lists of `value` differ in length", param="value")
    return (len(value), *next(iter(inner), ()))


def _lists(value: Any, dtype: DType | None = None, shape: tuple[int, ...] = ()) -> Any:
    """Nested lists, of elements of `dtype`; a number is repeated to fill `shape`."""
    if isinstance(value, tuple):
        return [_lists(item, dtype) for item in value]
    if shape:
        return [_lists(value, dtype, shape[1:]) for _ in range(shape[0])]
    return value if dtype is None else stored(value, dtype, "value")


@op("Buffer")
class Buffer(Op):
    """A constant tensor; the layer's own path is its name in the `state_dict`.

    Its values are listed, or computed from other constants when the model is made.

    Shape: that of the nested lists in `value`, or `shape` filled with the one number, or that of
    `source`.
    """

    value: int | float | bool | tuple[Any, ...] | None = param(
        default=None, doc="nested lists, or one number"
    )
    shape: tuple[int, ...] | None = param(default=None, ge=0, doc="sizes to fill with the number")
    dtype: DTypeName | None = param(
        default=None, doc="element type; default: `float32`, `int64` or `bool`, as the values are"
    )
    persistent: bool = param(default=True, doc="whether the `state_dict` holds it")

    check = "exact"

    def infer(self, source: TensorType | None = None) -> TensorType:
        if source:
            return self._computed(source)
        if self.value is None:
            raise OpError("S102", "`Buffer` needs `value`, or a constant in `from`")
        sizes = _sizes(self.value)
        if self.shape is not None and isinstance(self.value, tuple) and sizes != self.shape:
            raise OpError("T401", f"`value` has the sizes {sizes}", param="shape")
        dtype = self._dtype()
        for number in _flat(self.value):
            stored(number, dtype, "value")
        return TensorType(dtype, sizes if self.shape is None else self.shape)

    def _computed(self, source: TensorType) -> TensorType:
        for name in ("value", "shape"):
            if getattr(self, name) is not None:
                raise OpError("S104", f"`{name}` has no use beside `from`", param=name)
        for axis in range(source.rank):
            source.static(axis, "it is computed when the model is made")
        return source.with_dtype(DType(self.dtype)) if self.dtype else source

    def _dtype(self) -> DType:
        if self.dtype:
            return DType(self.dtype)
        kinds = {type(x) for x in _flat(self.value)}
        if not kinds <= {bool, int, float}:
            raise OpError("T404", "`value` may hold numbers only", param="value")
        if float in kinds or not kinds:
            return DType.float32
        return DType.int64 if int in kinds else DType.bool

    def weights(self, source: TensorType | None = None) -> Weights:
        yield Weight("", self.infer(source), is_buffer=True, persistent=self.persistent)

    def torch(self, py: TorchWriter, source: Code | None = None) -> str:
        if source:
            converted = f"{source.atom}.to(torch.{self.dtype})" if self.dtype else str(source)
            return py.tensor(converted, buffer=True, persistent=self.persistent)
        out = self.infer()
        dtype = {"dtype": f"torch.{out.dtype}"} if self._needs_dtype(out) else {}
        if self.shape is None or isinstance(self.value, tuple):
            initial = _call("torch.tensor", [literal_of(self.value)], dtype)
        else:
            initial = _call("torch.full", [repr(out.shape), literal_of(self.value)], dtype)
        return py.tensor(initial, buffer=True, persistent=self.persistent)

    def _needs_dtype(self, out: TensorType) -> bool:
        return self.dtype is not None and out.dtype is not Buffer(value=self.value)._dtype()

    def onnx(self, g: OnnxBuilder, source: Ref | None = None) -> Ref:
        if self.persistent:
            return g.weight("")
        if source:
            return g.cast(source, self.infer(source.type).dtype)
        dtype = self.infer().dtype
        return g.const(_lists(self.value, dtype, self.shape or ()), dtype)

    examples = (
        example(value=[[1.0, 2.5], [3.0, 4.0]]),
        example(value=[1, 2, 3]),
        example(value=[True, False]),
        example(value=0.5, shape=(2, 3)),
        example(value=[1, 0, 1], dtype="bool", persistent=False),
        example(value=2, shape=(3,), dtype="float32", persistent=False),
    )


def literal_of(value: Any) -> str:
    """Numbers and nested lists of them as Python."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(literal_of, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def _call(function: str, arguments: list[str], keywords: dict[str, str]) -> str:
    return f"{function}({', '.join([*arguments, *(f'{k}={v}' for k, v in keywords.items())])})"
