"""Every operator of the language; importing this package fills the registry."""

from specc.ops import (
    activation, activation_shaped, adaptive_pool, arithmetic, attention, axes, batch_norm, cast,
    cells, compare, conv, conv_transpose, create, cumulative, dropout, embedding, expand, fill,
    grid, index, instance_norm, join, layer_norm, linear, local_norm, loss, loss_binary,
    loss_class, matmul, matmul_add, moments, multihead_attention, normalization, pad, pointwise,
    pool, power, recurrent, reduce, reshape, scalar, scatter, select, softmax, sort, ternary,
    triangle, einsum, distance,
)  # fmt: skip
from specc.ops.op import REGISTRY, Op, OpError, as_outputs

__all__ = ["REGISTRY", "Op", "OpError", "activation", "as_outputs", "dropout", "linear"]
