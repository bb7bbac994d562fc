"""Every operator of the language; importing this package fills the registry."""

from specc.ops import (
    activation, activation_shaped, adaptive_pool, adaptive_softmax, arithmetic, attention, axes,
    batch_norm, cast, cells, compare, conv, conv_transpose, create, cumulative, distance,
    division, dropout, einops, einsum, embedding, expand, extremes, fill, fold, gather,
    grid, index, instance_norm, join, layer_norm, linear, local_norm, loss, loss_binary,
    loss_class, loss_distribution, loss_margin, loss_sequence, loss_triplet, matmul,
    matmul_add, max_pool, moments, multihead_attention, normalization, pad, pixels, pointwise, pool,
    power, ranges, recurrent, reduce, reshape, resize, rotary, sampling, scalar, scatter, select,
    softmax, sort, ternary, triangle, unpool,
)  # fmt: skip
from specc.ops.op import REGISTRY, Op, OpError, as_outputs

__all__ = ["REGISTRY", "Op", "OpError", "activation", "as_outputs", "dropout", "linear"]
