"""Infinities, NaN, zeros and the ends of integers, in ONNX Runtime as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from specc.ops import OpError
from specc.ops.op import Example, example
from specc.runtime.export import model_bytes, onnx_model
from specc.targets.onnx_graph import onnx_graph
from tests.ops.test_ops import _session, built, graph_of

INF, NAN = float("inf"), float("nan")
VALUES = [0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -3.5, 1e-8, -1e-8, 1e30, -1e30, INF, -INF, NAN]


def both(name: str, ex: Example, *inputs: torch.Tensor, opset: int = 20) -> tuple[Any, Any]:
    """What PyTorch and what ONNX Runtime computes."""
    graph, module = built(name, ex)
    session = _session(model_bytes(onnx_model(onnx_graph(graph, opset), module.state_dict())))
    names = [i.name for i in session.get_inputs()]
    feeds = {key: x.numpy() for key, x in zip(names, inputs, strict=True)}
    return module(*inputs).numpy(), session.run(None, feeds)[0]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("abs", {}), ("neg", {}), ("sign", {}), ("floor", {}), ("ceil", {}), ("trunc", {}),
        ("round", {}), ("exp", {}), ("log", {}), ("log1p", {}), ("expm1", {}), ("sqrt", {}),
        ("rsqrt", {}), ("square", {}), ("reciprocal", {}), ("atan", {}), ("isnan", {}),
        ("isinf", {}), ("isfinite", {}), ("nan_to_num", {}),
        ("nan_to_num", {"nan": 1.5, "posinf": 2.0, "neginf": -2.0}),
        ("clamp", {"min": -1, "max": 2}), ("clamp", {"min": 0.25}), ("clamp", {"min": 2, "max": 1}),
        ("pow", {"exponent": 2}), ("pow", {"exponent": 3}), ("pow", {"exponent": -1}),
        ("maximum", {"other": 0.25}), ("minimum", {"other": 0.25}), ("bool", {}),
        ("eq", {"other": 1}), ("lt", {"other": 0.5}), ("ne", {"other": INF}),
    ],
)  # fmt: skip
def test_special_values(name: str, params: dict[str, Any]) -> None:
    x = torch.tensor(VALUES[:-1] if name == "sign" else VALUES)
    theirs, ours = both(name, example("L", **params), x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "name", ["maximum", "minimum", "add", "atan2", "hypot", "logaddexp", "lt", "ge"]
)
def test_pairs_of_special_values(name: str) -> None:
    finite = [0.0, 0.5, -0.5, 2.0, -3.5]
    more = {"atan2": [], "hypot": [INF, -INF]}.get(name, [INF, -INF, NAN])
    values = torch.tensor([*finite, *more])
    a, b = torch.meshgrid(values, values, indexing="ij")
    theirs, ours = both(name, example("H W", "H W"), a.contiguous(), b.contiguous())
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "params"), [
    ("floor_divide", {}), ("remainder", {}), ("fmod", {}), ("div", {}),
    ("div", {"rounding_mode": "floor"}), ("div", {"rounding_mode": "trunc"}),
])  # fmt: skip
def test_division_of_all_signs(name: str, params: dict[str, Any]) -> None:
    whole = torch.arange(-7, 8)
    divisors = torch.tensor([-4, -3, -1, 1, 2, 5])
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.float32):
        text = str(dtype).removeprefix("torch.")
        ex = example(f"{text}: N 1", f"{text}: L", **params)
        theirs, ours = both(name, ex, whole[:, None].to(dtype), divisors.to(dtype))
        np.testing.assert_array_equal(ours, theirs)


def test_floor_division_of_fractions_does_not_step_over_an_integer() -> None:
    x = torch.tensor([1.0, -1.0, 0.3, 5.0, -0.0])
    for other in (0.1, -0.1, 0.3, INF):
        for name in ("floor_divide", "remainder"):
            theirs, ours = both(name, example("L", other=other), x)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    by_zero, ours = both("floor_divide", example("L", "L"), x, torch.zeros(5))
    np.testing.assert_array_equal(ours, by_zero)


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
def test_bits_of_integers(name: str) -> None:
    a, b = torch.arange(-8, 8)[:, None], torch.arange(-3, 9)
    for dtype in (torch.int64, torch.int32, torch.int8):
        text = str(dtype).removeprefix("torch.")
        theirs, ours = both(name, example(f"{text}: N 1", f"{text}: L"), a.to(dtype), b.to(dtype))
        np.testing.assert_array_equal(ours, theirs)


def test_bits_of_integers_need_opset_18() -> None:
    graph = graph_of("bitwise_and", example("int64: N", "int64: N"))
    with pytest.raises(OpError) as fault:
        onnx_graph(graph, 17)
    assert fault.value.code == "T407"


def test_cumprod_needs_a_fixed_size_in_onnx() -> None:
    with pytest.raises(OpError) as fault:
        onnx_graph(graph_of("cumprod", example("N T", dim=1)), 20)
    assert fault.value.code == "T407"


def test_narrow_integers_wrap() -> None:
    x = torch.tensor([250, 3, 128, 255], dtype=torch.uint8)
    for name, params in (
        ("add", {"other": 9}),
        ("mul", {"other": 7}),
        ("neg", {}),
        ("sub", {"input": 1}),
    ):
        theirs, ours = both(name, example("uint8: L", **params), x)
        np.testing.assert_array_equal(ours, theirs)


def test_equal_values_keep_their_order() -> None:
    x = torch.tensor([[2.0, 1.0, 2.0, 1.0, 0.0]])
    for descending in (False, True):
        theirs, ours = both("argsort", example("N 5", descending=descending, stable=True), x)
        np.testing.assert_array_equal(ours, theirs)
    for name in ("argmax", "argmin"):
        for text, values in (("N 5", x), ("int64: N 5", x.long()), ("int8: N 5", x.to(torch.int8))):
            theirs, ours = both(name, example(text, dim=1), values)
            np.testing.assert_array_equal(ours, theirs)


def test_logsumexp_does_not_overflow() -> None:
    x = torch.tensor([[1000.0, 999.0], [-1000.0, -1001.0]])
    theirs, ours = both("logsumexp", example("N 2", dim=1), x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_casts_follow_the_precision_of_the_run() -> None:
    _, module = built("to", example("int64: L", dtype="float32"))
    assert module(torch.arange(3)).dtype is torch.float32
    torch.set_default_dtype(torch.float64)
    try:
        assert module(torch.arange(3)).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    _, kept = built("to", example("L", dtype="float32"))
    assert kept(torch.ones(2, dtype=torch.float64)).dtype is torch.float64
