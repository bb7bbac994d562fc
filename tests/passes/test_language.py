"""The language's constructs, by what they make: names, shapes, weights and computed values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from specc.api.model import Model, load
from specc.diagnostics.model import SpeccError


def spec(layers: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "specc": 1,
        "name": "net",
        "inputs": {"x": {"shape": ["batch", 4]}},
        "layers": layers,
        **more,
    }


def linear(out: Any, **more: Any) -> dict[str, Any]:
    return {"op": "Linear", "out_features": out, **more}


def keys(model: Model) -> list[str]:
    return list(model.compile().state_dict())


def codes(source: dict[str, Any]) -> list[str]:
    with pytest.raises(SpeccError) as caught:
        load(source)
    return [d.code for d in caught.value.diagnostics]


def test_paths_are_weight_names() -> None:
    model = load(
        spec([linear(3, name="fc"), linear(5), {"name": "tail", "layers": [linear(2), "ReLU"]}])
    )
    assert keys(model) == [
        "fc.weight",
        "fc.bias",
        "1.weight",
        "1.bias",
        "tail.0.weight",
        "tail.0.bias",
    ]
    assert model.compile()(torch.zeros(2, 4)).shape == (2, 2)


def test_repeat_over_a_count_and_a_list() -> None:
    model = load(spec([
        linear("${8 + i}", name="a", repeat=2),
        linear("${item}", name="b", repeat=[7, 6]),
        linear(2, name="c${i + 1}", repeat=2),
    ]))  # fmt: skip
    shapes = {k: tuple(v.shape) for k, v in model.compile().state_dict().items() if "weight" in k}
    assert shapes == {
        "a.0.weight": (8, 4), "a.1.weight": (9, 8), "b.0.weight": (7, 9), "b.1.weight": (6, 7),
        "c1.weight": (2, 6), "c2.weight": (2, 2),
    }  # fmt: skip


def test_a_repetition_of_zero_is_its_input() -> None:
    model = load(spec([linear(3, name="fc"), linear(9, name="none", repeat=0), linear(2)]))
    assert keys(model) == ["fc.weight", "fc.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize(("wide", "names"), [(True, 4), (False, 2)])
def test_when(wide: bool, names: int) -> None:
    layers = [linear(8, name="up", when="${wide}"), {"name": "sum", "formula": "up * 2"}, linear(2)]
    model = load(spec(layers, params={"wide": wide}))
    assert len(keys(model)) == names


def test_a_layer_that_is_not_there_takes_no_index() -> None:
    layers = [linear(8, when="${wide}"), "ReLU", linear(2)]
    for wide, names in ((True, ["0.weight", "2.weight"]), (False, ["1.weight"])):
        model = load(spec(layers, params={"wide": wide}))
        assert [key for key in keys(model) if "weight" in key] == names


def test_a_formula_that_is_not_there_means_what_stands_before_it() -> None:
    layers = [linear(4, name="fc"), {"name": "sum", "formula": "fc + x", "when": "${add}"}]
    x = torch.randn(2, 4)
    for add in (True, False):
        module = load(spec(layers, params={"add": add})).compile()
        wanted = module.fc(x)
        torch.testing.assert_close(module(x), wanted + x if add else wanted, rtol=0, atol=0)


def test_a_tensor_that_is_not_there_has_no_name() -> None:
    layers = [
        {"name": "offset", "op": "Parameter", "shape": [4], "when": False},
        {"name": "sum", "formula": "x + 1"},
    ]
    assert keys(load(spec(layers))) == []
    assert codes(spec([*layers, {"formula": "sum + offset"}])) == ["E202"]


def test_the_block_may_be_an_expression() -> None:
    blocks = {"one": {"layers": [linear(3, name="a")]}, "two": {"layers": [linear(3, name="b")]}}
    layers = [{"name": "part", "block": "${kind}"}]
    for kind, name in (("one", "part.a.weight"), ("two", "part.b.weight")):
        assert name in keys(load(spec(layers, blocks=blocks, params={"kind": kind})))
    assert codes(spec(layers, blocks=blocks, params={"kind": "three"})) == ["R307"]


def test_blocks_with_params_lets_and_shapes() -> None:
    block = {
        "params": {"width": None, "factor": 2},
        "let": {"mid": "${width * factor}"},
        "layers": [linear("${mid}", name="up"), "ReLU", linear("${x.shape[1]}", name="down")],
    }
    layers = [
        {"name": "one", "block": "mlp", "width": 3},
        {"name": "two", "block": "mlp", "width": 5, "factor": 1},
    ]
    model = load(spec(layers, blocks={"mlp": block}))
    shapes = {k: tuple(v.shape) for k, v in model.compile().state_dict().items() if "weight" in k}
    assert shapes == {
        "one.up.weight": (6, 4), "one.down.weight": (4, 6),
        "two.up.weight": (5, 4), "two.down.weight": (4, 5),
    }  # fmt: skip
    assert model.source().count("class Mlp") == 1


def test_share_uses_the_same_weights() -> None:
    layers = [linear(4, name="fc"), {"name": "again", "share": "fc", "from": "fc"}]
    model = load(spec(layers))
    module = model.compile()
    assert list(module.state_dict()) == ["fc.weight", "fc.bias"]
    x = torch.randn(3, 4)
    torch.testing.assert_close(module(x), module.fc(module.fc(x)), rtol=0, atol=0)
    assert model.summary().parameters == 20


def test_a_repeated_share_is_recurrence() -> None:
    layers = [linear(4, name="fc"), {"name": "again", "share": "fc", "repeat": 3}]
    module = load(spec(layers)).compile()
    x = torch.randn(3, 4)
    expected = x
    for _ in range(4):
        expected = module.fc(expected)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=0)


def test_share_refuses_other_shapes() -> None:
    assert codes(spec([linear(3, name="fc"), {"share": "fc", "from": "fc"}])) == ["T408"]


def test_tie_and_freeze() -> None:
    layers = [
        linear(4, name="a", bias=False),
        linear(4, name="b", bias=False, tie={"weight": "a.weight"}, freeze=True),
    ]
    module = load(spec(layers)).compile()
    assert module.b.weight is module.a.weight
    assert not module.b.weight.requires_grad


def test_layers_may_be_named_after_keywords_of_python() -> None:
    layers = [
        {"name": "seq", "layers": [linear(4), "ReLU"]},
        linear(4, name="class", tie={"weight": "seq.0.weight"}),
        linear(4, name="a-b", tie={"weight": "class.weight"}),
        {"name": "for", "op": "Parameter", "shape": [4], "init": "ones_"},
        {"name": "in", "op": "Buffer", "value": [1.0, 2.0, 3.0, 4.0]},
        {"name": "z", "op": "add", "from": ["a-b", "in"]},
        {"op": "mul", "from": ["z", "for"]},
    ]
    module = load(spec(layers)).compile()
    state = module.state_dict()
    assert {"class.weight", "a-b.bias", "for", "in"} <= set(state)
    assert module.get_submodule("class").weight is module.seq[0].weight
    assert module.get_submodule("a-b").weight is module.seq[0].weight
    x = torch.ones(2, 4)
    inner = torch.relu(module.seq[0](x))
    wanted = module.get_submodule("a-b")(module.get_submodule("class")(inner))
    torch.testing.assert_close(module(x), wanted + state["in"], rtol=0, atol=0)


def test_several_inputs_and_outputs() -> None:
    source = spec(
        [
            {"name": "sum", "formula": "x + y"},
            {"name": "pair", "op": "chunk", "chunks": 2, "dim": 1},
        ],
        outputs={"whole": "sum", "half": "pair.1"},
    )
    source["inputs"]["y"] = {"shape": ["batch", 4]}
    result = load(source).compile()(torch.ones(2, 4), torch.full((2, 4), 2.0))
    assert {k: tuple(v.shape) for k, v in result.items()} == {"whole": (2, 4), "half": (2, 2)}


def test_training_only_outputs_stay_out_of_the_export() -> None:
    layers = [
        linear(3, name="body"),
        linear(2, name="head"),
        linear(7, name="aux", **{"from": "body"}),
    ]
    source = spec(layers, outputs={"y": "head", "extra": {"from": "aux", "train_only": True}})
    model = load(source)
    assert [name for name, _ in model.exported.outputs] == ["y"]
    assert "aux" not in [node.path for node in model.exported.nodes]
    assert set(model.compile()(torch.zeros(2, 4))) == {"y", "extra"}


def test_losses_know_lets_and_dims_and_the_shapes_of_columns() -> None:
    source = spec(
        [linear("${wide}", name="fc")], params={"k": 2}, let={"wide": "${3 * k}"}, outputs={"y": "fc"},
        data={"source": {"kind": "memory"}, "columns": {"x": {}, "t": {"shape": ["${wide}"]}}},
        train={"loss": {"formula": "sum((y - t) ** 2) / (wide * batch)"}, "epochs": 1},
    )  # fmt: skip
    y, t = torch.randn(5, 6), torch.randn(5, 6)
    loss = load(source).compile_loss()(y=y, t=t)
    torch.testing.assert_close(loss, torch.nn.functional.mse_loss(y, t))
    source["data"]["columns"]["t"]["shape"] = ["wide"]
    torch.testing.assert_close(load(source).compile_loss()(y=y, t=t), loss)
    for size, code in (("${wid}", "E202"), ("wid", "T405"), ("batch", "T406")):
        source["data"]["columns"]["t"]["shape"] = [size]
        assert codes(source) == [code]


def test_blocks_that_differ_in_repetition_are_one_class() -> None:
    unit = {
        "params": {"wide": None},
        "layers": [linear("${wide}", name="fc"), {"formula": "fc + x"}],
    }
    stage = {
        "params": {"wide": None, "often": None},
        "layers": [
            linear("${wide}", name="enter"),
            {"name": "units", "block": "unit", "wide": "${wide}", "repeat": "${often}"},
        ],
    }
    layers = [
        {"name": f"s{i}", "block": "stage", "wide": 4 * 2**i, "often": 2**i} for i in range(3)
    ]
    model = load(spec(layers, blocks={"unit": unit, "stage": stage}))
    assert model.source().count("class ") == 3
    assert "for _ in range(often)" in model.source()
    module = model.compile()
    assert [len(stage.units) for stage in module.children()] == [1, 2, 4]
    assert module(torch.zeros(2, 4)).shape == (2, 16)


def test_keyword_from() -> None:
    layers = [
        linear(4, name="q"),
        {"op": "where", "from": {"condition": "mask", "other": "x", "input": "q"}},
    ]
    source = spec(layers)
    source["inputs"]["mask"] = {"shape": ["batch", 4], "dtype": "bool"}
    module = load(source).compile()
    x, mask = torch.randn(2, 4), torch.tensor([[True, False, True, False]] * 2)
    torch.testing.assert_close(module(x, mask), torch.where(mask, module.q(x), x), rtol=0, atol=0)


def test_declared_multiples_make_sizes_meet() -> None:
    layers = [
        {"name": "small", "op": "MaxPool2d", "kernel_size": 2},
        {"name": "up", "op": "Upsample", "scale_factor": 2},
        {"formula": "x + up"},
    ]
    source = spec(
        layers, dims={"h": {"multiple_of": 2, "example": 4}, "w": {"multiple_of": 2, "example": 6}}
    )
    source["inputs"] = {"x": {"shape": [1, 3, "h", "w"]}}
    assert load(source).compile()(torch.zeros(1, 3, 4, 6)).shape == (1, 3, 4, 6)
    source["dims"] = {"h": {"min": 2}, "w": {"min": 2}}
    assert codes(source) == ["T406"]
    del source["dims"]
    assert codes(source) == ["T405"]


def write(folder: Path, name: str, value: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def test_extends_changes_a_base(tmp_path: Path) -> None:
    write(
        tmp_path,
        "base.json",
        spec([linear("${hidden}", name="fc")], params={"hidden": 8, "depth": 1}),
    )
    path = write(
        tmp_path,
        "big.json",
        {"extends": "base.json", "name": "big", "params": {"hidden": 16, "depth": None}},
    )
    model = load(path)
    assert model.name == "big"
    assert model.compile().fc.out_features == 16
    assert "depth" not in model.spec.section("params")


def test_imports_bring_blocks(tmp_path: Path) -> None:
    write(tmp_path, "blocks/mlp.json", {"blocks": {"mlp": {"layers": [linear(3, name="fc")]}}})
    path = write(
        tmp_path,
        "a.json",
        spec([{"name": "m", "block": "lib.mlp"}], imports={"lib": "blocks/mlp.json"}),
    )
    model = load(path)
    assert keys(model) == ["m.fc.weight", "m.fc.bias"]
    write(tmp_path, "resolved.json", model.resolved(tmp_path))
    assert keys(load(tmp_path / "resolved.json")) == ["m.fc.weight", "m.fc.bias"]


def test_formulas_become_the_nodes_of_layers_written_out() -> None:
    written = spec([
        {"name": "a", "op": "mul", "other": 2.0},
        {"name": "b", "op": "add", "from": ["a", "x"]},
        {"name": "c", "op": "tanh"},
    ])  # fmt: skip
    as_formula = spec([{"name": "c", "formula": "tanh(x * 2.0 + x)"}])
    x = torch.randn(3, 4)
    torch.testing.assert_close(
        load(written).compile()(x), load(as_formula).compile()(x), rtol=0, atol=0
    )
    ops = [
        [n.op.name for n in load(s).graph.nodes if n.op.name != "scalar"]
        for s in (written, as_formula)
    ]
    assert ops[0] == ops[1] == ["mul", "add", "tanh"]
    assert "torch.tanh(x * 2.0 + x)" in load(as_formula).source()


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("(x + 1) * 2", "(x + 1) * 2"), ("x - (x - 1)", "x - (x - 1)"), ("-x ** 2", "-(x**2)"),
        ("(-x) ** 2", "(-x) ** 2"), ("x / (x * 2)", "x / (x * 2)"), ("(x > 0) & (x < 1)", "(x > 0) & (x < 1)"),
        ("x[:, 1:3]", "x[:, 1:3]"), ("x @ transpose(x, 0, 1)", "x @ x.transpose(0, 1)"),
    ],
)  # fmt: skip
def test_formulas_keep_their_meaning(formula: str, expected: str) -> None:
    source = spec([{"name": "y", "formula": formula}])
    module = load(source).compile()
    x = torch.randn(3, 4)
    wanted = eval(expected, {"x": x})
    torch.testing.assert_close(module(x), wanted, rtol=0, atol=0)


def test_init_rules_and_layers() -> None:
    layers = [
        {
            "name": "body",
            "repeat": 3,
            "layers": [linear(4, name="fc"), linear(4, name="out", init="zeros_")],
        },
        {"name": "offset", "op": "Parameter", "shape": [4], "init": {"op": "constant_", "val": 7}},
        {"formula": "body + offset"},
    ]
    rules = [
        {"path": "body.1.*", "parameter": "bias", "init": {"op": "constant_", "val": 2}},
        {"op": "Linear", "parameter": "bias", "init": {"op": "constant_", "val": 3}},
    ]
    state = load(spec(layers, init=rules)).compile().state_dict()
    values = {
        name: set(tensor.flatten().tolist())
        for name, tensor in state.items()
        if "fc.weight" not in name
    }
    assert values == {
        "offset": {7.0},
        **{f"body.{i}.{n}.bias": {2.0 if i == 1 else 3.0} for i in range(3) for n in ("fc", "out")},
        **{f"body.{i}.out.weight": {0.0} for i in range(3)},
    }  # fmt: skip


def test_init_knows_the_functions_of_torch() -> None:
    import inspect

    from specc.passes.start_functions import FUNCTIONS

    for name, function in FUNCTIONS.items():
        known = list(inspect.signature(getattr(torch.nn.init, name)).parameters)
        assert set(function.arguments) <= set(known[1:])
    assert codes(spec([linear(2, init="zeros")])) == ["S115"]
    assert codes(spec([linear(2, init={"op": "normal_", "sd": 1})])) == ["S101"]
    assert codes(spec([linear(2, init={"wait": "zeros_"})])) == ["R312"]


def test_reserved_names_are_those_of_modules() -> None:
    from specc.spec.names import RESERVED

    known = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert known <= RESERVED


def test_a_part_with_several_outputs() -> None:
    group = {
        "name": "two", "layers": [linear(3, name="a"), linear(2, name="b", **{"from": "x"})],
        "outputs": ["a", "b"],
    }  # fmt: skip
    model = load(spec([group, {"formula": "cat(two.a, two.b, dim=1)"}]))
    module, x = model.compile(), torch.randn(2, 4)
    expected = torch.cat([module.two.a(x), module.two.b(x)], dim=1)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=0)


def test_a_shared_block_counts_its_parameters_once() -> None:
    block = {"layers": [linear(4, name="fc"), linear(4, name="out", init="zeros_")]}
    layers = [{"name": "tower", "block": "mlp"}, {"name": "again", "share": "tower"}]
    model = load(spec(layers, blocks={"mlp": block}))
    assert model.summary().parameters == sum(p.numel() for p in model.compile().parameters()) == 40
    assert [row.path for row in model.summary().rows] == [
        "tower.fc",
        "tower.out",
        "again.fc",
        "again.out",
    ]
