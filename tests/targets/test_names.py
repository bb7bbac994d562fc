"""Names that a spec may choose never hide a name that the generated source needs."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch

from specc.api.model import Model, load
from specc.targets.torch_source import torch_source


def model(
    layers: list[Any], blocks: dict[str, Any] | None = None, shape: Any = ("batch", 4), **more: Any
) -> Model:
    base = {"specc": 1, "name": "net", "inputs": {"x": {"shape": list(shape)}}}
    return load({**base, "layers": layers, "blocks": blocks or {}, **more})


def linear(out: Any, **more: Any) -> dict[str, Any]:
    return {"op": "Linear", "out_features": out, **more}


@pytest.mark.parametrize(
    "name",
    ["self", "forward", "nn", "super", "training", "torch", "F", "state_dict", "i", "_",
     "_modules", "_parameters", "type", "register_buffer", "layer", "float"],
)  # fmt: skip
def test_a_parameter_of_a_block_with_a_name_that_the_class_needs(name: str) -> None:
    layers = [linear(4, name="fc"), {"formula": f"(fc - fc + x) * {name}"}]
    calls = [{"block": "part", name: value} for value in (2.0, 3.0, 5.0)]
    made = model(calls, {"part": {"params": {name: None}, "layers": layers}})
    assert made.source().count("class Part") == 1
    assert made.compile()(torch.ones(1, 4)).tolist() == [[30.0] * 4]


def test_a_parameter_called_like_the_class_of_a_layer() -> None:
    inner = {"layers": [linear(4, name="fc"), {"formula": "fc - fc + x"}]}
    layers = [{"name": "a", "block": "inner"}, {"formula": "a * Inner"}]
    calls = [{"block": "outer", "Inner": value} for value in (2.0, 3.0, 5.0)]
    outer = {"params": {"Inner": None}, "layers": layers}
    made = model(calls, {"inner": inner, "outer": outer})
    assert made.compile()(torch.ones(1, 4)).tolist() == [[30.0] * 4]


def test_an_attribute_never_has_the_name_of_a_layer() -> None:
    layers = [linear(4, name="size"), {"formula": "(size - size + x) * k"}]
    block = {"params": {"s": None}, "let": {"k": "${s * s + 1}"}, "layers": layers}
    made = model([{"block": "part", "s": s} for s in (1, 2, 3)], {"part": block})
    assert made.source().count("class Part") == 1
    assert made.compile()(torch.ones(1, 4)).tolist() == [[2.0 * 5 * 10] * 4]


@pytest.mark.parametrize("name", ["torch", "nn", "F", "float", "max", "self", "layer", "len"])
def test_a_size_with_the_name_of_a_module(name: str) -> None:
    layers = [{"name": "a", "op": "arange", "end": "${x.shape[1]}", "dtype": "float32"},
              {"formula": "relu(x) * 0 + a[:, None]"}]  # fmt: skip
    made = model(layers, shape=("b", name, 4)).compile()
    wanted = torch.arange(3.0)[None, :, None].expand(2, 3, 4)
    torch.testing.assert_close(made(torch.ones(2, 3, 4)), wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    "name", ["normalization", "stochastic_depth", "permute", "given_normalization", "ordered_dict"]
)
def test_a_model_or_block_with_the_name_of_a_class_before_it(name: str) -> None:
    block = {"layers": [linear("${x.shape[1]}", name="fc"), {"formula": "fc + x"}]}
    numbered = {"name": "part_${i}", "block": name, "repeat": 3}
    layers = [{"name": "a", "layers": [numbered]}, {"op": "StochasticDepth", "p": 0.5, "mode": "row"},
              {"op": "permute", "dims": [1, 0]}, "ReLU"]  # fmt: skip
    made = model(layers, {name: block}, name=name)
    assert made.compile().eval()(torch.zeros(2, 4)).shape == (4, 2)


@pytest.mark.parametrize(
    "doc",
    ['ends with a "quote"', 'a """ within', "ends with a \\", "two\nlines", "\x00 and \x0c", '"',
     'ends with \\"', "wide " * 40, "w" * 100, '"""', "   ", "a\n\n  b"],
)  # fmt: skip
def test_any_text_can_be_the_doc(doc: str) -> None:
    made = model([linear(3, name="a"), {"formula": "a * 2"}])
    source = torch_source(made.graph, doc)
    found = ast.get_docstring(ast.parse(source).body[-1], clean=True) or ""  # type: ignore[arg-type]
    assert found.split() == doc.split()
    assert all(len(line) <= 88 or "www" in line for line in source.splitlines())


def test_a_short_doc_stays_on_one_line() -> None:
    made = model([linear(3, name="a")], doc='Says "hi" \\ and more')
    assert '    """Says "hi" \\\\ and more"""\n' in made.source()


def test_a_doc_asks_for_no_imports() -> None:
    doc = "Uses torch.nn, math.pi, OrderedDict(), fnmatch() and F.relu."
    source = model([linear(3), "ReLU"], doc=doc).source()
    assert [line for line in source.splitlines() if "import" in line] == ["from torch import nn"]


