"""Degenerate and ill-conditioned models, looser bounds, discrete outputs, exemptions, crashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from specc.api.model import load
from specc.ir.graph import InputInfo, Interface
from specc.ir.types import DType
from specc.parity.certificate import Certificate
from specc.parity.masks import EXEMPTIONS, compare_masks
from specc.parity.runtimes import OnnxRuntime, default_witnesses
from specc.parity.verify import prove
from tests.parity.faults import nudge_bias
from tests.parity.models import (
    BATCH,
    DIMS,
    MLP,
    Mlp,
    Node,
    State,
    mlp_nodes,
    node,
    onnx_model,
    tensor,
    trained,
)

VECTOR = (InputInfo("x", tensor(BATCH, 8)),)
ORT = [OnnxRuntime("disable_all")]


class Formula(nn.Module):
    def __init__(self, forward: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self._formula = forward

    def forward(self, *inputs: torch.Tensor) -> object:
        return self._formula(self, *inputs)


def proven(
    module: nn.Module, interface: Interface, nodes: list[Node], **options: object
) -> Certificate:
    def export(state: State) -> bytes:
        return bytes(onnx_model(interface, nodes, state).SerializeToString())

    options.setdefault("reweight", export)
    return prove(module.eval(), export(module.state_dict()), interface, **options)  # type: ignore[arg-type]


def zero_head() -> Formula:
    module = Formula(lambda m, x: m.fc(x), fc=nn.Linear(8, 4))
    nn.init.zeros_(module.fc.weight)
    nn.init.zeros_(module.fc.bias)
    return module


HEAD = Interface(VECTOR, (("y", tensor(BATCH, 4)),), DIMS)
HEAD_NODES = [node("Gemm", "x fc.weight fc.bias", "y", transB=1)]


def test_a_zero_head_is_degenerate() -> None:
    certificate = proven(zero_head(), HEAD, HEAD_NODES)
    assert certificate.verdict == "degenerate"
    assert "with given weights: `y` is 0 everywhere" in certificate.notes


def test_a_fresh_zero_head_is_proven_with_other_weights_and_says_so() -> None:
    certificate = proven(zero_head(), HEAD, HEAD_NODES, fresh=True)
    assert certificate.verdict == "pass"
    assert any("perturbed ones were proven instead" in note for note in certificate.notes)


def test_a_fresh_zero_head_that_nobody_can_reweight_stays_degenerate() -> None:
    certificate = proven(zero_head(), HEAD, HEAD_NODES, fresh=True, reweight=None)
    assert certificate.verdict == "degenerate"


def test_an_output_that_is_its_bias_is_degenerate() -> None:
    module = zero_head()
    nn.init.normal_(module.fc.bias)
    certificate = proven(module, HEAD, HEAD_NODES)
    assert certificate.verdict == "degenerate"
    assert "with given weights: `y` is the same for every input" in certificate.notes


def test_an_input_without_a_say_is_degenerate() -> None:
    interface = Interface((*VECTOR, InputInfo("z", tensor(BATCH, 8))), HEAD.outputs, DIMS)
    module = Formula(lambda m, x, z: m.fc(x + z * 0), fc=nn.Linear(8, 4))
    nodes = [node("Sub", "z z", "zero"), node("Add", "x zero", "sum"),
             node("Gemm", "sum fc.weight fc.bias", "y", transB=1)]  # fmt: skip
    certificate = proven(trained(module), interface, nodes, witnesses=ORT)
    assert any("input `z` changes no output" in note for note in certificate.notes)


def test_cancellation_is_ill_conditioned() -> None:
    interface = Interface(VECTOR, (("y", tensor(BATCH, 8)),), DIMS)
    module = Formula(lambda _, x: x + 1e6 - 1e6)
    weights = {"big": torch.tensor(1e6)}
    model = onnx_model(interface, [node("Add", "x big", "up"), node("Sub", "up big", "y")], weights)
    certificate = prove(module, model.SerializeToString(), interface)
    assert certificate.verdict == "ill_conditioned"
    assert any("off float64 in `y` (normal)" in note for note in certificate.notes)


def test_looser_bounds_are_said_openly() -> None:
    module = trained(Mlp())
    model = onnx_model(MLP, mlp_nodes(), module.state_dict(), nudge_bias("fc3.bias"))
    data, loose = model.SerializeToString(), {"bounds": {"max": 400, "rms": 300}}
    assert prove(module, data, MLP).verdict == "fail"
    certificate = prove(module, data, MLP, options=loose)
    assert certificate.verdict == "pass"
    assert certificate.bounds.looser_than_default
    assert "the bounds were made looser" in certificate.notes[0]


def argmax_model(scores: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Formula, Interface]:
    outputs = (("y", tensor(BATCH, dtype=DType.int64)), ("x2", tensor(BATCH, 8)))
    module = Formula(lambda _, x: {"y": scores(x).argmax(-1), "x2": x * 2})
    return module, Interface(VECTOR, outputs, DIMS)


ARGMAX_NODES = [node("Mul", "x two", "x2"), node("ArgMax", "x2", "y", axis=-1, keepdims=0)]
TWO = {"two": torch.tensor(2.0)}


def test_discrete_outputs_are_exact() -> None:
    module, interface = argmax_model(lambda x: x * 2)
    model = onnx_model(interface, ARGMAX_NODES, TWO)
    assert prove(module, model.SerializeToString(), interface).verdict == "pass"
    wrong, _ = argmax_model(lambda x: -x)
    certificate = prove(wrong, model.SerializeToString(), interface)
    assert certificate.verdict == "fail"
    assert "elements of `y` are not equal" in certificate.failures[0]


def test_ties_are_left_out_and_counted() -> None:
    """In a constant row every score is the largest: the runtimes may choose any."""
    module, interface = argmax_model(lambda x: x.flip(-1).flip(-1) * 2)
    nodes = [ARGMAX_NODES[0], node("ArgMax", "x2", "y", axis=-1, keepdims=0, select_last_index=1)]
    certificate = prove(module, onnx_model(interface, nodes, TWO).SerializeToString(), interface)
    constants = [f for f in certificate.families if (f.family, f.output) == ("constants", "y")]
    assert constants and all(f.undecided == 12 and f.verdict == "pass" for f in constants)
    normal = [f for f in certificate.families if (f.family, f.output) == ("normal", "y")]
    assert all(f.undecided == 0 for f in normal)


KERNELS: dict[str, tuple[list[Node], Callable[[torch.Tensor], torch.Tensor], float, str]] = {
    "max pooling drops NaN": (
        [node("MaxPool", "x", "y", kernel_shape=[2])], lambda x: F.max_pool1d(x, 2, 1), np.nan,
        "onnxruntime reference"),
    "ReduceMax and ReduceMin drop NaN": (
        [node("ReduceMax", "x axis", "y")], lambda x: x.amax(-1, True), np.nan, "onnxruntime"),
    "average pooling drops NaN": (
        [node("AveragePool", "x", "y", kernel_shape=[2])], lambda x: F.avg_pool1d(x, 2, 1), np.nan,
        "reference"),
    "Gelu of infinity is infinity, not NaN": (
        [node("Gelu", "x", "y")], F.gelu, np.inf, "onnxruntime reference"),
    "Gelu and HardSwish overflow later": (
        [node("HardSwish", "x", "y")], F.hardswish, 3e38, "onnxruntime reference"),
    "LayerNormalization of huge values is 0": (
        [node("LayerNormalization", "x ones", "y")], lambda x: F.layer_norm(x, (8,)), 1e25,
        "onnxruntime reference"),
    "Sign keeps NaN": ([node("Sign", "x", "y")], torch.sign, np.nan, "onnxruntime reference"),
    "LogSoftmax underflows before its log": (
        [node("LogSoftmax", "x", "y")], lambda x: x.log_softmax(-1), 3e3, "reference"),
}  # fmt: skip


@pytest.mark.parametrize("reason", KERNELS)
def test_every_exempted_difference_is_still_there(reason: str, tmp_path: Path) -> None:
    nodes, torch_form, value, runtimes = KERNELS[reason]
    shape = (("y", tensor(BATCH, 4, 8)),)
    interface = Interface((InputInfo("x", tensor(BATCH, 4, 8)),), shape, DIMS)
    weights = {"ones": torch.ones(8), "axis": torch.tensor([-1])}
    model = onnx_model(interface, nodes, weights)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    x = np.random.default_rng(0).standard_normal((1, 4, 8)).astype(np.float32)
    if reason.startswith("LayerNormalization"):
        x[0, 1] *= value  # one huge element among small ones does not show it
    else:
        x[0, 1, 3] = value
    expected = torch_form(torch.from_numpy(x)).numpy()
    ops = {n.op_type for n in nodes}
    (entry,) = [e for e in EXEMPTIONS if e.reason == reason and ops & e.op_types]
    family = next(iter(entry.families), "normal")
    for witness in default_witnesses():
        (actual,) = witness.run(path, {"x": x}).values()
        strict = compare_masks(actual, expected, witness.runtime, family, ())
        exempt = compare_masks(actual, expected, witness.runtime, family, ops)
        assert (strict.differing > 0) == (witness.runtime in runtimes)
        assert not exempt.differing
        assert exempt.applied == ((reason,) if strict.differing else ())


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_recurrent_gates_still_make_a_number_of_nan(op: str, tmp_path: Path) -> None:
    layer = {"name": "cell", "op": op, "hidden_size": 4, "batch_first": True}
    spec = {"specc": 1, "name": "n", "inputs": {"x": {"shape": [1, 3, 5]}}, "layers": [layer]}
    model = load(spec)
    module = model.compile(seed=0).eval()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.to_onnx(module.state_dict()))
    x = np.random.default_rng(0).standard_normal((1, 3, 5)).astype(np.float32)
    x[0, 1, 2] = np.nan
    expected = module(torch.from_numpy(x)).detach().numpy()
    for witness in default_witnesses():
        (actual,) = witness.run(path, {"x": x}).values()
        strict = compare_masks(actual, expected, witness.runtime, "nan", ())
        exempt = compare_masks(actual, expected, witness.runtime, "nan", {op})
        assert (strict.differing > 0) == (witness.runtime == "onnxruntime")
        assert not exempt.differing


def test_attention_to_nothing_is_still_0(tmp_path: Path) -> None:
    q = np.ones((1, 1, 2, 4), np.float32)
    keep = np.zeros((2, 2), np.bool_)
    made = onnx.helper.make_node("Attention", ["q", "k", "v", "keep"], ["y"])
    values = [*((name, 1, [1, 1, 2, 4]) for name in "qkv"), ("keep", 9, [2, 2])]
    inputs = [onnx.helper.make_tensor_value_info(*value) for value in values]
    graph = onnx.helper.make_graph([made], "m", inputs, [onnx.ValueInfoProto(name="y")])
    opset = onnx.helper.make_opsetid("", 23)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    scores = torch.full((2, 2), -torch.inf).softmax(-1)
    expected = (scores @ torch.ones(1, 1, 2, 4)).numpy()
    for witness in default_witnesses():
        (actual,) = witness.run(path, {"q": q, "k": q, "v": q, "keep": keep}).values()
        assert compare_masks(actual, expected, witness.runtime, "masks", ()).differing
        found = compare_masks(actual, expected, witness.runtime, "masks", {"Attention"})
        assert found.applied == ("attention to nothing is 0",) and not found.differing
        assert compare_masks(actual, expected, witness.runtime, "normal", {"Attention"}).differing


def test_an_applied_exemption_is_in_the_certificate() -> None:
    interface = Interface(VECTOR, (("y", tensor(BATCH, 8)),), DIMS)
    certificate = proven(Formula(lambda _, x: F.gelu(x)), interface, [node("Gelu", "x", "y")])
    assert certificate.verdict == "pass"
    used = {(f.family, reason) for f in certificate.families for reason in f.exemptions}
    assert used == {("inf", "Gelu of infinity is infinity, not NaN")}


def test_the_coarse_elu_is_known_and_only_on_small_inputs() -> None:
    interface = Interface(VECTOR, (("y", tensor(BATCH, 8)),), DIMS)
    certificate = proven(Formula(lambda _, x: F.elu(x)), interface, [node("Elu", "x", "y")])
    assert certificate.verdict == "pass"
    small = [f for f in certificate.families if f.family == "scaled_small"]
    for record in small:
        assert record.exemptions and record.max_error > 100 * record.torch_max_error
    assert not any(f.exemptions for f in certificate.families if f.family == "normal")


def test_a_runtime_that_crashes_is_a_failure_with_its_message() -> None:
    class Broken:
        name = runtime = "broken"
        version, families = "0", None

        def available(self) -> bool:
            return True

        def run(self, model_path: Path, feeds: Mapping[str, object]) -> dict[str, object]:
            raise RuntimeError(f"kernel died on {model_path}\n{len(feeds)}")

    module = trained(Mlp())
    data = onnx_model(MLP, mlp_nodes(), module.state_dict()).SerializeToString()
    certificate = prove(module, data, MLP, witnesses=[Broken(), *ORT])  # type: ignore[list-item]
    assert certificate.verdict == "fail" and certificate.crashed
    assert certificate.failures[0].startswith(
        "RuntimeError: kernel died on model.onnx (normal/0, broken"
    )
    assert all(f.verdict == "pass" for f in certificate.families)


def test_a_file_that_is_no_model_is_a_failure() -> None:
    certificate = prove(trained(Mlp()), b"not a model", MLP)
    assert certificate.verdict == "fail"
    assert certificate.failures


def test_a_cast_inside_does_not_spoil_the_oracle() -> None:
    """A model that casts to float32 in its forward pass is float64 throughout all the same."""
    from specc.parity.reference import Reference

    module = Formula(lambda m, x: m.fc(x.float()) + torch.arange(4) / 3, fc=nn.Linear(8, 4))
    truth = Reference(module, HEAD).truth({"x": np.ones((2, 8), np.float32)})["y"]
    assert truth.dtype == np.float64
    exact = module.fc.weight.double().sum(1) + module.fc.bias.double()
    exact = exact + torch.arange(4, dtype=torch.float64) / 3
    assert np.abs(truth - exact.detach().numpy()).max() < 1e-15


def constant_model(value: float, *, alone: bool = False) -> tuple[Formula, Interface, bytes]:
    """A layer beside a constant of 0.1, one element of which is `value` in the ONNX file."""
    outputs = (("y", tensor(BATCH, 4)), ("c", tensor(4)))[alone:]
    module = trained(Formula(lambda m, x: {"y": m.fc(x), "c": m.c * 1}, fc=nn.Linear(8, 4)))
    module.c = nn.Parameter(torch.full((4,), 0.1))
    interface = Interface(VECTOR, outputs, DIMS)
    nodes = [*([] if alone else HEAD_NODES), node("Identity", "c_stored", "c")]
    weights = {**module.state_dict(), "c_stored": torch.tensor([0.1, 0.1, 0.1, value])}
    return module, interface, onnx_model(interface, nodes, weights).SerializeToString()


def test_a_constant_output_is_compared_and_noted() -> None:
    module, interface, model = constant_model(0.1)
    certificate = prove(module, model, interface)
    assert certificate.verdict == "pass"
    assert "`c` depends on no input" in certificate.notes


def test_a_constant_output_is_exact() -> None:
    module, interface, model = constant_model(float(np.nextafter(np.float32(0.1), np.float32(1))))
    certificate = prove(module, model, interface)
    assert certificate.verdict == "fail"
    assert {f.output for f in certificate.families if f.verdict == "fail"} == {"c"}


def test_a_model_of_constants_alone_proves_nothing() -> None:
    module, interface, model = constant_model(0.1, alone=True)
    assert prove(module, model, interface).verdict == "degenerate"


def indexed(high: int, write_to: Path | None = None) -> Certificate:
    from specc.parity.vectors import write_vectors

    index = InputInfo("i", tensor(2, dtype=DType.int64), 0, high)
    interface = Interface((InputInfo("x", tensor(4, 8)), index), (("y", tensor(2, 8)),), ())
    module = Formula(lambda _, x, i: x[i] * 2)
    nodes = [node("Gather", "x i", "rows", axis=0), node("Mul", "rows two", "y")]
    model = onnx_model(interface, nodes, TWO).SerializeToString()
    certificate = prove(module, model, interface)
    if write_to:
        chosen = [vector.case for vector in certificate.vectors]
        write_vectors(write_to, module, interface, chosen=chosen)
    return certificate


def test_values_that_pytorch_refuses_are_left_out_and_noted(tmp_path: Path) -> None:
    certificate = indexed(6, tmp_path)
    assert certificate.verdict == "pass"
    (note,) = [n for n in certificate.notes if "`range_ends/high`" in n]
    assert note.startswith("left out, for PyTorch refuses its values") and "out of bounds" in note
    tried = {case.name for case in certificate.cases}
    assert "range_ends/low" in tried and "range_ends/high" not in tried
    assert {v.case for v in certificate.vectors} <= tried
    assert (tmp_path / "test_data_set_0" / "output_0.pb").exists()
    assert not any("left out" in note for note in indexed(4).notes)


def test_a_model_that_refuses_all_values_is_not_proven() -> None:
    interface = Interface(VECTOR, (("y", tensor(BATCH, 8)),), DIMS)

    def forward(_: nn.Module, x: torch.Tensor) -> torch.Tensor:
        raise IndexError("index 9 is out of bounds")

    model = onnx_model(interface, [node("Mul", "x two", "y")], TWO).SerializeToString()
    certificate = prove(Formula(forward), model, interface)
    assert certificate.verdict == "fail"
    assert certificate.failures[0].startswith("IndexError: index 9 is out of bounds (normal/0")


def test_a_model_that_breaks_at_some_size_is_not_excused() -> None:
    interface = Interface(VECTOR, (("y", tensor(BATCH, 8)),), DIMS)
    model = onnx_model(interface, [node("Mul", "x two", "y")], TWO).SerializeToString()
    certificate = prove(Formula(lambda _, x: x.reshape(2, 8) * 2), model, interface)
    assert certificate.verdict == "fail"
    assert any("(sizes/" in failure for failure in certificate.failures)


def test_the_share_of_a_bound_is_shown_with_its_own_numbers() -> None:
    from types import SimpleNamespace

    from specc.cli.certificates import certificate_lines

    weights = {"most": torch.full((8,), 2.0 * (1 + 3e-7))}
    interface = Interface(VECTOR, (("y", tensor(BATCH, 8)),), DIMS)
    model = onnx_model(interface, [node("Mul", "x most", "y")], weights).SerializeToString()
    certificate = prove(Formula(lambda _, x: x * 2), model, interface)
    worst = certificate.worst
    assert worst and worst.rms_error / worst.rms_bound == worst.used > 1
    done = SimpleNamespace(certificate=certificate, proven=False, model=None, failed=None)
    line = next(text for text in certificate_lines(done) if "its bound" in text)
    assert line.startswith(f"furthest over its bound: {worst.used:.0%}")
    assert f"(rms error {worst.rms_error:.3g}, bound {worst.rms_bound:.3g}," in line
