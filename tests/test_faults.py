"""Faults planted into the lowering of real specs: the proof must catch every one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from specc.api.model import Model, load
from specc.ops import REGISTRY
from specc.parity.verify import prove
from specc.runtime.export import model_bytes, onnx_model
from specc.targets.onnx_graph import OnnxGraph, OnnxNode, onnx_graph

SPEC = {
    "specc": 1,
    "name": "faulty",
    "dims": {"batch": {"min": 1, "max": 4, "example": 2}},
    "inputs": {"image": {"shape": ["batch", 3, 8, 8]}, "bias": {"shape": ["batch", 16]}},
    "layers": [
        {"name": "conv", "op": "Conv2d", "from": "image", "out_channels": 8, "kernel_size": 3},
        {"name": "bn", "op": "BatchNorm2d"},
        "GELU",
        {"name": "pool", "op": "AdaptiveAvgPool2d", "output_size": 1},
        {"name": "flat", "op": "Flatten"},
        {"name": "fc1", "op": "Linear", "out_features": 16},
        {"name": "shifted", "formula": "fc1 - bias"},
        {"name": "norm", "op": "LayerNorm"},
        {"name": "fc2", "op": "Linear", "out_features": 16},
    ],
    "outputs": {"features": "norm", "scores": "fc2"},
}

State = dict[str, torch.Tensor]
Edit = Callable[[OnnxGraph], None]


@cache
def built() -> tuple[Model, torch.nn.Module]:
    model = load(SPEC)
    module = model.compile(seed=3).eval()
    with torch.no_grad():
        module.bn.running_var.uniform_(0.001, 0.01)
        module.bn.running_mean.normal_(0, 0.1)
    return model, module


def lowered(edit: Edit | None = None, weights: Callable[[State], State] | None = None) -> bytes:
    model, module = built()
    graph = onnx_graph(model.exported)
    if edit:
        edit(graph)
    state = {k: v.clone() for k, v in module.state_dict().items()}
    return model_bytes(onnx_model(graph, weights(state) if weights else state))


def verdict(data: bytes) -> str:
    model, module = built()
    return prove(module, data, model.interface).verdict


def changed(name: str, change: Callable[[OnnxNode], OnnxNode]) -> Edit:
    """An edit of the node that is named after a layer."""

    def edit(graph: OnnxGraph) -> None:
        found = [i for i, node in enumerate(graph.nodes) if node.op_type == name]
        assert found, f"no {name} to change"
        for i in found:
            graph.nodes[i] = change(graph.nodes[i])

    return edit


def epsilon_tenth(node: OnnxNode) -> OnnxNode:
    return replace(
        node, attributes={**node.attributes, "epsilon": node.attributes["epsilon"] * 0.1}
    )


def with_attribute(**attributes: Any) -> Callable[[OnnxNode], OnnxNode]:
    return lambda node: replace(node, attributes={**node.attributes, **attributes})


def swapped(node: OnnxNode) -> OnnxNode:
    return replace(node, inputs=(node.inputs[1], node.inputs[0], *node.inputs[2:]))


def drop_output(graph: OnnxGraph) -> None:
    graph.outputs.pop()


def bias_off(state: State) -> State:
    state["fc2.bias"][0] += 1e-6
    return state


def rounded(state: State) -> State:
    return {k: v.half().float() if v.is_floating_point() else v for k, v in state.items()}


def transposed(state: State) -> State:
    state["conv.weight"] = state["conv.weight"].transpose(2, 3).contiguous()
    return state


def with_nan(state: State) -> State:
    state["conv.weight"][0, 0, 0, 0] = float("nan")
    return state


EDITS: dict[str, Edit] = {
    "BatchNorm epsilon": changed("BatchNormalization", epsilon_tenth),
    "LayerNorm epsilon": changed("LayerNormalization", epsilon_tenth),
    "GELU by tanh": changed("Gelu", with_attribute(approximate="tanh")),
    "two inputs swapped": changed("Sub", swapped),
    "an output missing": drop_output,
}
WEIGHTS: dict[str, Callable[[State], State]] = {
    "a bias off by 1e-6": bias_off,
    "weights rounded to float16": rounded,
    "a transposed kernel": transposed,
    "a NaN": with_nan,
}


def test_the_clean_model_passes() -> None:
    assert verdict(lowered()) == "pass"


@pytest.mark.parametrize("fault", EDITS)
def test_a_fault_in_the_graph_is_caught(fault: str) -> None:
    assert verdict(lowered(EDITS[fault])) == "fail"


@pytest.mark.parametrize("fault", WEIGHTS)
def test_a_fault_in_the_weights_is_caught(fault: str) -> None:
    assert verdict(lowered(weights=WEIGHTS[fault])) == "fail"


def test_a_fault_in_an_operator_names_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted where a real one would be: in the operator's own lowering."""
    lower = REGISTRY["LayerNorm"].onnx

    def wrong(self: Any, g: Any, input: Any) -> Any:
        copy = REGISTRY["LayerNorm"](**{**self.__dict__, "eps": self.eps * 0.1})
        return lower(copy, g, input)

    monkeypatch.setattr(REGISTRY["LayerNorm"], "onnx", wrong)
    model, module = built()
    certificate = prove(module, lowered(), model.interface, graph=model.exported)
    assert certificate.verdict == "fail"
    assert certificate.divergence is not None
    assert certificate.divergence.layer == "norm"
    assert certificate.divergence.pointer == "/layers/7"
