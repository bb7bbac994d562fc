"""Every example of every operator, through shape rule, weights, source, ONNX and three witnesses."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from specc.ir.dims import evaluate
from specc.ir.graph import Graph
from specc.ops import REGISTRY, OpError
from specc.ops.op import Example
from specc.passes.resolve import resolve
from specc.runtime.build import compile_graph
from specc.runtime.export import model_bytes, onnx_model
from specc.spec.load import load_spec
from specc.targets.onnx_graph import onnx_graph
from tests.ops.reference import EVALUATOR_IS_WRONG, TORCH_ONNX_CANNOT, reference

SIZES = {"N": 3, "T": 5, "L": 7, "H": 8, "W": 6, "S": 4, "C": 4}
OTHER = {"N": 1, "T": 2, "L": 9, "H": 11, "W": 9, "S": 6, "C": 4}
CASES = [
    pytest.param(name, ex, id=f"{name}-{i}")
    for name, cls in sorted(REGISTRY.items())
    for i, ex in enumerate(cls.examples)
]


def spec_of(name: str, ex: Example) -> dict[str, Any]:
    """A spec of one layer."""
    inputs = {f"i{n}": _input(text) for n, text in enumerate(ex.inputs)}
    params = {k: list(v) if isinstance(v, tuple) else v for k, v in ex.params.items()}
    layer = {"name": "op", "op": name, **({"from": list(inputs)} if inputs else {}), **params}
    inputs = inputs or {"unused": {"shape": ["N"]}}
    names = {size for made in inputs.values() for size in made["shape"] if isinstance(size, str)}
    dims = {name: {"min": min(SIZES[name], OTHER[name])} for name in sorted(names)}
    return {"specc": 1, "name": "one_op", "dims": dims, "inputs": inputs, "layers": [layer]}


def _input(text: str) -> dict[str, Any]:
    dtype, _, shape = text.rpartition(":")
    dtype, low, high = _range(dtype)
    sizes = [int(s) if s.isdigit() else s for s in shape.split()]
    made: dict[str, Any] = {"shape": sizes, "dtype": dtype.removeprefix("±") or "float32"}
    if dtype.startswith("int"):
        made |= {"low": low} if low else {}
        made |= {"high": high} if high is not None else {}
    return made


def _range(text: str) -> tuple[str, int, int | None]:
    """`-1<=int64<5` is `int64` with the bounds of its values."""
    low, _, rest = text.rpartition("<=")
    dtype, _, high = rest.partition("<")
    return dtype, int(low or 0), int(high) if high else None


def graph_of(name: str, ex: Example) -> Graph:
    """The graph of one layer; every result of it is an output of the model."""
    made = spec_of(name, ex)
    graph = _resolved(made)
    results = next(n for n in graph.nodes if n.path == "op").outputs
    if len(results) == 1:
        return graph
    return _resolved(made | {"outputs": {f"o{i}": v.name for i, v in enumerate(results)}})


def _resolved(made: dict[str, Any]) -> Graph:
    spec, found = load_spec(made)
    assert spec, [d.message for d in found.items]
    graph, found = resolve(spec)
    assert graph, [d.message for d in found.items]
    return graph


def tensors(ex: Example, sizes: dict[str, int], seed: int = 0) -> list[torch.Tensor]:
    """Seeded inputs; `0<=float32<1: N` bounds the values, `±float32: N` means -1 and 1."""
    gen = torch.Generator().manual_seed(seed)
    return [_tensor(text, sizes, gen) for text in ex.inputs]


def _tensor(text: str, sizes: dict[str, int], gen: torch.Generator) -> torch.Tensor:
    info = _input(text)
    name, low, high = _range(text.rpartition(":")[0])
    shape = [sizes[s] if isinstance(s, str) else s for s in info["shape"]]
    dtype = getattr(torch, info["dtype"])
    if name.startswith("±"):
        return (torch.randint(0, 2, shape, generator=gen) * 2 - 1).to(dtype)
    if dtype.is_floating_point and high is not None:
        drawn = torch.rand(shape, generator=gen, dtype=torch.float64)
        return (low + (high - low) * drawn).to(dtype)
    if dtype.is_floating_point:
        return torch.randn(shape, generator=gen, dtype=torch.float64).to(dtype)
    if dtype is torch.bool:
        return torch.rand(shape, generator=gen) < 0.5
    return torch.randint(low, 4 if high is None else high, shape, generator=gen).to(dtype)


def built(name: str, ex: Example) -> tuple[Graph, torch.nn.Module]:
    torch.manual_seed(1)
    graph = graph_of(name, ex)
    module = compile_graph(graph).eval()
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
    return graph, module


def flat(result: Any) -> list[torch.Tensor]:
    """All tensors of a result, in order."""
    if isinstance(result, torch.Tensor):
        return [result]
    return [t for part in result for t in flat(part)]


def layer_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k.removeprefix("op").removeprefix("."): v for k, v in module.state_dict().items()}


@pytest.mark.parametrize(("name", "ex"), CASES)
def test_shapes_and_weights_are_as_declared(name: str, ex: Example) -> None:
    graph, module = built(name, ex)
    node = next(n for n in graph.nodes if n.path == "op")
    for sizes in (SIZES, OTHER):
        with torch.no_grad():
            results = flat(_all_outputs(graph, module, tensors(ex, sizes)))
        for value, actual in zip((v for _, v in graph.outputs), results, strict=True):
            assert tuple(actual.shape) == tuple(evaluate(s, sizes) for s in value.type.shape)
            assert str(actual.dtype) == f"torch.{value.type.dtype}"
    declared = {
        w.name: (tuple(w.type.shape), str(w.type.dtype)) for w in node.weights if w.persistent
    }
    actual_weights = {
        k: (tuple(v.shape), str(v.dtype).removeprefix("torch."))
        for k, v in layer_state(module).items()
    }
    assert declared == actual_weights


def _all_outputs(graph: Graph, module: torch.nn.Module, inputs: list[torch.Tensor]) -> Any:
    result = module(*inputs) if inputs else module(torch.zeros(3))
    return list(result.values()) if isinstance(result, dict) else result


@pytest.mark.parametrize(("name", "ex"), CASES)
def test_source_equals_pytorch(name: str, ex: Example) -> None:
    cls = REGISTRY[name]
    _, module = built(name, ex)
    inputs = tensors(ex, SIZES)
    with torch.no_grad():
        ours = flat(_all_outputs(None, module, inputs))  # type: ignore[arg-type]
        theirs = flat(reference(name, cls.inferred, ex.params, inputs, layer_state(module)))
    for mine, other in zip(ours, theirs, strict=False):
        torch.testing.assert_close(mine, other, rtol=0, atol=0, equal_nan=True)


def excuse(reasons: dict[str, str], name: str, ex: Example) -> str | None:
    """Why a witness does not count for an operator, or for one of its examples."""
    index = next(i for i, known in enumerate(REGISTRY[name].examples) if known is ex)
    return reasons.get(name) or reasons.get(f"{name}-{index}")


def within(actual: np.ndarray, ref64: np.ndarray, torch32: np.ndarray) -> None:
    """The project's own bound: at most four times PyTorch's error, anchored in float64."""
    assert actual.dtype == torch32.dtype
    assert actual.shape == torch32.shape
    if not np.issubdtype(actual.dtype, np.floating):
        np.testing.assert_array_equal(actual, torch32)
        return
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(torch32))
    finite = np.isfinite(ref64)
    np.testing.assert_array_equal(actual[~finite], torch32[~finite])
    if finite.any():
        scale = np.abs(ref64[finite]).max()
        error = np.abs(actual.astype(np.float64) - ref64)[finite].max()
        bound = 4 * np.abs(torch32.astype(np.float64) - ref64)[finite].max() + 4 * 2**-24 * scale
        assert error <= bound, f"error {error:.3e} above the bound {bound:.3e}"


def _numpy(values: list[torch.Tensor]) -> list[np.ndarray]:
    return [v.detach().numpy() for v in values]


def _reference_values(
    graph: Graph, module: torch.nn.Module, inputs: list[torch.Tensor]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    import copy

    doubles = [x.double() if x.is_floating_point() else x for x in inputs]
    with torch.no_grad():
        exact = flat(_all_outputs(graph, copy.deepcopy(module).double(), doubles))
        single = flat(_all_outputs(graph, module, inputs))
    return _numpy(exact), _numpy(single)


def _session(data: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    "opset",
    [pytest.param(17, marks=pytest.mark.slow), 20, pytest.param(23, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(("name", "ex"), CASES)
def test_onnx_equals_pytorch(name: str, ex: Example, opset: int) -> None:
    graph, module = built(name, ex)
    if REGISTRY[name].no_onnx:
        with pytest.raises(OpError) as refusal:
            onnx_graph(graph, opset)
        assert refusal.value.code == "T407"
        return
    data = model_bytes(onnx_model(onnx_graph(graph, opset), module.state_dict()))
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    session = _session(data)
    for sizes in (SIZES, OTHER):
        inputs = tensors(ex, sizes)
        exact, single = _reference_values(graph, module, inputs)
        feeds = {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs, strict=False)}
        if not inputs:
            feeds = {i.name: np.zeros(3, np.float32) for i in session.get_inputs()}
        for actual, ref, mine in zip(session.run(None, feeds), exact, single, strict=True):
            within(actual, ref, mine)
        if not excuse(EVALUATOR_IS_WRONG, name, ex):
            for actual, ref, mine in zip(
                ReferenceEvaluator(model).run(None, feeds), exact, single, strict=True
            ):
                within(np.asarray(actual), ref, mine)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ex"), CASES)
def test_torch_onnx_agrees(name: str, ex: Example) -> None:
    """torch.onnx's own export of the same module, in the same runtime, as third witness."""
    graph, module = built(name, ex)
    if reason := excuse(TORCH_ONNX_CANNOT, name, ex):
        pytest.skip(reason)
    if not ex.inputs:
        pytest.skip("torch.onnx cannot export a model whose inputs are all unused")
    inputs = tensors(ex, SIZES)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, tuple(inputs), buffer, dynamo=False, opset_version=17)
    session = _session(buffer.getvalue())
    feeds = {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs, strict=True)}
    exact, single = _reference_values(graph, module, inputs)
    for actual, ref, mine in zip(session.run(None, feeds), exact, single, strict=True):
        within(actual, ref, mine)


@pytest.mark.parametrize(("name", "ex"), [c for c in CASES if c.values[0][0].isupper()])
def test_an_unnamed_layer_computes_the_same(name: str, ex: Example) -> None:
    """Without a name a module without weights becomes a call of PyTorch's function."""
    spec = spec_of(name, ex)
    del spec["layers"][0]["name"]
    spec["layers"].append({"name": "last", "op": "Identity"})
    loaded, _ = load_spec(spec)
    assert loaded
    graph, found = resolve(loaded)
    assert graph, [d.message for d in found.items]
    _, named = built(name, ex)
    unnamed = compile_graph(graph).eval()
    state = {k.replace("op", "0", 1): v for k, v in named.state_dict().items()}
    unnamed.load_state_dict(state)
    inputs = tensors(ex, SIZES)
    with torch.no_grad():
        wanted = flat(_all_outputs(graph, named, inputs))[0]
        actual = flat(_all_outputs(graph, unnamed, inputs))[0]
    torch.testing.assert_close(actual, wanted, rtol=0, atol=0, equal_nan=True)
