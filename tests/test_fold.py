"""Constant parts of a graph are computed once, and the model stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch

from specc.api.model import load

LAYERS = [
    {"name": "pos", "op": "arange", "end": 6},
    {"name": "mask", "formula": "where(pos[:, None] >= pos[None, :], 0.0, -inf)"},
    {"name": "scores", "formula": "softmax(x + mask, dim=-1)"},
    {"name": "fc", "op": "Linear", "out_features": 3},
]


def spec(layers: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "specc": 1,
        "name": "net",
        "inputs": {"x": {"shape": ["n", 6, 6]}},
        "layers": layers,
        **more,
    }


def test_a_mask_becomes_one_initializer() -> None:
    model = load(spec(LAYERS))
    module = model.compile(seed=0).eval()
    data = model.to_onnx(module.state_dict())
    graph = onnx.load_from_string(data).graph
    assert [node.op_type for node in graph.node] == ["Add", "Softmax", "MatMul", "Add"]
    x = torch.randn(2, 6, 6)
    (actual,) = ort.InferenceSession(data).run(None, {"x": x.numpy()})
    np.testing.assert_allclose(actual, module(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_an_output_that_is_constant_stays_an_output() -> None:
    model = load(spec(LAYERS, outputs={"scores": "scores", "mask": "mask"}))
    module = model.compile(seed=0).eval()
    session = ort.InferenceSession(model.to_onnx(module.state_dict()))
    x = torch.randn(2, 6, 6)
    _, mask = session.run(None, {"x": x.numpy()})
    np.testing.assert_array_equal(mask, module(x)["mask"].numpy())


def test_weights_are_never_folded() -> None:
    layers = [{"name": "table", "op": "Parameter", "shape": [6, 6]}, {"formula": "x + exp(table)"}]
    model = load(spec(layers))
    graph = onnx.load_from_string(model.to_onnx(model.compile().state_dict())).graph
    assert [node.op_type for node in graph.node] == ["Exp", "Add"]
    assert [tensor.name for tensor in graph.initializer] == ["table"]
