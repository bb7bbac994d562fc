"""Masks, masked rows, layouts that the table cannot list, refusals, and counts of operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from specc.ir.graph import Graph
from specc.ir.types import DType, OpError, TensorType
from specc.ops import REGISTRY, as_outputs
from specc.passes.resolve import resolve
from specc.runtime.build import compile_graph
from specc.runtime.export import model_bytes, onnx_model
from specc.spec.load import load_spec
from specc.targets.onnx_graph import onnx_graph
from tests.ops.test_ops import _session

NAN, INF = float("nan"), float("inf")
OPSETS = [17, 20, 23]


@pytest.fixture(autouse=True)
def _no_fast_path() -> Iterator[None]:
    """PyTorch's fused attention gives zeros where its documented form gives NaN."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def graph_of(inputs: dict[str, Any], layer: dict[str, Any], **more: Any) -> Graph:
    spec, found = load_spec(
        {"specc": 1, "name": "m", "inputs": inputs, "layers": [{"name": "op", **layer}], **more}
    )
    assert spec, [d.message for d in found.items]
    graph, found = resolve(spec)
    assert graph, [d.message for d in found.items]
    return graph


def run(graph: Graph, module: nn.Module, opset: int, inputs: list[torch.Tensor]) -> tuple[Any, Any]:
    """What PyTorch and what ONNX Runtime computes."""
    session = _session(model_bytes(onnx_model(onnx_graph(graph, opset), module.state_dict())))
    names = [i.name for i in session.get_inputs()]
    feeds = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    with torch.no_grad():
        return module(*inputs), session.run(None, feeds)


def qkv(length: int = 5, keys: int = 7) -> list[torch.Tensor]:
    gen = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, n, 8, generator=gen) for n in (length, keys, keys)]


QKV: dict[str, Any] = {
    "q": {"shape": ["N", 4, "T", 8]},
    "k": {"shape": ["N", 4, "L", 8]},
    "v": {"shape": ["N", 4, "L", 8]},
}


def masks() -> Iterator[tuple[str, torch.Tensor]]:
    allowed = torch.rand(5, 7, generator=torch.Generator().manual_seed(1)) < 0.5
    allowed[1], allowed[0, 0] = False, True
    yield "bool", allowed
    yield "float32", torch.zeros(5, 7).masked_fill(~allowed, -INF)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("dtype", "mask"), masks())
def test_a_query_that_may_look_nowhere_gives_zeros(
    dtype: str, mask: torch.Tensor, opset: int
) -> None:
    inputs = {**QKV, "mask": {"shape": ["T", "L"], "dtype": dtype}}
    graph = graph_of(inputs, {"op": "scaled_dot_product_attention", "from": list(inputs)})
    theirs, (ours,) = run(graph, compile_graph(graph), opset, [*qkv(), mask])
    assert not theirs[:, :, 1].any()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("keys", [3, 5, 7])
def test_the_causal_diagonal_starts_at_the_first_key(keys: int, opset: int) -> None:
    graph = graph_of(
        QKV, {"op": "scaled_dot_product_attention", "from": ["q", "k", "v"], "is_causal": True}
    )
    q, k, v = qkv(5, keys)
    _, (ours,) = run(graph, compile_graph(graph), opset, [q, k, v])
    low = torch.full((5, keys), -INF).triu(1)
    theirs = ((q @ k.mT) / 8**0.5 + low).softmax(-1) @ v
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", OPSETS)
def test_nan_is_where_pytorch_has_it(opset: int) -> None:
    inputs = {**QKV, "mask": {"shape": ["T", "L"], "dtype": "bool"}}
    graph = graph_of(inputs, {"op": "scaled_dot_product_attention", "from": list(inputs)})
    q, k, v = qkv()
    k[0, 0, 2] = NAN
    mask = torch.ones(5, 7, dtype=torch.bool)
    # PyTorch adds minus infinity to what is masked, and NaN stays NaN.
    mask[3, 2] = False
    theirs, (ours,) = run(graph, compile_graph(graph), opset, [q, k, v, mask])
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.isnan(ours).sum() == 5 * 8


def nodes(layer: dict[str, Any], opset: int, **inputs: Any) -> list[tuple[str, Any]]:
    made = onnx_graph(graph_of({**QKV, **inputs}, layer), opset).nodes
    return [(node.op_type, dict(node.attributes)) for node in made]


def test_attention_is_one_node_where_the_opset_has_it() -> None:
    layer: dict[str, Any] = {"op": "scaled_dot_product_attention", "from": ["q", "k", "v"]}
    assert nodes(layer, 23) == [("Attention", {})]
    assert [kind for kind, _ in nodes(layer, 22)] == [
        "Mul", "Transpose", "MatMul", "Softmax", "MatMul",
    ]  # fmt: skip
    # Runtimes disagree about `is_causal` where the lengths can differ: an explicit mask then.
    causal = layer | {"is_causal": True}
    assert nodes(causal, 23)[-1] == ("Attention", {})
    equal = causal | {"from": ["q", "q", "q"]}
    assert nodes(equal, 23) == [("Attention", {"is_causal": 1})]


