"""Multi-head attention with its projections."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from specc.ops.attention import attention_flops, masked_softmax
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Outputs,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    Weights,
    example,
    op,
    param,
    weight,
)  # fmt: skip
from specc.ops.shapes import broadcast, product, require_rank, require_shape, same_dtype, same_size


class Axes(NamedTuple):
    """Sizes of one call; `batch` is empty where the inputs have no batch axis."""

    batch: tuple[Size, ...]
    length: Size
    keys: Size


@op("MultiheadAttention")
class MultiheadAttention(Op):
    """Attention in `num_heads` subspaces (https://arxiv.org/abs/1706.03762).

    Self-attention lists its input three times. Masks are bool, true where a query may *not*
    look, or floating and added to the scores: `attn_mask` of `(L, S)` or
    `(N * num_heads, L, S)`, `key_padding_mask` of `(N, S)`. `is_causal` only promises that
    `attn_mask` is the causal one.

    Shape: `(L, N, E), (S, N, K), (S, N, V) -> attn_output (L, N, E)`, with `batch_first`
    `(N, L, E)` and so on, or without a batch; `attn_output_weights (N, L, S)`, with one more
    axis `num_heads` unless averaged. `E`, `K` and `V` must be static.
    """

    num_heads: int = param(ge=1, doc="how many heads; they divide the size of the query")
    dropout: float = param(default=0.0, ge=0, le=1, doc="share of weights zeroed in training")
    bias: bool = param(default=True, doc="add learned biases to the projections")
    add_bias_kv: bool = param(default=False, doc="append a learned key and value")
    add_zero_attn: bool = param(default=False, doc="append a key and a value of zeros")
    batch_first: bool = param(default=False, doc="the batch is axis 0 instead of axis 1")
    need_weights: bool = param(default=True, doc="return `attn_output_weights` as well")
    average_attn_weights: bool = param(default=True, doc="mean of the weights over the heads")
    is_causal: bool = param(default=False, doc="hint that `attn_mask` is the causal mask")

    inferred = ("embed_dim", "kdim", "vdim")
    defaults: ClassVar[Mapping[str, Any]] = {"kdim": None, "vdim": None}

    # -- shapes -----------------------------------------------------------------------------

    def infer(
        self, query: TensorType, key: TensorType, value: TensorType,
        key_padding_mask: TensorType | None = None, attn_mask: TensorType | None = None,
    ) -> Outputs:  # fmt: skip
        width = query.static(-1, "it is split into heads")
        if width % self.num_heads:
            raise OpError(
                "T411", f"width {width} is no multiple of {self.num_heads} heads", param="num_heads"
            )
        axes = self._axes(query, key, value)
        self._check_masks(query, axes, key_padding_mask, attn_mask)
        if not self.need_weights:
            return query
        heads = () if self.average_attn_weights else (self.num_heads,)
        keys = axes.keys + self.add_bias_kv + self.add_zero_attn
        weights = query.with_shape(*axes.batch, *heads, axes.length, keys)
        return {"attn_output": query, "attn_output_weights": weights}

    def _axes(self, query: TensorType, key: TensorType, value: TensorType) -> Axes:
        require_rank(query, 2, 3, name=self.name)
        require_rank(key, query.rank, name=self.name)
        require_rank(value, query.rank, name=self.name)
        same_dtype(self.name, query, key, value)
        if not query.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {query.dtype}")
        key.static(-1), value.static(-1)
        at = int(query.rank == 3 and self.batch_first)
        keys = same_size(self.name, (key, at), (value, at))
        if query.rank == 2:
            return Axes((), query.shape[0], keys)
        batch = same_size(self.name, (query, 1 - at), (key, 1 - at), (value, 1 - at))
        return Axes((batch,), query.shape[at], keys)

    def _check_masks(
        self, query: TensorType, axes: Axes, padding: TensorType | None, mask: TensorType | None
    ) -> None:
        if self.is_causal and not mask:
            raise OpError(
                "S102", "`is_causal` needs `attn_mask`: it is a hint about the mask",
                param="is_causal",
            )  # fmt: skip
        scores = (axes.length, axes.keys)
        heads = (product((*axes.batch, self.num_heads)), *scores)
        if padding:
            self._check_mask("key_padding_mask", query, padding, ((*axes.batch, axes.keys),))
        if mask:
            self._check_mask("attn_mask", query, mask, (scores, heads))

    def _check_mask(
        self, name: str, query: TensorType, mask: TensorType, allowed: Sequence[tuple[Size, ...]]
    ) -> None:
        if mask.dtype not in (DType.bool, query.dtype):
            raise OpError(
                "T404", f"`{name}` is bool or {query.dtype}, got {mask.dtype}", input=name
            )
        require_shape(name, mask, *allowed)

    # -- weights ----------------------------------------------------------------------------

    def _is_packed(self, query: TensorType, key: TensorType, value: TensorType) -> bool:
        return query.shape[-1] == key.shape[-1] == value.shape[-1]

    def weights(self, query: TensorType, key: TensorType, value: TensorType, *_: object) -> Weights:
        width, dtype = query.static(-1), query.dtype
        if self._is_packed(query, key, value):
            yield weight("in_proj_weight", (3 * width, width), dtype)
        else:
            for letter, kind in zip("qkv", (query, key, value), strict=True):
                yield weight(f"{letter}_proj_weight", (width, kind.static(-1)), dtype)
        if self.bias:
            yield weight("in_proj_bias", (3 * width,), dtype)
        yield weight("out_proj.weight", (width, width), dtype)
        if self.bias:
            yield weight("out_proj.bias", (width,), dtype)
        if self.add_bias_kv:
            yield weight("bias_k", (1, 1, width), dtype)
            yield weight("bias_v", (1, 1, width), dtype)

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        query, key, value = inputs[:3]
        assert query and key and value
        axes, width = self._axes(query, key, value), query.shape[-1]
        batch = product(axes.batch)
        projections = axes.length * 2 * width + axes.keys * (key.shape[-1] + value.shape[-1])
        keys = axes.keys + self.add_bias_kv + self.add_zero_attn
        return batch * (2 * width * projections + attention_flops(axes.length * keys, width, width))

    # -- PyTorch ----------------------------------------------------------------------------

    def torch(
        self, py: TorchWriter, query: Code, key: Code, value: Code,
        key_padding_mask: Code | None = None, attn_mask: Code | None = None,
    ) -> str:  # fmt: skip
        width = query.type.static(-1)
        kdim, vdim = (x.type.static(-1) for x in (key, value))
        layer = py.layer(
            "nn.MultiheadAttention", embed_dim=width, num_heads=self.num_heads,
            **self.given("dropout", "bias", "add_bias_kv", "add_zero_attn"),
            kdim=None if kdim == width else kdim, vdim=None if vdim == width else vdim,
            **self.given("batch_first"),
        )  # fmt: skip
        masks = {"key_padding_mask": key_padding_mask, "attn_mask": attn_mask}
        keywords = {name: mask for name, mask in masks.items() if mask}
        keywords |= self.given("need_weights", "average_attn_weights", "is_causal")
        call = py.call(layer, query, key, value, **keywords)
        return call if self.need_weights else f"{call}[0]"

    # -- ONNX -------------------------------------------------------------------------------

    def onnx(
        self, g: OnnxBuilder, query: Ref, key: Ref, value: Ref,
        key_padding_mask: Ref | None = None, attn_mask: Ref | None = None,
    ) -> Ref | tuple[Ref, ...]:  # fmt: skip
        axes = self._axes(query.type, key.type, value.type)
        mask = self._mask(g, axes, query.type, key_padding_mask, attn_mask)
        q, k, v = self._projected(g, query, key, value)
        k, v = self._extended(g, axes, k, "bias_k"), self._extended(g, axes, v, "bias_v")
        if self._fits_one_node(g, query.type):
            return self._linear(g, self._one_node(g, q, k, v, self._whole(g, axes, mask)))
        q, v = self._heads(g, q), self._heads(g, v)
        scaled = g.op("Mul", q, g.const(1 / math.sqrt(q.type.static(-1)), q.type.dtype))
        kind = q.type.with_shape(*q.type.shape[:-1], v.type.shape[-2])
        scores = g.op("MatMul", scaled, self._heads(g, k, swapped=True), type=kind)
        weights = masked_softmax(g, scores, mask, zero_rows=not self.need_weights)
        merged = self._merged(g, g.op("MatMul", weights, v, type=q.type), query.type)
        result = self._linear(g, merged)
        return (result, self._averaged(g, weights)) if self.need_weights else result

    def _fits_one_node(self, g: OnnxBuilder, query: TensorType) -> bool:
        # The node gives zeros where PyTorch, asked for the weights as well, gives NaN.
        if self.need_weights or g.opset < 23:
            return False
        return query.rank == 3 and query.dtype is not DType.bfloat16

    def _one_node(self, g: OnnxBuilder, q: Ref, k: Ref, v: Ref, mask: Ref | None) -> Ref:
        heads: dict[str, Any] = {"q_num_heads": self.num_heads, "kv_num_heads": self.num_heads}
        if self.batch_first:
            return g.op("Attention", q, k, v, mask, **heads)
        batches = [g.transposed(x, 1, 0, 2) for x in (q, k, v)]
        return g.transposed(g.op("Attention", *batches, mask, **heads), 1, 0, 2)

    def _projected(self, g: OnnxBuilder, query: Ref, key: Ref, value: Ref) -> list[Ref]:
        width = query.type.static(-1)
        inputs = (query, key, value)
        bias = g.weight("in_proj_bias") if self.bias else None
        if query == key == value:
            matrix = g.transposed(g.weight("in_proj_weight"))
            return _split(g, _affine(g, query, matrix, bias), width)
        if self._is_packed(*(x.type for x in inputs)):
            matrices = _split(g, g.transposed(g.weight("in_proj_weight")), width)
        else:
            matrices = [g.transposed(g.weight(f"{letter}_proj_weight")) for letter in "qkv"]
        biases = _split(g, bias, width) if bias else [None] * 3
        return [_affine(g, *parts) for parts in zip(inputs, matrices, biases, strict=True)]

    def _extended(self, g: OnnxBuilder, axes: Axes, x: Ref, bias: str) -> Ref:
        """Keys or values with the learned one and the one of zeros behind them."""
        width = x.type.shape[-1]
        at = int(x.rank == 3 and self.batch_first)
        one = x.type.with_shape(*((*axes.batch, 1) if at else (1, *axes.batch)), width)
        parts = [x]
        if self.add_bias_kv:
            learned = g.reshape(g.weight(bias), (1,) * (x.rank - 1) + (width,))
            parts.append(g.op("Expand", learned, g.dims(one.shape), type=one))
        if self.add_zero_attn:
            parts.append(g.op("Expand", g.const(0.0, one.dtype), g.dims(one.shape), type=one))
        if len(parts) == 1:
            return x
        shape = list(x.type.shape)
        shape[at] = shape[at] + len(parts) - 1
        return g.op("Concat", *parts, axis=at, type=x.type.with_shape(*shape))

    def _heads(self, g: OnnxBuilder, x: Ref, *, swapped: bool = False) -> Ref:
        """`(N, heads, L, head)`, or without `N`; the last two exchanged for the keys."""
        *outer, width = x.type.shape
        split = g.reshape(x, (*outer, self.num_heads, width // self.num_heads))
        length = int(x.rank == 3 and self.batch_first)
        batch = (1 - length,) if x.rank == 3 else ()
        last = (x.rank, length) if swapped else (length, x.rank)
        return g.transposed(split, *batch, x.rank - 1, *last)

    def _merged(self, g: OnnxBuilder, x: Ref, out: TensorType) -> Ref:
        """The heads beside each other again."""
        if out.rank == 2:
            return g.reshape(g.transposed(x, 1, 0, 2), out.shape)
        order = (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)
        return g.reshape(g.transposed(x, *order), out.shape)

    def _linear(self, g: OnnxBuilder, x: Ref) -> Ref:
        bias = g.weight("out_proj.bias") if self.bias else None
        return _affine(g, x, g.transposed(g.weight("out_proj.weight")), bias)

    def _averaged(self, g: OnnxBuilder, weights: Ref) -> Ref:
        if not self.average_attn_weights:
            return weights
        *batch, _, length, keys = weights.type.shape
        kind = weights.type.with_shape(*batch, length, keys)
        if g.opset < 18:
            return g.op("ReduceMean", weights, axes=[-3], keepdims=0, type=kind)
        return g.op("ReduceMean", weights, g.const([-3]), keepdims=0, type=kind)

    # -- masks ------------------------------------------------------------------------------

    def _mask(
        self, g: OnnxBuilder, axes: Axes, query: TensorType, padding: Ref | None, mask: Ref | None
    ) -> Ref | None:
        """One mask to add, which broadcasts to the scores."""
        if padding and axes.batch:
            shape = padding.type.with_shape(axes.batch[0], 1, 1, axes.keys)
            padding = g.op("Unsqueeze", padding, g.const([1, 2]), type=shape)
        if mask and mask.rank == 3 and axes.batch:
            mask = g.reshape(mask, (*axes.batch, self.num_heads, axes.length, axes.keys))
        masks = [m for m in (mask, padding) if m]
        if not masks:
            return None
        if len({m.type.dtype for m in masks}) == 1:
            is_bool = masks[0].type.dtype is DType.bool
            joined = masks[0] if len(masks) == 1 else _joined(g, "Or" if is_bool else "Add", *masks)
            return self._padded(g, _additive(g, joined, query.dtype), axes)
        masks = [_additive(g, m, query.dtype) for m in masks]
        return self._padded(g, _joined(g, "Add", *masks), axes)

    def _padded(self, g: OnnxBuilder, mask: Ref, axes: Axes) -> Ref:
        """The mask with what `_extended` appends allowed."""
        extra = self.add_bias_kv + self.add_zero_attn
        if not extra:
            return mask
        kind = mask.type.with_shape(*mask.type.shape[:-1], axes.keys + extra)
        pads = [0] * (2 * mask.rank - 1) + [extra]
        return g.op("Pad", mask, g.const(pads), g.const(0.0, mask.type.dtype), type=kind)

    def _whole(self, g: OnnxBuilder, axes: Axes, mask: Ref | None) -> Ref | None:
        """The mask over all queries, which ONNX Runtime does not broadcast over."""
        if mask is None or mask.type.shape[-2] == axes.length:
            return mask
        shape = (*mask.type.shape[:-2], axes.length, mask.type.shape[-1])
        return g.op("Expand", mask, g.dims(shape), type=mask.type.with_shape(*shape))

    examples = (
        example("T N 8", "T N 8", "T N 8", num_heads=2),
        example(
            "N T 8", "N L 8", "N L 8", num_heads=2, batch_first=True, average_attn_weights=False
        ),
        example(
            "N T 8", "N L 6", "N L 5", num_heads=4, batch_first=True, bias=False, need_weights=False
        ),
        example("T 8", "L 8", "L 6", num_heads=2, dropout=0.1),
        example("N T 8", "N L 8", "N L 8", "bool: N L", "bool: T L", num_heads=2, batch_first=True),
        example(
            "N T 8",
            "N L 8",
            "N L 8",
            "bool: N L",
            "T L",
            num_heads=2,
            batch_first=True,
            need_weights=False,
            add_bias_kv=True,
            add_zero_attn=True,
        ),
        example("T N 8", "L N 8", "L N 8", "bool: N L", num_heads=2, need_weights=False),
        example("T 8", "L 8", "L 8", "L", "2 T L", num_heads=2, add_bias_kv=True),
        example(
            "3 T 8",
            "3 L 8",
            "3 L 8",
            "bool: 3 L",
            "bool: 6 T L",
            num_heads=2,
            batch_first=True,
            add_zero_attn=True,
        ),
    )


def _affine(g: OnnxBuilder, x: Ref, matrix: Ref, bias: Ref | None) -> Ref:
    made = g.op(
        "MatMul", x, matrix, type=x.type.with_shape(*x.type.shape[:-1], matrix.type.shape[-1])
    )
    return g.op("Add", made, bias) if bias else made


def _split(g: OnnxBuilder, x: Ref, width: int) -> list[Ref]:
    part = x.type.with_shape(*x.type.shape[:-1], width)
    return list(g.ops("Split", x, g.const([width] * 3), axis=-1, types=(part,) * 3))


def _joined(g: OnnxBuilder, op_type: str, a: Ref, b: Ref) -> Ref:
    return g.op(op_type, a, b, type=a.type.with_shape(*broadcast(a.type.shape, b.type.shape)))


def _additive(g: OnnxBuilder, mask: Ref, dtype: DType) -> Ref:
    if mask.type.dtype is dtype:
        return mask
    low, zero = g.const(float("-inf"), dtype), g.const(0.0, dtype)
    return g.op("Where", mask, low, zero, type=mask.type.with_dtype(dtype))
