"""Shapes, positions and made tensors over symbolic sizes, and what is refused."""

from __future__ import annotations

import re
from typing import Any

import einops
import onnxruntime as ort
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specc.ir.dims import evaluate, symbol
from specc.ir.graph import Graph
from specc.ir.types import DType, OpError, TensorType
from specc.ops import REGISTRY
from specc.ops.create import stored
from specc.passes.resolve import resolve
from specc.runtime.build import compile_graph
from specc.runtime.export import model_bytes, onnx_model
from specc.spec.load import load_spec
from specc.targets.onnx_graph import onnx_graph

N, T = symbol("N"), symbol("T")


def graph_of(formula: str, shape: list[Any]) -> Graph:
    spec, found = load_spec({
        "specc": 1, "name": "one_formula", "inputs": {"x": {"shape": shape}},
        "layers": [{"name": "y", "formula": formula}],
    })  # fmt: skip
    assert spec, [d.message for d in found.items]
    graph, found = resolve(spec)
    assert graph, [d.message for d in found.items]
    return graph


def agree(graph: Graph, shape: list[int], sizes: dict[str, int], wanted: torch.Tensor) -> None:
    """The declared type, the source and ONNX Runtime all give what PyTorch gives."""
    module = compile_graph(graph)
    x = values(shape)
    (_, value), *_ = graph.outputs
    assert tuple(evaluate(s, sizes) for s in value.type.shape) == tuple(wanted.shape)
    torch.testing.assert_close(module(x), wanted, rtol=0, atol=0)
    model = model_bytes(onnx_model(onnx_graph(graph), module.state_dict()))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    feeds = {i.name: x.numpy() for i in session.get_inputs()}
    (made,) = session.run(None, feeds)
    torch.testing.assert_close(torch.from_numpy(made), wanted, rtol=0, atol=0)


def values(shape: list[int]) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


SAME = [
    "x[:, -1]", "x[0]", "x[..., None]", "x[:, None, :, 0]", "x[:, 1:]", "x[:, :T]", "x[:, ::2]",
    "x[..., 1:-1]", "x[:, -3:]", "x[:, T - 1:]", "x[:, :-1, 5]", "x[:, :100, 2:50:3]", "x[:, 9:]",
    "x[:, :-9]", "x[:, T - 1]", "x[:, arange(T)]", "x[0, :, arange(3)]", "x[None, ..., -1:]",
    "x[:, T // 2:]", "x[:, 1:T]", "x[:N]",
    "arange(T)", "arange(1, T + 1)", "arange(0, 2*T, 2)", "arange(T, 0, -1)", "arange(T) + 0.5",
    "arange(0, T, 3)", "zeros((N, T))", "full((T, 3), 0.5)", "full((N,), 3)", "eye(T)", "eye(T, N)",
    "tril(ones((T, T), dtype=bool))", "zeros_like(x)", "x + arange(T)[:, None]",
    "triu(full((T, T), -inf), 1)",
]  # fmt: skip


@pytest.mark.parametrize("formula", SAME)
def test_formula_is_what_python_makes_of_it(formula: str) -> None:
    written = formula.replace("dtype=bool", 'dtype="bool"')
    graph = graph_of(written, ["N", "T", 8])
    for n, t in [(3, 5), (1, 1), (2, 2)]:
        made = ("arange", "zeros", "full", "eye", "tril", "triu", "ones", "zeros_like")
        names = {name: getattr(torch, name) for name in made}
        scope = {"x": values([n, t, 8]), "N": n, "T": t, "bool": torch.bool, "inf": torch.inf}
        agree(graph, [n, t, 8], {"N": n, "T": t}, eval(formula, {**names, **scope}))


def test_made_tensors_are_put_on_the_device_of_the_input() -> None:
    module = compile_graph(graph_of("x + arange(T)", ["N", "T"])).to("meta")
    assert module(torch.zeros(2, 3, device="meta")).device.type == "meta"