@pytest.mark.parametrize("name", ['"', "\\", "a\nb", "\x00", "\u00e9", "\U0001f600", "\ud800"])
def test_any_text_is_written_as_a_key(name: str) -> None:
    from specc.targets.pytorch.constructor import literal

    assert ast.literal_eval(literal(name)) == name


def test_a_formula_of_numbers_is_a_tensor() -> None:
    layers = [{"name": "two", "formula": "1 + 1"}, {"name": "part", "formula": "0.5"},
              {"name": "size", "formula": "x.shape[0] * 2"},
              {"name": "twice", "op": "ReLU", "from": "two"},
              {"name": "out", "formula": "x * two * part"}]  # fmt: skip
    outputs = {name: name for name in ("two", "part", "size", "twice", "out")}
    module = model(layers, outputs=outputs).compile()
    found = module(torch.ones(8, 4))
    assert {k: (v.dtype, v.tolist()) for k, v in found.items() if k != "out"} == {
        "two": (torch.int64, 2), "part": (torch.float32, 0.5), "size": (torch.int64, 16),
        "twice": (torch.int64, 2),
    }  # fmt: skip
    assert found["out"].tolist() == [[1.0] * 4] * 8


def test_results_that_nothing_reads_have_no_name() -> None:
    layers = [{"name": "lstm", "op": "LSTM", "hidden_size": 3, "batch_first": True},
              {"formula": "lstm.output * 2"}]  # fmt: skip
    made = model(layers, shape=("batch", 5, 4))
    assert "lstm_output, _ = self.lstm(x)" in made.source()
    assert made.compile()(torch.zeros(2, 5, 4)).shape == (2, 5, 3)


def test_an_input_called_like_an_unread_result() -> None:
    layers = [{"name": "lstm", "op": "LSTM", "from": "_", "hidden_size": 4},
              {"formula": "lstm.output + _"}]  # fmt: skip
    made = load({"specc": 1, "name": "net", "inputs": {"_": {"shape": ["time", "batch", 4]}},
                 "layers": layers})  # fmt: skip
    x = torch.randn(5, 2, 4)
    module = made.compile()
    torch.testing.assert_close(module(x), module.lstm(x)[0] + x, rtol=0, atol=0)


def test_a_size_outlives_the_variable_that_it_is_read_from() -> None:
    """Within the block the size is `2*n`, and the name `x` holds another tensor by then."""
    layers = [{"op": "mean", "dim": 1}, linear(5), linear(6, name="z"),
              {"name": "r", "op": "arange", "end": "${x.shape[1]}", "dtype": "float32"},
              {"formula": "z[:, None, :] * 0 + r[:, None]"}]  # fmt: skip
    doubled = {"op": "cat", "from": ["x", "x"], "dim": 1}
    made = model([doubled, {"block": "part"}], {"part": {"layers": layers}}, shape=("b", "n", 4))
    assert made.compile()(torch.ones(2, 3, 4)).tolist() == [[[float(i)] * 6 for i in range(6)]] * 2


def test_a_loop_keeps_what_each_round_reads() -> None:
    part = {"inputs": ["x", "c"], "layers": [linear(4, name="fc"), {"formula": "fc + c"}]}
    layers = [linear(4, name="h"), {"name": "l", "block": "part", "from": ["h", "x"], "repeat": 3},
              {"formula": "l * 2"}]  # fmt: skip
    made = model(layers, {"part": part})
    assert "for layer in self.l:" in made.source()
    module = made.compile(seed=0)
    x = torch.randn(2, 4)
    wanted = module.h(x)
    for layer in module.l:
        wanted = layer.fc(wanted) + x
    torch.testing.assert_close(module(x), wanted * 2, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["keys", "key"])
def test_a_loop_collects_results_beside_an_input_of_their_name(name: str) -> None:
    layers = [linear(4, name="fc", **{"from": "x"}), {"name": "made", "formula": f"fc + {name}"},
              {"name": "o", "formula": "x + made"}]  # fmt: skip
    part = {"inputs": ["x", name], "layers": layers, "outputs": {"o": "o", "key": "made"}}
    calls = [{"name": "l", "block": "part", "from": ["x", name], "repeat": 3},
             {"name": "s", "op": "stack", "from": "l.*.key"}]  # fmt: skip
    shape = {"shape": ["batch", 4]}
    made = load({"specc": 1, "name": "net", "inputs": {"x": shape, name: shape}, "layers": calls,
                 "blocks": {"part": part}, "outputs": {"y": "l", "s": "s"}})  # fmt: skip
    assert "for layer in self.l:" in made.source()
    module = made.compile(seed=0)
    x, c = torch.randn(2, 4), torch.randn(2, 4)
    found, keys = module(x, c), []
    for layer in module.l:
        keys.append(layer.fc(x) + c)
        x = x + keys[-1]
    torch.testing.assert_close(found, {"y": x, "s": torch.stack(keys)}, rtol=0, atol=0)
