"""Elements written at positions that a tensor holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from specc.ops.create import stored
from specc.ops.expand import onnx_expand
from specc.ops.gather import require_within
from specc.ops.index import limits, onnx_slice, require_indices
from specc.ops.kernels import NARROW, widened
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import axis, broadcast, require_rank

HALVES = frozenset({DType.float16, DType.bfloat16})
"""Types that ONNX Runtime cannot add up in ScatterElements."""


class _Scatter(Op):
    """Base of the operators that write into a copy of their input."""

    dim: int
    reduction: str | None = None

    def infer(self, input: TensorType, index: TensorType, src: TensorType) -> TensorType:
        at = axis(input, self.dim)
        require_indices(index, self.name, "index")
        require_within(self.name, index, input, at)
        if not src.weak:
            require_within(self.name, index, src)
            if src.dtype is not input.dtype:
                raise OpError(
                    "T404", f"`{self.name}` needs `src` of {input.dtype}, got {src.dtype}",
                    input="src",
                )  # fmt: skip
        return input

    def index_bounds(self, *types: TensorType | None) -> Mapping[str, tuple[int, int]]:
        return limits("index", types[0], self.dim)

    def torch(self, py: TorchWriter, input: Code, index: Code, src: Code) -> str:
        return f"{input.atom}.{self.name}({self.dim}, {index}, {src})"

    def onnx(self, g: OnnxBuilder, input: Ref, index: Ref, src: Ref) -> Ref:
        kind = input.type.with_shape(*index.type.shape)
        if src.type.weak:
            # A constant has no uint8 form where it is negative; a run-time Cast wraps it.
            dtype = DType.int32 if kind.dtype is DType.uint8 else kind.dtype
            src = g.cast(onnx_expand(g, g.cast(src, dtype), kind.with_dtype(dtype)), kind.dtype)
        else:
            pairs = zip(src.type.shape, index.type.shape, strict=True)
            cut = {at: (0, size) for at, (large, size) in enumerate(pairs) if large != size}
            src = onnx_slice(g, src, cut)
        return onnx_scatter(g, input, index, src, axis(input.type, self.dim), self.reduction)


def onnx_scatter(
    g: OnnxBuilder, x: Ref, index: Ref, src: Ref, at: int, reduction: str | None
) -> Ref:  # fmt: skip
    """One ScatterElements; sums of narrow integers wrap around as in PyTorch."""
    if reduction is None:
        return g.op("ScatterElements", x, index, src, axis=at)
    dtype = x.type.dtype
    used = DType.int32 if dtype in NARROW else DType.float32 if dtype in HALVES else dtype
    wide, added = g.cast(x, used), g.cast(src, used)
    made = g.op("ScatterElements", wide, index, added, axis=at, reduction=reduction)
    return g.cast(made, x.type.dtype)


@op("scatter")
class Scatter(_Scatter):
    """A copy of the input with `src` written to the positions that `index` holds.

    `y[i][index[i][j][k]][k] = src[i][j][k]` for `dim` 1; `src` may be a number. Where positions
    repeat, it is not defined which value stays.

    Shape: that of the input; `index` is at most as large as `src`, and as the input but along
    `dim`.
    """

    dim: int = param(doc="the axis that `index` counts along")

    check = "exact"
    scalars = ("src",)

    examples = (
        example("N 8", "int64<8: N 1", "N 1", dim=1),
        example("N 8", "int64<8: N T", dim=1, src=1.5),
        example("bool: 5 T", "int64<5: L T", dim=0, src=True),
        example("int64: N T 6", "int64<6: N T 1", "int64: N T 3", dim=-1),
        example("int64: N 8", "int64<8: N T", dim=1, src=-1),
    )


@op("scatter_add")
class ScatterAdd(_Scatter):
    """A copy of the input with `src` added at the positions that `index` holds.

    `y[i][index[i][j][k]][k] += src[i][j][k]` for `dim` 1.

    Shape: that of the input; `index` is at most as large as `src`, and as the input but along
    `dim`.
    """

    dim: int = param(doc="the axis that `index` counts along")

    reduction = "add"

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        index = inputs[1]
        assert index
        return index.numel

    examples = (
        example("N 8", "int64<8: N T", "N T", dim=1),
        example("int64: 5 T", "int64<5: L T", "int64: L T", dim=0),
        example("int8: N 8", "int64<8: N 2", "int8: N 3", dim=-1),
    )


@op("index_add")
class IndexAdd(Op):
    """A copy of the input with slices of `source` added at the positions that `index` holds.

    `y[:, index[j]] += alpha * source[:, j]` for `dim` 1.

    Shape: that of the input; `source` has the length of `index` along `dim`.
    """

    dim: int = param(doc="the axis that `index` counts along")
    alpha: int | float = param(default=1, doc="what `source` is multiplied with")

    def infer(self, input: TensorType, index: TensorType, source: TensorType) -> TensorType:
        at = axis(input, self.dim)
        require_indices(index, self.name, "index")
        require_rank(index, 1, name="index")
        wanted = input.with_shape(*input.shape[:at], index.shape[0], *input.shape[at + 1 :])
        if source != wanted:
            raise OpError("T401", f"`source` must be {wanted}, got {source}", input="source")
        if isinstance(self.alpha, float) and not input.dtype.is_floating:
            raise OpError("T404", f"`alpha` must be an integer for {input.dtype}", param="alpha")
        return input

    def index_bounds(self, *types: TensorType | None) -> Mapping[str, tuple[int, int]]:
        return limits("index", types[0], self.dim)

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        source = inputs[2]
        assert source
        return source.numel * (1 if self.alpha == 1 else 2)

    def torch(self, py: TorchWriter, input: Code, index: Code, source: Code) -> str:
        keywords = self.given("alpha")
        return py.call(f"{input.atom}.index_add", self.dim, index, source, **keywords)

    def onnx(self, g: OnnxBuilder, input: Ref, index: Ref, source: Ref) -> Ref:
        at = axis(input.type, self.dim)
        dtype = source.type.dtype
        if self.alpha != 1:
            source = widened(
                g, "Mul", source, g.const(self.alpha, dtype), type=source.type, dtype=dtype
            )
        shape = [1] * input.rank
        lifted = g.reshape(index, (*shape[:at], index.type.shape[0], *shape[at + 1 :]))
        where = onnx_expand(g, lifted, index.type.with_shape(*source.type.shape))
        return onnx_scatter(g, input, where, source, at, "add")

    examples = (
        example("N 8", "int64<8: T", "N T", dim=1),
        example("int64: N 8 T", "int32<8: L", "int64: N L T", dim=-2, alpha=3),
        example("5", "int64<5: L", "L", dim=0, alpha=0.5),
    )


@op("masked_fill")
class MaskedFill(Op):
    """A copy of the input with `value` wherever the mask is true.

    Shape: that of both, broadcast. The element type is the input's.
    """

    value: int | float | bool = param(doc="the number to put in")

    check = "exact"

    def infer(self, input: TensorType, mask: TensorType) -> TensorType:
        if mask.dtype is not DType.bool:
            raise OpError(
                "T404", f"`{self.name}` needs a bool mask, got {mask.dtype}", input="mask"
            )
        stored(self.value, input.dtype, "value")
        return input.with_shape(*broadcast(input.shape, mask.shape))

    def torch(self, py: TorchWriter, input: Code, mask: Code) -> str:
        return py.call(f"{input.atom}.masked_fill", mask, self.value)

    def onnx(self, g: OnnxBuilder, input: Ref, mask: Ref) -> Ref:
        out = self.infer(input.type, mask.type)
        used = DType.int32 if out.dtype in NARROW else out.dtype
        value = g.const(stored(self.value, out.dtype, "value"), used)
        filled = g.op("Where", mask, value, g.cast(input, used), type=out.with_dtype(used))
        return g.cast(filled, out.dtype)

    examples = (
        example("N T T", "bool: T T", value=float("-inf")),
        example("int64: N T", "bool: N T", value=-1),
        example("bool: N T", "bool: T", value=True),
        example("N 1", "bool: T", value=0),
        example("int8: N T", "bool: N 1", value=7),
    )


@op("one_hot")
class OneHot(Op):
    """For each class number, a vector with a 1 at its place and zeros elsewhere.

    Shape: `(*) -> (*, num_classes)`, `int64`.
    """

    num_classes: int = param(ge=1, doc="the number of classes")

    check = "exact"

    def infer(self, tensor: TensorType) -> TensorType:
        if tensor.dtype is not DType.int64:
            raise OpError("T404", f"`{self.name}` needs int64, got {tensor.dtype}", input="tensor")
        return tensor.with_shape(*tensor.shape, self.num_classes)

    def index_bounds(self, *_: TensorType | None) -> Mapping[str, tuple[int, int]]:
        return {"tensor": (0, self.num_classes)}

    def torch(self, py: TorchWriter, tensor: Code) -> str:
        return py.call("F.one_hot", tensor, self.num_classes)

    def onnx(self, g: OnnxBuilder, tensor: Ref) -> Ref:
        depth, values = g.const(self.num_classes), g.const([0, 1])
        return g.op("OneHot", tensor, depth, values, type=self.infer(tensor.type))

    examples = (example("int64<5: N", num_classes=5), example("int64<3: N T", num_classes=3))