@pytest.mark.parametrize(
    "formula", ["arange(T, dtype=f)", "full((N, T), 2, dtype=f)", "zeros((T,))", "eye(T)",
                "linspace(0, 1, 5)", "zeros_like(x, dtype=f)"],
)  # fmt: skip
def test_made_floats_follow_the_default_dtype(formula: str) -> None:
    module = compile_graph(graph_of(formula.replace("=f", '="float32"'), ["N", "T"])).double()
    torch.set_default_dtype(torch.float64)
    try:
        assert module(torch.zeros(2, 3)).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(("name", "params"), [
    ("reshape", {"shape": [-2]}), ("expand", {"sizes": [-2, 6]}), ("tile", {"dims": [-1]}),
    ("rearrange", {"pattern": "n (a b) -> n a b", "axes": {"a": 0}}),
    ("getitem", {"index": [1.5]}), ("getitem", {"index": ["all"]}),
])  # fmt: skip
def test_refused_by_the_schema(name: str, params: dict[str, Any]) -> None:
    spec, _ = load_spec({
        "specc": 1, "name": "bad", "inputs": {"x": {"shape": ["N", 6]}},
        "layers": [{"name": "y", "op": name, **params}],
    })  # fmt: skip
    assert spec
    graph, found = resolve(spec)
    assert graph is None
    assert {d.code for d in found.items} <= {"S103", "S104"}


