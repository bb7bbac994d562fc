"""Layers of a list that differ, results of repeated layers, ties that depend, computed buffers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from specc.api.model import load
from specc.diagnostics.model import SpeccError

BLOCKS = {
    "step": {
        "params": {"index": 0},
        "inputs": ["x", "states"],
        "layers": [
            {"name": "state", "formula": "states[index]"},
            {"name": "fc", "op": "Linear", "from": "x", "out_features": 4},
            {"name": "sum", "formula": "fc + state"},
            {"name": "next", "formula": "2 * state"},
        ],
        "outputs": ["sum", "next"],
    }
}


def spec(layers: list[Any], **more: Any) -> dict[str, Any]:
    inputs = {"x": {"shape": ["batch", 4]}}
    return {"specc": 1, "name": "net", "inputs": inputs, "layers": layers, **more}


def fc(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "op": "Linear", "out_features": 4, **more}


def errors(layers: list[Any], **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(SpeccError) as caught:
        load(spec(layers, **more))
    return [(d.code, d.message) for d in caught.value.diagnostics]


def test_layers_of_a_list_that_differ() -> None:
    model = load(spec([
        fc("part.0", bias=False), {"name": "part.1", "op": "LayerNorm"},
        fc("part.${i + 2}", repeat=2), {"name": "end", "formula": "x + 1", "doc": "not the list"},
    ], outputs={"y": "part.3"}))  # fmt: skip
    module = model.compile()
    assert list(module.state_dict()) == [
        "part.0.weight", "part.1.weight", "part.1.bias", "part.2.weight", "part.2.bias",
        "part.3.weight", "part.3.bias",
    ]  # fmt: skip
    x = torch.randn(3, 4)
    with torch.no_grad():
        first, norm, second, third = module.part  # type: ignore[misc]
        assert torch.equal(module(x), third(second(norm(first(x)))))


@pytest.mark.parametrize(
    ("layers", "code", "message"),
    [
        ([fc("part.1")], "R304", "`part.1` comes where `part.0` should"),
        ([fc("part.0"), fc("part.2")], "R304", "`part.2` comes where `part.1` should"),
        ([fc("part"), fc("part.0")], "R303", "there is already a layer `part` here"),
        ([fc("part.0"), fc("part")], "R303", "there is already a layer `part` here"),
        ([fc("${'0' if true else ''}.0")], "R304", "`0.0` is not a name"),
    ],
)
def test_a_list_has_no_gaps_and_a_name_of_its_own(layers: Any, code: str, message: str) -> None:
    assert errors(layers) == [(code, message)]


def test_results_of_every_instance() -> None:
    layers = [
        {"name": "states", "formula": "stack([x, x + 1, x + 2])"},
        {"name": "steps", "block": "step", "from": ["x", "states"], "repeat": 3, "index": "${i}"},
        {"name": "all", "op": "stack", "from": "steps.*.next"},
    ]
    model = load(spec(layers, blocks=BLOCKS, outputs={"steps": "steps", "all": "all"}))
    module, x = model.compile(), torch.randn(2, 4)
    with torch.no_grad():
        made = module(x)
        wanted = x
        for number in range(3):
            wanted = module.steps[number].fc(wanted) + x + number  # type: ignore[index,union-attr]
    assert torch.equal(made["all"], torch.stack([2 * x, 2 * (x + 1), 2 * (x + 2)]))
    torch.testing.assert_close(made["steps"], wanted)
    source = model.source()
    assert "nn.ModuleList(Step(i) for i in range(3))" in source
    assert "torch.stack(nexts)" in source


def test_a_pattern_that_matches_nothing() -> None:
    layers = [fc("a"), {"name": "all", "op": "stack", "from": "steps.*.next"}]
    (error,) = errors(layers)
    assert error == ("R301", "there is no layer or input `steps.*.next` here")


def test_a_loop_begins_after_a_first_layer_that_differs() -> None:
    block = {"inputs": ["x", "y"], "layers": [{"formula": "x + y"}, fc("fc", bias=False)]}
    layers = [
        fc("part.0"),
        {"name": "part.${i + 1}", "block": "b", "from": ["part.0", "x"], "repeat": 3},
    ]
    model = load(spec(layers, blocks={"b": block}))
    assert "for layer in self.part[1:]:" in model.source()
    assert "[nn.Linear(4, 4), *(B() for _ in range(3))]" in model.source()
    module, x = model.compile(), torch.randn(2, 4)
    with torch.no_grad():
        wanted = module.part[0](x)  # type: ignore[index,operator]
        for part in list(module.part)[1:]:  # type: ignore[arg-type]
            wanted = part.fc(wanted + x)
        assert torch.equal(module(x), wanted)


@pytest.mark.parametrize(("tied", "count"), [(True, 16), (False, 32)])
def test_a_tie_to_null_is_none(tied: bool, count: int) -> None:
    tie = {"weight": "${'a.weight' if tied else null}"}
    source = spec([fc("a", bias=False), fc("b", bias=False, tie=tie)], params={"tied": tied})
    model = load(source)
    module = model.compile()
    assert sum(p.numel() for p in module.parameters()) == model.summary().parameters == count


def test_a_tie_of_a_group_counts_once() -> None:
    group = {"name": "g", "layers": [fc("b", bias=False)], "tie": {"b.weight": "a.weight"}}
    model = load(spec([fc("a", bias=False), group]))
    assert model.summary().parameters == 16
    assert sum(p.numel() for p in model.compile().parameters()) == 16


def test_a_layer_that_nobody_takes_is_there_for_its_weights() -> None:
    model = load(spec([fc("idle"), fc("used", **{"from": "x"})]))
    assert model.source().count("self.idle") == 1
    assert "idle.weight" in model.compile().state_dict()


# -- computed buffers ----------------------------------------------------------------------------

TABLE = [
    {"name": "steps", "formula": "arange(4) / 4"},
    {"name": "wave", "formula": "cat([sin(steps), cos(steps)])"},
]
SUM = {"formula": "x.shape[1] * x + table[:4]"}


@pytest.mark.parametrize("persistent", [True, False])
def test_a_buffer_computed_from_constants(persistent: bool) -> None:
    buffer = {"name": "table", "op": "Buffer", "from": "wave", "persistent": persistent}
    model = load(spec([*TABLE, buffer, {"formula": "x + table[:4]"}]))
    module, x = model.compile(), torch.randn(2, 4)
    steps = torch.arange(4) / 4
    assert torch.equal(module(x), x + steps.sin())
    assert list(module.state_dict()) == (["table"] if persistent else [])
    forward = model.source().partition("def forward")[2]
    assert "arange" not in forward

    import onnxruntime as ort

    session = ort.InferenceSession(model.to_onnx(module.state_dict()))
    (found,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), module(x))


def test_a_buffer_of_another_type() -> None:
    buffer = {"name": "table", "op": "Buffer", "from": "wave", "dtype": "float64"}
    module = load(spec([*TABLE, buffer, {"formula": "x + table[:4]"}])).compile()
    assert module.state_dict()["table"].dtype == torch.float64


@pytest.mark.parametrize(
    ("layers", "hint"),
    [
        ([{"name": "b", "op": "Buffer", "from": "x"}], None),
        ([fc("w"), {"name": "b", "op": "Buffer", "from": "w"}], None),
        ([{"name": "y", "formula": "x + 1"}, {"name": "b", "op": "Buffer", "from": "y"}],
         "`x` is none"),
        ([{"name": "p", "op": "Parameter", "shape": [2]}, {"name": "y", "formula": "2 * p"},
          {"name": "b", "op": "Buffer", "from": "y"}], "`p` is none"),
    ],
)  # fmt: skip
def test_a_buffer_is_made_of_constants_only(layers: Any, hint: str | None) -> None:
    with pytest.raises(SpeccError) as caught:
        load(spec([*layers, {"formula": "x"}]))
    (error,) = caught.value.diagnostics
    assert (error.code, error.message) == ("R306", "a `Buffer` is computed from constants")
    assert error.hint == hint


def test_a_buffer_needs_a_value_or_a_source() -> None:
    assert [c for c, _ in errors([{"name": "b", "op": "Buffer"}])] == ["S102"]
    both = {"name": "b", "op": "Buffer", "from": "wave", "value": 1}
    assert [c for c, _ in errors([*TABLE, both])] == ["S104"]


# -- expressions ---------------------------------------------------------------------------------


def test_slices_of_a_shape_in_a_formula() -> None:
    model = load(spec([{"formula": "reshape(x + 1, x.shape[:1] + [2, 2])"}]))
    x = torch.randn(3, 4)
    assert torch.equal(model.compile()(x), (x + 1).reshape(3, 2, 2))


def test_numbers_are_shown_as_they_are_meant() -> None:
    layers = [{"formula": "x * width ** -0.5 + sqrt(2 / pi) * x / (2 * pi) + log(10000)"}]
    model = load(spec(layers, params={"width": 512}))
    source = model.source()
    for text in ("(512**-0.5)", "math.sqrt(2 / math.pi)", "(2 * math.pi)", "math.log(10000)"):
        assert text in source
    x = torch.randn(3, 4)
    wanted = x * 512**-0.5 + (2 / torch.pi) ** 0.5 * x / (2 * torch.pi) + 9.210340371976184
    torch.testing.assert_close(model.compile()(x), wanted)


def test_an_error_has_no_followers() -> None:
    layers = [
        {"name": "pair", "op": "chunk", "chunks": "${nothing}", "dim": 1},
        {"formula": "pair[0] + 1"},
        {"op": "Bilinear", "out_features": 2, "from": ["pair.0", "pair.1"]},
    ]
    assert [code for code, _ in errors(layers)] == ["E202"]
