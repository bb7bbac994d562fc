"""How the generated source reads, and that reading well never changes what it computes."""

from __future__ import annotations

import importlib
import re
from pkgutil import iter_modules
from typing import Any

import torch

from specc import ops
from specc.api.model import Model, load
from specc.targets.pytorch.classes import HELPERS as HELPER_CLASSES
from specc.targets.pytorch.variables import HELPERS


def model(layers: list[Any], blocks: dict[str, Any] | None = None, **more: Any) -> Model:
    base = {"specc": 1, "name": "net", "inputs": {"x": {"shape": ["batch", 4]}}}
    return load({**base, "layers": layers, "blocks": blocks or {}, **more})


def linear(out: Any, **more: Any) -> dict[str, Any]:
    return {"op": "Linear", "out_features": out, **more}


def shapes(made: Model) -> dict[str, tuple[int, ...]]:
    state = made.compile().state_dict()
    return {key: tuple(tensor.shape) for key, tensor in state.items() if "weight" in key}


def test_neighbours_that_are_equal_are_written_once() -> None:
    blocks = {"part": {"params": {"out": None}, "layers": [linear("${out}", name="fc"), "ReLU"]}}
    layers = [{"name": "body", "block": "part", "repeat": 9, "out": "${8 if i < 4 else 3}"}]
    made = model(layers, blocks)
    source = made.source()
    assert "*(Part(8, 8) for _ in range(3))" in source
    assert "*(Part(3, 3) for _ in range(4))" in source
    assert [s[0] for s in shapes(made).values()] == [8] * 4 + [3] * 5


def test_a_block_that_is_a_chain_is_a_class_with_arguments() -> None:
    chain = {"params": {"out": None, "p": 0.5},
             "layers": [linear("${out}"), {"op": "Dropout", "p": "${p}"}, "ReLU"]}  # fmt: skip
    layers = [{"block": "chain", "out": 6}, {"block": "chain", "out": 3, "p": 0.1}]
    made = model(layers, {"chain": chain})
    assert "class Chain(nn.Sequential):" in made.source()
    assert shapes(made) == {"0.0.weight": (6, 4), "1.0.weight": (3, 6)}
    assert [m.p for m in made.compile().modules() if isinstance(m, torch.nn.Dropout)] == [0.5, 0.1]


def test_an_argument_never_takes_the_name_of_another() -> None:
    """Two sizes called `channels`: the block's own, and the argument of a block inside."""
    inner = {"params": {"channels": None}, "layers": [linear("${channels}"), "ReLU"]}
    outer = {
        "params": {"channels": None, "wide": None},
        "layers": [
            {"name": "up", "block": "inner", "channels": "${wide}"},
            linear("${channels}", name="down"),
            {"formula": "down * 2"},
        ],
    }
    layers = [
        {"name": f"p{i}", "block": "outer", "channels": c, "wide": w}
        for i, (c, w) in enumerate([(5, 7), (3, 11), (6, 13)])
    ]
    made = model(layers, {"inner": inner, "outer": outer})
    assert made.source().count("class Outer") == 1
    assert shapes(made) == {
        "p0.up.0.weight": (7, 4), "p0.down.weight": (5, 7), "p1.up.0.weight": (11, 5),
        "p1.down.weight": (3, 11), "p2.up.0.weight": (13, 3), "p2.down.weight": (6, 13),
    }  # fmt: skip


def test_numbers_that_differ_within_a_formula_keep_its_order() -> None:
    part = {
        "params": {"k": None},
        "layers": [linear("${k}", name="fc"), {"formula": "fc / 2 / (4 * k)", "doc": "order"}],
    }
    layers = [{"name": f"p{i}", "block": "part", "k": k} for i, k in enumerate([2, 3, 5])]
    made = model(layers, {"part": part})
    module = made.compile(seed=0)
    x = torch.randn(2, 4)
    wanted = x
    for name, k in (("p0", 2), ("p1", 3), ("p2", 5)):
        wanted = module.get_submodule(name).fc(wanted) / 2 / (4 * k)
    torch.testing.assert_close(module(x), wanted, rtol=0, atol=0)


def test_layers_called_by_number_around_a_reshape_stay_a_sequential() -> None:
    layers = [linear(6), {"name": "turned", "op": "permute", "dims": [1, 0]},
              {"name": "back", "op": "permute", "dims": [1, 0]}, linear(2, name="1")]  # fmt: skip
    made = model([{"name": "part", "layers": layers}])
    assert "class Part(nn.Sequential):" in made.source()
    assert "self[1](" in made.source()
    assert list(shapes(made)) == ["part.0.weight", "part.1.weight"]
    assert made.compile()(torch.zeros(3, 4)).shape == (3, 2)