SELF = {"x": {"shape": ["N", "T", 8]}, "padding": {"shape": ["N", "T"], "dtype": "bool"}}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("need_weights", [True, False])
def test_self_attention_with_a_padded_batch(need_weights: bool, opset: int) -> None:
    layer = {
        "op": "MultiheadAttention", "num_heads": 2, "batch_first": True,
        "need_weights": need_weights, "from": ["x", "x", "x", "padding"],
    }  # fmt: skip
    graph = graph_of(SELF, layer)
    torch.manual_seed(0)
    module = compile_graph(graph).eval()
    padding = torch.tensor([[False, False, True], [True, True, True]])
    theirs, (ours,) = run(graph, module, opset, [torch.randn(2, 3, 8), padding])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert np.isnan(ours[1]).all() == need_weights
    made = onnx_graph(graph, opset)
    # One product for query, key and value, and the weights under PyTorch's names.
    assert "op.in_proj_weight.T" in made.initializers
    assert [node.op_type for node in made.nodes].count("MatMul") == (
        2 if not need_weights and opset == 23 else 4
    )


def test_results_that_nothing_reads_cost_nothing() -> None:
    layer = {"op": "LSTM", "hidden_size": 5, "from": "x"}
    inputs = {"x": {"shape": ["T", "N", 6]}}
    kinds = [node.op_type for node in onnx_graph(graph_of(inputs, layer), 20).nodes]
    assert kinds == ["LSTM", "Reshape"]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("shape", [["T", 4], ["N", "T", 4]])
