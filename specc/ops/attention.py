"""Scaled dot-product attention."""

from __future__ import annotations

import math
from collections.abc import Sequence

from specc.ir.types import show_shape
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Raw,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import broadcast, same_dtype, same_size


def attention_flops(scores: Size, key_dim: Size, value_dim: Size) -> Size:
    """Operations of the two matrix products, which is what PyTorch's flop counter counts."""
    return 2 * scores * (key_dim + value_dim)


def masked_softmax(g: OnnxBuilder, scores: Ref, mask: Ref | None, *, zero_rows: bool) -> Ref:
    """Softmax over the last axis of the scores that a mask (bool, or added) leaves.

    A row that is masked as a whole is NaN, or zero with `zero_rows`.
    """
    if mask is None:
        return g.op("Softmax", scores, axis=-1)
    low = g.const(float("-inf"), scores.type.dtype)
    added = mask
    if mask.type.dtype is DType.bool:
        # Added, as PyTorch does it, so that NaN stays NaN even where it is masked.
        zero = g.const(0.0, scores.type.dtype)
        added = g.op("Where", mask, zero, low, type=mask.type.with_dtype(scores.type.dtype))
    scores = g.op("Add", scores, added)
    weights = g.op("Softmax", scores, axis=-1)
    if not zero_rows:
        return weights
    # What is masked is zero already, except in rows that are masked as a whole.
    zero = g.const(0.0, scores.type.dtype)
    if mask.type.dtype is DType.bool:
        return g.op("Where", mask, weights, zero, type=scores.type)
    masked = g.op("Equal", scores, low, type=scores.type.with_dtype(DType.bool))
    return g.op("Where", masked, zero, weights, type=scores.type)


def causal_mask(g: OnnxBuilder, rows: Size, columns: Size, dtype: DType) -> Ref:
    """A mask to add: minus infinity above the diagonal that starts in the top left corner."""
    kind = TensorType(dtype, (rows, columns))
    low = g.op("Expand", g.const(float("-inf"), dtype), g.dims((rows, columns)), type=kind)
    return g.op("Trilu", low, g.const(1), upper=1)


def swapped(g: OnnxBuilder, x: Ref) -> Ref:
    """The value with its last two axes exchanged."""
    return g.transposed(x, *range(x.rank - 2), x.rank - 1, x.rank - 2)


def onnx_scores(g: OnnxBuilder, query: Ref, key: Ref, scale: float) -> Ref:
    """`scale * query @ key.T`."""
    shape = (
        *broadcast(query.type.shape[:-2], key.type.shape[:-2]),
        query.type.shape[-2],
        key.type.shape[-2],
    )
    scaled = g.op("Mul", query, g.const(scale, query.type.dtype)) if scale != 1 else query
    return g.op("MatMul", scaled, swapped(g, key), type=query.type.with_shape(*shape))