def test_a_permutation_within_a_chain_is_a_module() -> None:
    made = model([linear(6), {"op": "permute", "dims": [1, 0]}, "ReLU",
                  {"op": "permute", "dims": [1, 0]}, linear(2)])  # fmt: skip
    assert "Permute((1, 0))" in made.source()
    assert list(shapes(made)) == ["0.weight", "4.weight"]
    assert made.compile()(torch.zeros(3, 4)).shape == (3, 2)


def test_repeated_layers_with_their_number_in_the_name() -> None:
    part = {"layers": [linear("${x.shape[1]}", name="fc"), {"formula": "fc + x"}]}
    layers = [
        {"name": "a", "layers": [{"name": "part_${i}", "block": "part", "repeat": 3}]},
        {"name": "b", "layers": [{"name": "part${i + 1}", "block": "part", "repeat": 3}]},
    ]
    made = model(layers, {"part": part})
    assert 'OrderedDict((f"part_{i}", Part()) for i in range(3))' in made.source()
    assert 'OrderedDict((f"part{i + 1}", Part()) for i in range(3))' in made.source()
    assert list(shapes(made)) == [
        *(f"a.part_{i}.fc.weight" for i in range(3)), *(f"b.part{i}.fc.weight" for i in (1, 2, 3))
    ]  # fmt: skip


def test_a_shape_is_said_where_it_changes() -> None:
    source = model([linear(4, name="a"), {"name": "b", "formula": "a + x"},
                    linear(2, name="c"), {"formula": "c * 2"}]).source()  # fmt: skip
    lines = [line for line in source.splitlines() if " = " in line and "# (" in line]
    assert len(lines) == 2


def test_starts_are_given_by_kind_of_module() -> None:
    rules = [{"op": "Linear", "parameter": "weight", "init": "ones_"},
             {"op": "Linear", "parameter": "bias", "init": {"op": "constant_", "val": 2}}]  # fmt: skip
    made = model([linear(3, name="a"), linear(2, name="b", bias=False)], init=rules)
    assert "isinstance(module, nn.Linear)" in made.source()
    state = made.compile().state_dict()
    assert {key: set(t.flatten().tolist()) for key, t in state.items()} == {
        "a.weight": {1.0}, "a.bias": {2.0}, "b.weight": {1.0},
    }  # fmt: skip


def test_the_projection_of_attention_is_no_linear_layer_of_the_spec() -> None:
    attention = {"name": "a", "op": "MultiheadAttention", "from": ["x", "x", "x"], "num_heads": 2}
    rules = [{"op": "Linear", "parameter": "weight", "init": "ones_"}]
    made = model([attention, linear(3, name="b", **{"from": "a.attn_output"})], init=rules)
    state = made.compile().state_dict()
    assert set(state["b.weight"].flatten().tolist()) == {1.0}
    assert len(set(state["a.out_proj.weight"].flatten().tolist())) > 1


def test_blocks_and_models_called_like_a_helper_class() -> None:
    block = {"layers": [linear(4, name="fc"), {"formula": "fc + x"}]}
    turned = {"op": "permute", "dims": [1, 0]}
    layers = [{"block": "permute"}, turned, "ReLU", turned]
    made = model(layers, {"permute": block}, name="permute")
    assert made.compile()(torch.zeros(2, 4)).shape == (2, 4)


def test_a_layer_called_like_a_helper_function() -> None:
    layers = [{"name": "normal_sample", "op": "normal_sample", "from": ["x", "x"]},
              {"formula": "normal_sample + normal_sample * x"}]  # fmt: skip
    module = model(layers).compile().eval()
    assert module(torch.ones(2, 4)).tolist() == [[2.0] * 4] * 2


def test_every_helper_is_known() -> None:
    modules = [importlib.import_module(f"specc.ops.{m.name}") for m in iter_modules(ops.__path__)]
    texts = [v for module in modules for v in vars(module).values() if type(v) is str]
    for pattern, known in ((r"^class (\w+)\(nn\.", HELPER_CLASSES), (r"^def (\w+)\(", HELPERS)):
        found = {name for text in texts for name in re.findall(pattern, text, re.M)}
        assert found == known