@pytest.mark.parametrize(
    ("name", "shape", "params", "code", "words"),
    [
        ("reshape", (N, 6), {"shape": (N, 5)}, "T401", "elements"),
        ("reshape", (N, 3), {"shape": (-1, 2)}, "T411", "divide"),
        ("reshape", (N, 6), {"shape": (-1, -1)}, "T401", "only one"),
        ("permute", (N, 3), {"dims": (0, 0)}, "T402", "twice"),
        ("permute", (N, 3), {"dims": (0,)}, "T402", "each axis"),
        ("squeeze", (N, T), {"dim": 1}, "T403", "fixed size"),
        ("flatten", (N, 3, 4), {"start_dim": 2, "end_dim": 1}, "T402", "comes after"),
        ("chunk", (N, 3), {"chunks": 2, "dim": 0}, "T403", "fixed size"),
        ("split", (N, 8), {"split_size_or_sections": (3, 4), "dim": 1}, "T401", "add up to `7`"),
        ("unbind", (N, 8), {}, "T403", "fixed size"),
        ("getitem", (N, 3), {"index": ((None, None), 3)}, "T402", "no position 3"),
        ("getitem", (N, 3), {"index": (1,)}, "T402", "may lie outside"),
        ("getitem", (N, 3), {"index": (0, 0, 0)}, "T402", "too many"),
        ("getitem", (N, 3), {"index": ("tensor",)}, "T402", "indices"),
        ("getitem", (N, 3), {"index": ((None, None, 0),)}, "T405", "positive"),
        ("getitem", (N, T), {"index": ((None, N - T),)}, "T403", "negative"),
        ("narrow", (N, T), {"dim": 1, "start": 1, "length": T}, "T402", "outside"),
        ("select", (N, T), {"dim": 1, "index": T}, "T402", "no position"),
        ("expand", (N, 3), {"sizes": (-1, 4)}, "T406", "cannot become"),
        ("expand", (N, 3), {"sizes": (-1, N, 3)}, "T402", "-1"),
        ("roll", (N, T), {"shifts": (1, 2), "dims": 1}, "T402", "shifts"),
        ("diagonal", (N, N), {"dim2": -2}, "T402", "one axis"),
        ("rearrange", (N, 6), {"pattern": "n (a b) -> n a b"}, "T412", "not known"),
        ("rearrange", (N, 6), {"pattern": "n c -> n"}, "T412", "one side"),
        ("rearrange", (N, 6), {"pattern": "n c d -> n c d"}, "T412", "has 2"),
        ("rearrange", (N, 6), {"pattern": "n (a b) -> n a b", "axes": {"a": 4}}, "T411", "divide"),
        ("rearrange", (N, 6), {"pattern": "n n -> n n"}, "T412", "twice"),
        ("rearrange", (N, 6), {"pattern": "n (c -> c n"}, "T412", "not closed"),
        ("rearrange", (N, 6), {"pattern": "n c -> n c", "axes": {"q": 2}}, "T412", "`q`"),
        ("rearrange", (N, 6), {"pattern": "n 1 -> n"}, "T401", "`6`"),
        ("rearrange", (N, 6), {"pattern": "n c"}, "T412", "one `->`"),
        ("rearrange", (N, 6), {"pattern": "n c -> ... n c"}, "T412", "on the left"),
        ("repeat", (N, 6), {"pattern": "n c -> n c d"}, "T412", "`d`"),
        ("reduce", (N, 6), {"pattern": "n c -> n d", "reduction": "sum"}, "T412", "`d`"),
    ],
)
def test_refused(
    name: str, shape: tuple[Any, ...], params: dict[str, Any], code: str, words: str
) -> None:
    with pytest.raises(OpError) as caught:
        REGISTRY[name](**params).infer(TensorType(DType.float32, shape))
    assert caught.value.code == code
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("name", "params", "code"),
    [
        ("arange", {"start": T - 3}, "T405"),
        ("arange", {"start": 0, "end": -3}, "T405"),
        ("arange", {"end": T, "step": 0.5}, "T403"),
        ("arange", {"end": 2.5, "dtype": "int64"}, "T404"),
        ("Buffer", {"value": ((1, 2), (3,))}, "T401"),
        ("Buffer", {"value": ((1, 2), (3, 4)), "shape": (4,)}, "T401"),
        ("Buffer", {"value": ("a",)}, "T404"),
    ],
)
def test_refused_without_an_input(name: str, params: dict[str, Any], code: str) -> None:
    with pytest.raises(OpError) as caught:
        REGISTRY[name](**params).infer()
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "inputs", "params", "code"),
    [
        ("cat", ["float32: N 3", "float32: T 4"], {"dim": 1}, "T401"),
        ("cat", ["float32: N 3", "float32: N"], {"dim": 0}, "T402"),
        ("stack", ["float32: N 3", "float32: N 4"], {}, "T401"),
        ("gather", ["float32: N 3", "int64: T 3"], {"dim": 1}, "T401"),
        ("gather", ["float32: N 3", "float32: N 3"], {"dim": 1}, "T404"),
        ("take_along_dim", ["float32: N 3", "int32: N 3"], {"dim": 1}, "T404"),
        ("scatter", ["float32: N 3", "int64: N 3", "int64: N 3"], {"dim": 1}, "T404"),
        ("scatter_add", ["float32: N 3", "int64: N 3", "float32: N 2"], {"dim": 1}, "T401"),
        ("index_add", ["int64: 3 N", "int64: T", "int64: T N"], {"dim": 0, "alpha": 0.5}, "T404"),
        ("index_add", ["int64: 3 N", "int64: T", "int64: N N"], {"dim": 0}, "T401"),
        ("index_select", ["float32: N 3", "int64: N 3"], {"dim": 1}, "T402"),
        ("masked_fill", ["float32: N 3", "int64: N 3"], {"value": 0}, "T404"),
        ("masked_fill", ["int8: N 3", "bool: N 3"], {"value": 128}, "T404"),
        ("masked_fill", ["int64: N 3", "bool: N 3"], {"value": float("inf")}, "T404"),
        ("masked_fill", ["float16: N 3", "bool: N 3"], {"value": 1e9}, "T404"),
        ("full_like", ["uint8: N 3"], {"fill_value": 256}, "T404"),
        ("one_hot", ["int32: N"], {"num_classes": 3}, "T404"),
        ("meshgrid", ["float32: N", "int64: N"], {}, "T404"),
        ("getitem", ["float32: N 3", "bool: N"], {"index": ("tensor",)}, "T404"),
        ("expand_as", ["float32: N 3", "float32: N 4"], {}, "T406"),
        ("tril", ["float32: N"], {}, "T402"),
    ],
)
def test_refused_with_these_inputs(
    name: str, inputs: list[str], params: dict[str, Any], code: str
) -> None:
    def kind(text: str) -> TensorType:
        dtype, _, shape = text.partition(": ")
        sizes = [int(s) if s.isdigit() else symbol(s) for s in shape.split()]
        return TensorType(DType(dtype), tuple(sizes))

    with pytest.raises(OpError) as caught:
        REGISTRY[name](**params).infer(*map(kind, inputs))
    assert caught.value.code == code