@op("scaled_dot_product_attention")
class ScaledDotProductAttention(Op):
    """`softmax(query @ key.T * scale + attn_mask) @ value` (https://arxiv.org/abs/1706.03762).

    A bool `attn_mask` is true where a query may look; a floating one is added to the scores. A
    query that may look nowhere gives zeros. `dropout_p` acts in training only.

    Shape: `(*, L, E), (*, S, E), (*, S, V) -> (*, L, V)`, with a mask that broadcasts to
    `(*, L, S)`; `E` must be static unless `scale` is given.
    """

    dropout_p: float = param(default=0.0, ge=0, le=1, doc="share of the weights zeroed in training")
    is_causal: bool = param(default=False, doc="query `i` looks at keys up to `i` only")
    scale: float | None = param(default=None, doc="factor of the scores; `null`: `1 / sqrt(E)`")
    enable_gqa: bool = param(
        default=False, doc="let several heads of the query (axis -3) share one of key and value"
    )

    def infer(
        self, query: TensorType, key: TensorType, value: TensorType,
        attn_mask: TensorType | None = None,
    ) -> TensorType:  # fmt: skip
        self._check_types(query, key, value)
        same_size(self.name, (query, -1), (key, -1))
        same_size(self.name, (key, -2), (value, -2))
        self._factor(query)
        batch = self._batch(query, key, value)
        if attn_mask:
            self._check_mask(query, attn_mask, (*batch, query.shape[-2], key.shape[-2]))
        return query.with_shape(*batch, query.shape[-2], value.shape[-1])

    def _check_types(self, *inputs: TensorType) -> None:
        same_dtype(self.name, *inputs)
        if not inputs[0].dtype.is_floating:
            raise OpError(
                "T404", f"`{self.name}` needs floating-point values, got {inputs[0].dtype}"
            )
        least = 3 if self.enable_gqa else 2
        for kind in inputs:
            if kind.rank < least:
                raise OpError(
                    "T402", f"`{self.name}` needs at least {least} dimensions, got {kind}"
                )

    def _batch(self, query: TensorType, key: TensorType, value: TensorType) -> tuple[Size, ...]:
        """The axes before the last two; heads of a group count as the query's."""
        if not self._groups(query, key):
            return broadcast(query.shape[:-2], key.shape[:-2], value.shape[:-2])
        same_size(self.name, (key, -3), (value, -3))
        return (*broadcast(query.shape[:-3], key.shape[:-3], value.shape[:-3]), query.shape[-3])

    def _groups(self, query: TensorType, key: TensorType) -> int:
        """How many heads share a key; 0 where nothing is shared."""
        if not self.enable_gqa or query.shape[-3] == key.shape[-3]:
            return 0
        heads, shared = query.static(-3, "it counts the heads"), key.static(-3)
        if heads % shared:
            raise OpError(
                "T411", f"{heads} heads of the query are no multiple of {shared} of the key",
                param="enable_gqa",
            )  # fmt: skip
        return heads // shared

    def _check_mask(self, query: TensorType, mask: TensorType, scores: tuple[Size, ...]) -> None:
        if self.is_causal:
            raise OpError(
                "S104", "`is_causal` and `attn_mask` exclude each other", param="is_causal",
                hint="put the causal mask into `attn_mask`",
            )  # fmt: skip
        if mask.dtype not in (DType.bool, query.dtype):
            raise OpError(
                "T404", f"`attn_mask` is bool or {query.dtype}, got {mask.dtype}", input="attn_mask"
            )
        if mask.rank < 2 or broadcast(mask.shape, scores) != scores:
            raise OpError(
                "T406", f"`attn_mask` {show_shape(mask.shape)} does not broadcast to the scores "
                f"{show_shape(scores)}", input="attn_mask",
            )  # fmt: skip

    def _factor(self, query: TensorType) -> float:
        if self.scale is not None:
            return self.scale
        return 1 / math.sqrt(query.static(-1, "the scores are scaled by it"))

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        query, key, value = inputs[:3]
        assert query and key and value
        out = outputs[0]
        scores = out.with_shape(*out.shape[:-1], key.shape[-2]).numel
        return attention_flops(scores, query.shape[-1], value.shape[-1])

    def torch(
        self, py: TorchWriter, query: Code, key: Code, value: Code, attn_mask: Code | None = None
    ) -> str:
        given = self.given()
        if "dropout_p" in given:
            given["dropout_p"] = Raw(f"{self.dropout_p} if self.training else 0.0")
        if attn_mask:
            given = {"attn_mask": attn_mask, **given}
        return py.call("F.scaled_dot_product_attention", query, key, value, **given)

    def onnx(
        self, g: OnnxBuilder, query: Ref, key: Ref, value: Ref, attn_mask: Ref | None = None
    ) -> Ref:
        out = self.infer(query.type, key.type, value.type, attn_mask.type if attn_mask else None)
        if self._fits_one_node(g, query.type, key.type, value.type):
            return self._one_node(g, query, key, value, attn_mask, out)
        lengths = query.type.shape[-2], key.type.shape[-2]
        if self.is_causal:
            attn_mask = causal_mask(g, *lengths, query.type.dtype)
        groups = self._groups(query.type, key.type)
        if groups:
            query, key, value, attn_mask = _grouped(g, query, key, value, attn_mask, groups)
        scores = onnx_scores(g, query, key, self._factor(query.type))
        weights = masked_softmax(g, scores, attn_mask, zero_rows=not self.is_causal)
        if not groups:
            return g.op("MatMul", weights, value, type=out)
        shape = (*scores.type.shape[:-1], out.shape[-1])
        return g.reshape(g.op("MatMul", weights, value, type=out.with_shape(*shape)), out.shape)

    def _fits_one_node(self, g: OnnxBuilder, *inputs: TensorType) -> bool:
        query = inputs[0]
        # ONNX Runtime has no kernel for bfloat16, and neither batches nor heads broadcast.
        if g.opset < 23 or query.dtype is DType.bfloat16:
            return False
        same = (
            {x.shape[:-2] for x in inputs}
            if not self.enable_gqa
            else {x.shape[:-3] for x in inputs}
        )
        return all(x.rank == 4 for x in inputs) and len(same) == 1

    def _one_node(
        self, g: OnnxBuilder, query: Ref, key: Ref, value: Ref, mask: Ref | None, out: TensorType
    ) -> Ref:
        length, keys = query.type.shape[-2], key.type.shape[-2]
        # Runtimes disagree about where the diagonal starts if the two lengths differ.
        causal = self.is_causal and length == keys
        if self.is_causal and not causal:
            mask = causal_mask(g, length, keys, query.type.dtype)
        if mask and mask.type.shape[-2:] != (length, keys):
            # ONNX Runtime broadcasts a mask over batch and heads only.
            shape = broadcast(mask.type.shape, (length, keys))
            mask = g.op("Expand", mask, g.dims(shape), type=mask.type.with_shape(*shape))
        return g.op(
            "Attention", query, key, value, mask, is_causal=1 if causal else None,
            scale=self.scale, type=out,
        )  # fmt: skip

    examples = (
        example("N 4 T 8", "N 4 T 8", "N 4 T 8"),
        example("N 4 T 8", "N 4 L 8", "N 4 L 6", scale=0.3),
        example("N 4 T 8", "N 4 T 8", "N 4 T 8", is_causal=True, dropout_p=0.1),
        example("N 4 T 8", "N 4 L 8", "N 4 L 8", is_causal=True),
        example("N 4 T 8", "N 4 L 8", "N 4 L 8", "bool: T L"),
        example("N 4 T 8", "N 4 L 8", "N 4 L 8", "bool: N 1 1 L"),
        example("N 4 T 8", "N 4 L 8", "N 4 L 8", "4 T L"),
        example("N 4 T 8", "N 4 T 8", "N 4 T 8", "1 T"),
        example("N 4 T 8", "N 2 L 8", "N 2 L 6", enable_gqa=True),
        example("N 4 T 8", "N 2 L 8", "N 2 L 6", "bool: N 1 T L", enable_gqa=True),
        example("N 4 T 8", "N 2 L 8", "N 2 L 6", "4 T L", enable_gqa=True),
        example("N 4 T 8", "N 1 L 8", "N 1 L 6", enable_gqa=True, is_causal=True),
        example("N T 8", "N L 8", "N L 8"),
        example("T 8", "T 8", "T 8", is_causal=True),
        example("N 4 T 8", "L 8", "L 6"),
    )


def _grouped(
    g: OnnxBuilder, query: Ref, key: Ref, value: Ref, mask: Ref | None, groups: int
) -> tuple[Ref, Ref, Ref, Ref | None]:
    """The heads on two axes, the second of which key and value broadcast over."""
    *batch, heads, length, width = query.type.shape
    query = g.reshape(query, (*batch, heads // groups, groups, length, width))
    key, value = (_with_axis(g, x) for x in (key, value))
    if mask and mask.rank >= 3:
        *batch, own, rows, columns = mask.type.shape
        shared = own != 1
        mask = (
            g.reshape(mask, (*batch, heads // groups, groups, rows, columns))
            if shared
            else _with_axis(g, mask)
        )
    return query, key, value, mask


def _with_axis(g: OnnxBuilder, x: Ref) -> Ref:
    *heads, length, width = x.type.shape
    return g.op("Unsqueeze", x, g.const([-3]), type=x.type.with_shape(*heads, 1, length, width))
