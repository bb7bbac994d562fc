"""Outputs have their names in the ONNX file, whatever else wants them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import onnx
import onnxruntime
import pytest
import torch

from specc.api.model import load
from specc.ir.graph import Graph, Value
from specc.runtime.build import compile_graph
from specc.runtime.export import model_bytes, onnx_model
from specc.targets.onnx_graph import onnx_graph


def graph_of(layers: list[Any], outputs: dict[str, str], **inputs: Any) -> Graph:
    given = inputs or {"x": {"shape": ["batch", 4]}}
    spec = {"specc": 1, "name": "net", "inputs": given, "layers": layers, "outputs": outputs}
    return load(spec).graph


def assert_same(graph: Graph, **inputs: torch.Tensor) -> None:
    """The names and numbers of ONNX Runtime are those of the module."""
    torch.manual_seed(0)
    module = compile_graph(graph).eval()
    data = model_bytes(onnx_model(onnx_graph(graph), module.state_dict()))
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    session = onnxruntime.InferenceSession(data)
    assert [o.name for o in session.get_outputs()] == [name for name, _ in graph.outputs]
    found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        wanted = module(*inputs.values())
    for (name, _), value in zip(graph.outputs, found, strict=True):
        torch.testing.assert_close(torch.from_numpy(value), wanted[name], rtol=1e-5, atol=1e-6)


LAYERS = [{"name": "p", "op": "Parameter", "shape": [4]},
          {"name": "a", "op": "Linear", "from": "x", "out_features": 4},
          {"name": "b", "formula": "a * 2.5 + p"},
          {"name": "c", "op": "Softmax", "dim": -1}]  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [{"p": "a", "y": "p"}, {"p": "p", "y": "b"}, {"a": "b", "b": "a"}, {"c": "a", "y": "a"},
     {"a.weight": "b", "a.bias": "c"}, {"a.weight.T": "b", "y": "c"},
     {"const/float32/2.5": "b", "y": "a"}, {"b/Mul": "a", "a/Gemm": "c", "c/Identity": "b"},
     {"y": "a", "y/Identity": "a"}],
)  # fmt: skip
def test_outputs_with_names_of_other_values(names: dict[str, str]) -> None:
    graph = graph_of(LAYERS, {f"out{i}": layer for i, layer in enumerate(names.values())})
    values = [value for _, value in graph.outputs]
    renamed = replace(graph, outputs=tuple(zip(names, values, strict=True)))
    assert_same(renamed, x=torch.randn(3, 4))


@pytest.mark.parametrize("name", ["a.weight", "a.weight.T", "a", "const/float32/2.5", "p"])
def test_an_input_with_the_name_of_a_weight(name: str) -> None:
    graph = graph_of(LAYERS, {"y": "c", "z": "a"})
    (x,) = graph.inputs
    value = Value(name, x.type)
    nodes = tuple(
        replace(node, inputs=tuple(value if v is x else v for v in node.inputs))
        for node in graph.nodes
    )
    assert_same(replace(graph, inputs=(value,), nodes=nodes), **{name: torch.randn(3, 4)})