def test_rotary_turns_by_given_angles(shape: list[Any], interleaved: bool, opset: int) -> None:
    inputs = {"x": {"shape": ["N", 2, "T", 8]}, "c": {"shape": shape}, "s": {"shape": shape}}
    layer = {
        "op": "rotary_embedding", "from": {"input": "x", "cos": "c", "sin": "s"},
        "interleaved": interleaved,
    }  # fmt: skip
    graph = graph_of(inputs, layer)
    x, angles = torch.randn(3, 2, 5, 8), torch.randn(5, 4)
    if len(shape) == 3:
        angles = torch.randn(3, 5, 4)
    theirs, (ours,) = run(graph, compile_graph(graph), opset, [x, angles.cos(), angles.sin()])
    pairs = x.unflatten(-1, (4, 2)) if interleaved else x.unflatten(-1, (2, 4)).mT
    turn = torch.polar(torch.ones_like(angles), angles)
    turn = turn[:, None] if turn.ndim == 3 else turn
    expected = torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * turn)
    expected = (expected if interleaved else expected.mT).flatten(-2)
    np.testing.assert_allclose(theirs, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", OPSETS)
def test_weighted_bags(opset: int) -> None:
    inputs = {"i": {"shape": ["N", 3], "dtype": "int64"}, "w": {"shape": ["N", 3]}}
    layer = {
        "op": "EmbeddingBag", "num_embeddings": 5, "embedding_dim": 4, "mode": "sum",
        "from": {"input": "i", "per_sample_weights": "w"},
    }  # fmt: skip
    graph = graph_of(inputs, layer)
    module = compile_graph(graph)
    indices, factors = torch.tensor([[0, 1, 4], [2, 2, 2]]), torch.randn(2, 3)
    _, (ours,) = run(graph, module, opset, [indices, factors])
    theirs = (module.state_dict()["op.weight"][indices] * factors[..., None]).sum(1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_lstm_with_a_projection_names_its_weights_as_pytorch_does() -> None:
    layer = {"op": "LSTM", "hidden_size": 5, "proj_size": 3, "num_layers": 2, "from": "x"}
    module = compile_graph(graph_of({"x": {"shape": ["T", "N", 6]}}, layer))
    theirs = nn.LSTM(6, 5, num_layers=2, proj_size=3)
    names = {f"op.{name}": tensor.shape for name, tensor in theirs.state_dict().items()}
    assert {name: t.shape for name, t in module.state_dict().items()} == names


def kind(text: str) -> TensorType:
    dtype, _, shape = text.rpartition(":")
    return TensorType(DType(dtype or "float32"), tuple(int(s) for s in shape.split()))


REFUSED = [
    ("matmul", {}, ["2 3", "4 5"], "T401", None),
    ("matmul", {}, ["2 3", ""], "T402", None),
    ("matmul", {}, ["2 3", "int64:3 2"], "T404", None),
    ("matmul", {}, ["bool:2 3", "bool:3 2"], "T404", None),
    ("matmul", {}, ["2 4 3", "5 3 4"], "T406", None),
    ("bmm", {}, ["1 2 3", "4 3 2"], "T401", None),
    ("bmm", {}, ["2 3", "3 2"], "T402", None),
    ("addmm", {}, ["3 3", "2 4", "4 3"], "T406", None),
    ("addmm", {"beta": 0.5}, ["int64:3", "int64:2 4", "int64:4 3"], "T404", "beta"),
    ("einsum", {"equation": "ij,jk"}, ["2 3"], "T412", "equation"),
    ("einsum", {"equation": "ij"}, ["2 3 4"], "T412", "equation"),
    ("einsum", {"equation": "ij->ik"}, ["2 3"], "T412", "equation"),
    ("einsum", {"equation": "ij->ii"}, ["2 3"], "T412", "equation"),
    ("einsum", {"equation": "i1->i"}, ["2 3"], "T412", "equation"),
    ("einsum", {"equation": "ii->i"}, ["2 3"], "T401", "equation"),
    ("Embedding", {"num_embeddings": 5, "embedding_dim": 2}, ["2 3"], "T404", None),
    ("Embedding", {"num_embeddings": 5, "embedding_dim": 2, "padding_idx": 5}, ["int64:2"],
     "T402", "padding_idx"),
    ("Embedding", {"num_embeddings": 5, "embedding_dim": 2, "max_norm": 1.0}, ["int64:2"],
     "T407", "max_norm"),
    ("EmbeddingBag", {"num_embeddings": 5, "embedding_dim": 2}, ["int64:6", "int64:2"],
     "T407", "offsets"),
    ("scaled_dot_product_attention", {}, ["2 3 8", "2 4 7", "2 4 8"], "T401", None),
    ("scaled_dot_product_attention", {}, ["2 3 8", "2 4 8", "2 5 8"], "T401", None),
    ("scaled_dot_product_attention", {"is_causal": True}, ["2 3 8", "2 4 8", "2 4 8", "3 4"],
     "S104", "is_causal"),
    ("scaled_dot_product_attention", {}, ["2 3 8", "2 4 8", "2 4 8", "3 5"], "T406", None),
    ("scaled_dot_product_attention", {}, ["2 3 8", "2 4 8", "2 4 8", "int64:3 4"],
     "T404", "attn_mask"),
    ("scaled_dot_product_attention", {"enable_gqa": True}, ["2 3 3 8", "2 2 4 8", "2 2 4 8"],
     "T411", "enable_gqa"),
    ("MultiheadAttention", {"num_heads": 3}, ["2 3 8"] * 3, "T411", "num_heads"),
    ("MultiheadAttention", {"num_heads": 2, "is_causal": True}, ["2 3 8"] * 3, "S102", "is_causal"),
    ("MultiheadAttention", {"num_heads": 2}, ["2 3 8"] * 3 + ["bool:2 3"],
     "T401", "key_padding_mask"),
    ("LSTM", {"hidden_size": 3, "proj_size": 3}, ["2 3 8"], "S104", "proj_size"),
    ("LSTM", {"hidden_size": 3}, ["2 3 8", "1 3 3"], "S102", None),
    ("GRU", {"hidden_size": 3, "num_layers": 2}, ["2 3 8", "1 3 3"], "T401", "h_0"),
    ("GRUCell", {"hidden_size": 3}, ["2 8", "2 4"], "T401", "hx"),
    ("rotary_embedding", {}, ["2 3 7"], "T411", "rotary_dim"),
    ("rotary_embedding", {}, ["2 3 8", "int64:4"], "T401", "positions"),
    ("cdist", {}, ["2 3", "4 5"], "T401", None),
    ("Bilinear", {"out_features": 2}, ["2 3", "4 5"], "T401", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "inputs", "code", "place"), REFUSED)
def test_refused(
    name: str, params: dict[str, Any], inputs: list[str], code: str, place: str | None
) -> None:
    with pytest.raises(OpError) as caught:
        REGISTRY[name](**params).infer(*map(kind, inputs))
    error = caught.value
    assert error.code == code
    assert place in (None, error.param, error.input)


def counted(function: Any, *inputs: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*inputs)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(
    ("name", "params", "inputs", "function"),
    [
        ("matmul", {}, ["2 3 4", "2 4 5"], torch.matmul),
        ("bmm", {}, ["2 3 4", "2 4 5"], torch.bmm),
        ("mm", {}, ["3 4", "4 5"], torch.mm),
        ("einsum", {"equation": "bij,bjk->bik"}, ["2 3 4", "2 4 5"],
         lambda a, b: torch.einsum("bij,bjk->bik", a, b)),
        ("scaled_dot_product_attention", {}, ["2 4 3 8", "2 4 5 8", "2 4 5 6"],
         F.scaled_dot_product_attention),
    ],
)  # fmt: skip
def test_operations_as_pytorch_counts_them(
    name: str, params: dict[str, Any], inputs: list[str], function: Any
) -> None:
    op, kinds = REGISTRY[name](**params), [kind(text) for text in inputs]
    outputs = [made for _, made in as_outputs(op.infer(*kinds))]
    tensors = [torch.randn([int(size) for size in k.shape]) for k in kinds]
    assert op.flops(kinds, outputs) == counted(function, *tensors)


def test_operations_of_a_recurrent_step() -> None:
    """By hand: 4 gates of 5, from 6 inputs and 5 states, with two biases, over 7 steps of 3."""
    x = TensorType(DType.float32, (7, 3, 6))
    op = REGISTRY["LSTM"](hidden_size=5)
    outputs = [made for _, made in as_outputs(op.infer(x))]
    assert op.flops([x], outputs) == 7 * 3 * (4 * 5) * (2 * 6 + 2 * 5 + 2 + 1)
