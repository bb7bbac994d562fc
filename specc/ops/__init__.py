"""Every operator of the language; importing this package fills the registry."""

from specc.ops import (
    activation, activation_shaped, arithmetic, attention, axes, cast, cells, compare, conv,
    create, cumulative, dropout, embedding, index, join, linear, loss, loss_binary,
    loss_class, matmul, moments, multihead_attention, norm, pad, pointwise, power, recurrent,
    reduce, reshape, scalar, softmax, sort, ternary,
)  # fmt: skip
from specc.ops.op import REGISTRY, Op, OpError, as_outputs

__all__ = ["REGISTRY", "Op", "OpError", "activation", "as_outputs", "dropout", "linear", "norm"]
