"""References for products, attention, recurrence and distances."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.ops.reference import EVALUATOR_IS_WRONG, TORCH_ONNX_CANNOT, custom

EVALUATOR_IS_WRONG |= {"RNN-1": "knows the activation Tanh only"}

TORCH_ONNX_CANNOT |= {
    "matmul-7": "writes int8 MatMul, which is not in the standard",
    "mm-1": "writes int64 Gemm, which ONNX Runtime has no kernel for",
    "addmm-3": "writes int64 Gemm, which ONNX Runtime has no kernel for",
    "outer-2": "leaves out the promotion of the element types",
    "Bilinear": "has no form for it",
    "PairwiseDistance": "leaves out the absolute value and the epsilon",
    "pairwise_distance": "leaves out the absolute value and the epsilon",
    "cdist": "leaves out the absolute value, and adds an epsilon",
    "CosineSimilarity-2": "writes a sum over an axis that the shorter input lacks",
    "cosine_similarity-2": "writes a sum over an axis that the shorter input lacks",
    "CosineSimilarity-3": "takes the length before it broadcasts",
    "CosineSimilarity-4": "takes the length before it broadcasts",
    "cosine_similarity-3": "takes the length before it broadcasts",
    "cosine_similarity-4": "takes the length before it broadcasts",
    **{f"EmbeddingBag-{i}": "refuses padding_idx" for i in (3, 4, 5)},
    **{f"LSTM-{i}": "refuses projections" for i in (5, 6, 7, 8)},
    "scaled_dot_product_attention-8": "refuses enable_gqa",
    "scaled_dot_product_attention-9": "refuses enable_gqa",
    "scaled_dot_product_attention-10": "refuses enable_gqa",
    "scaled_dot_product_attention-11": "refuses enable_gqa",
}


@custom("scaled_dot_product_attention")
def _attention(*inputs: torch.Tensor, **params: Any) -> torch.Tensor:
    return F.scaled_dot_product_attention(*inputs, **params | {"dropout_p": 0.0})


@custom("MultiheadAttention")
def _multihead(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    padding: torch.Tensor | None = None, mask: torch.Tensor | None = None, *,
    state: dict[str, torch.Tensor], need_weights: bool = True, average_attn_weights: bool = True,
    is_causal: bool = False, **params: Any,
) -> Any:  # fmt: skip
    width, kdim, vdim = (x.shape[-1] for x in (query, key, value))
    module = nn.MultiheadAttention(width, kdim=kdim, vdim=vdim, **params).eval()
    module.load_state_dict(state)
    results = module(
        query, key, value, padding, need_weights, mask, average_attn_weights, is_causal
    )
    return results if need_weights else results[0]


@custom("LSTM")
def _lstm(
    x: torch.Tensor, *start: torch.Tensor, state: dict[str, torch.Tensor], **params: Any
) -> Any:
    module = nn.LSTM(x.shape[-1], **params).eval()
    module.load_state_dict(state)
    return module(x, start or None)


@custom("LSTMCell")
def _lstm_cell(
    x: torch.Tensor, *start: torch.Tensor, state: dict[str, torch.Tensor], **params: Any
) -> Any:
    module = nn.LSTMCell(x.shape[-1], **params).eval()
    module.load_state_dict(state)
    return module(x, start or None)


@custom("einsum")
def _einsum(*operands: torch.Tensor, equation: str) -> torch.Tensor:
    return torch.einsum(equation, *operands)


@custom("Bilinear")
def _bilinear(
    x1: torch.Tensor, x2: torch.Tensor, *, state: dict[str, torch.Tensor], **params: Any
) -> Any:
    module = nn.Bilinear(x1.shape[-1], x2.shape[-1], **params).eval()
    module.load_state_dict(state)
    return module(x1, x2)


@custom("rotary_embedding")
def _rotary(
    x: torch.Tensor, positions: torch.Tensor | None = None, cos: torch.Tensor | None = None,
    sin: torch.Tensor | None = None, *, base: float = 10000.0, rotary_dim: int | None = None,
    interleaved: bool = False,
) -> torch.Tensor:  # fmt: skip
    """`x * cos + rotated(x) * sin`, the form in which language models are published."""
    size = rotary_dim or x.shape[-1]
    if positions is None:
        positions = torch.arange(x.shape[-2])
    if cos is None or sin is None:
        speeds = 1.0 / (base ** (torch.arange(0, size, 2).float() / size))
        angles = positions.float().unsqueeze(-1) * speeds
        cos, sin = angles.cos(), angles.sin()
    part, rest = x[..., :size], x[..., size:]
    if interleaved:
        cos, sin = (t.repeat_interleave(2, dim=-1) for t in (cos, sin))
        turned = torch.stack((-part[..., 1::2], part[..., ::2]), dim=-1).flatten(-2)
    else:
        cos, sin = (torch.cat((t, t), dim=-1) for t in (cos, sin))
        turned = torch.cat((-part[..., size // 2 :], part[..., : size // 2]), dim=-1)
    if cos.ndim == 3:
        cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    return torch.cat((part * cos + turned * sin, rest), dim=-1)