@pytest.mark.parametrize("number", [-1, 3.7, 0, 255])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "bool", "float16", "int64"])
def test_numbers_become_elements_as_in_pytorch(number: float, dtype: str) -> None:
    wanted = torch.full((), number, dtype=getattr(torch, dtype))
    made = torch.tensor(stored(number, DType(dtype), "value"), dtype=getattr(torch, dtype))
    assert made.item() == wanted.item()


def test_an_unnamed_flatten_beside_other_layers_keeps_the_batch() -> None:
    spec, _ = load_spec({
        "specc": 1, "name": "branches", "inputs": {"x": {"shape": ["N", 2, 3]}},
        "layers": ["Flatten", {"name": "y", "formula": "flatten(x, 1) + 1"}, "Flatten"],
        "outputs": {"y": "y", "flat": "0"},
    })  # fmt: skip
    assert spec
    graph, _ = resolve(spec)
    assert graph
    made = compile_graph(graph)(torch.zeros(4, 2, 3))
    assert {name: value.shape for name, value in made.items()} == {"y": (4, 6), "flat": (4, 6)}


def test_slices_of_a_promised_length_are_exact() -> None:
    short = symbol("short", max=16)
    kind = TensorType(DType.float32, (16, 4))
    index = REGISTRY["getitem"](index=((None, short),))
    assert index.infer(kind).shape == (short, 4)


@st.composite
def patterns(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """A rearrangement of four axes of sizes 2, 3, 4, 5, some of them composed."""
    names = ["a", "b", "c", "d"]

    def side() -> str:
        groups: list[list[str]] = []
        for name in draw(st.permutations(names)):
            if groups and draw(st.booleans()):
                groups[-1].append(name)
            else:
                groups.append([name])
        made = [f"({' '.join(g)})" if len(g) > 1 else g[0] for g in groups]
        for place in draw(st.lists(st.integers(0, len(made)), max_size=2)):
            made.insert(place, "1")
        return " ".join(made)

    return f"{side()} -> {side()}", dict(zip(names, (2, 3, 4, 5), strict=True))


@settings(max_examples=40, deadline=None)
@given(patterns(), st.integers(0, 5))
def test_rearrange_is_einops(drawn: tuple[str, dict[str, int]], open_axes: int) -> None:
    pattern, sizes = drawn
    left = pattern.split("->")[0].strip()
    x = einops.rearrange(torch.arange(120.0).reshape(2, 3, 4, 5), f"a b c d -> {left}")
    wanted = einops.rearrange(x, pattern, **sizes)
    plain = [i for i, text in enumerate(_axes(left)) if text in sizes][:open_axes]
    shape = [f"S{i}" if i in plain else size for i, size in enumerate(x.shape)]
    known = {k: v for k, v in sizes.items() if k not in [_axes(left)[i] for i in plain]}
    spec, _ = load_spec({
        "specc": 1, "name": "pattern", "inputs": {"x": {"shape": shape}},
        "layers": [{"name": "y", "op": "rearrange", "pattern": pattern, "axes": known}],
    })  # fmt: skip
    assert spec
    graph, found = resolve(spec)
    assert graph, [d.message for d in found.items]
    torch.testing.assert_close(compile_graph(graph)(x), wanted, rtol=0, atol=0)
    model = model_bytes(onnx_model(onnx_graph(graph), {}))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(made), wanted, rtol=0, atol=0)


def _axes(side: str) -> list[str]:
    return re.findall(r"\([^)]*\)|\w+", side)
