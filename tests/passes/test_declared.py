"""What a spec declares, against its graph: names, bounds of integers, sizes, `--set`."""

from __future__ import annotations

from typing import Any

import pytest

from specc.api.checking import check
from specc.api.model import load
from specc.ir.dims import Size, evaluate, symbol
from specc.passes.undersized import smallest


def spec(**changes: Any) -> dict[str, Any]:
    layers = [{"name": "fc", "op": "Linear", "out_features": 3}]
    return {"specc": 1, "name": "m", "inputs": {"x": {"shape": ["b", 4]}}, "layers": layers} | (
        changes
    )


def told(source: dict[str, Any], *sets: str) -> list[str]:
    return [f"{d.code} {d.message}" for d in check(source, sets).items]


def test_sizes_of_inputs_may_be_expressions_over_dims() -> None:
    inputs = {"x": {"shape": ["b", 4]}, "y": {"shape": ["b", "${b * 2}"]}}
    model = load(spec(inputs=inputs))
    assert [str(v.type) for v in model.interface.inputs] == ["float32(b, 4)", "float32(b, 2*b)"]


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        ({"min": "${2 ** 40}"}, "`min` of dim `b` must be at most 2147483647, got `1099511627776`"),
        ({"multiple_of": "${0}"}, "`multiple_of` of dim `b` must be at least 1, got `0`"),
        ({"max": "${'a'}"}, "`max` of dim `b` must be an integer, at least 1, at most 2147483647"),
    ],
)
def test_facts_of_dims_are_sizes(dim: dict[str, Any], message: str) -> None:
    (found,) = told(spec(dims={"b": dim}))
    assert found.startswith(f"S103 {message}")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("${5 / 2}", "`2.5` is not a size"), ("${2 ** 40}", "`1099511627776` is not a size"),
        ("${b - 3}", "the size would be `b - 3`, which is -2 at `b` = 1"),
    ],
)  # fmt: skip
def test_sizes_of_inputs(size: str, message: str) -> None:
    assert told(spec(inputs={"x": {"shape": ["b", 4]}, "y": {"shape": [size]}})) == [
        f"T405 {message}"
    ]


def test_a_bound_is_an_integer() -> None:
    info = {"shape": ["b", 4], "dtype": "int64", "high": "${b}"}
    source = spec(inputs={"x": info}, layers=[{"formula": "x + 1"}])
    assert told(source) == ["S103 `high` must be an integer, got `b`"]
    info["high"] = 7
    assert told(source) == []


def test_the_default_output_may_not_be_an_input() -> None:
    inputs = {"output": {"shape": ["b", 4]}}
    assert told(spec(inputs=inputs)) == ["R303 `output` is an output and an input at once"]


@pytest.mark.parametrize("name", ["fc\n", "a b", "..", "é", "-o"])
def test_names_of_models_are_file_names(name: str) -> None:
    assert [line[:4] for line in told(spec(name=name))] == ["R304"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("params.hiden=8", "U814 the spec has no parameter `hiden`"),
        ("let.wide=8", "U814 the spec has no `let` `wide`"),
        ("extends=other.json", "U814 `--set` comes after `extends` and cannot change it"),
    ],
)
def test_set_of_nothing(given: str, message: str) -> None:
    source = spec(params={"hidden": 4}, let={"width": 3})
    assert message in told(source, given)
    assert told(source, "params.hidden=8", "let.width=5", "train=null") == []


def test_set_hints_at_the_name_that_is_meant() -> None:
    (found,) = check(spec(params={"hidden": 4}), ["params.hiden=8"]).items
    assert found.hint == "did you mean `hidden`?"
    assert found.primary and (found.primary.span.start, found.primary.span.end) == (7, 12)


def test_when_is_told_once() -> None:
    layers = [{"name": "a", "op": "ReLU", "repeat": 3, "when": "${i}"}]
    assert told(spec(layers=layers)) == ["S103 `when` must be `true` or `false`, got `0`"]


def test_a_circle_of_ties_is_told_once() -> None:
    def fc(name: str, other: str) -> dict[str, Any]:
        tie = {"weight": f"{other}.weight"}
        return {"name": name, "op": "Linear", "out_features": 4, "tie": tie}

    layers = [fc("p", "q"), fc("q", "r"), fc("r", "q")]
    assert told(spec(layers=layers)) == ["R314 the tie of `q.weight` leads back to itself"]


@pytest.mark.parametrize(
    ("name", "given", "is_fine"),
    [
        ("uniform_", {"a": 2}, False), ("uniform_", {"a": -1, "b": -0.5}, True),
        ("trunc_normal_", {"std": 0}, False), ("trunc_normal_", {"std": 0.02}, True),
        ("constant_", {}, False), ("constant_", {"val": 1}, True),
        ("sparse_", {"sparsity": 1.5}, False), ("sparse_", {"sparsity": 0.5}, True),
        ("kaiming_uniform_", {"mode": "fan"}, False), ("kaiming_uniform_", {"a": 1}, True),
        ("dirac_", {}, False), ("normal_", {"mean": True}, False),
    ],
)  # fmt: skip
def test_arguments_of_init(name: str, given: dict[str, Any], is_fine: bool) -> None:
    init = {"weight": {"op": name, **given}}
    source = spec(layers=[{"op": "Linear", "out_features": 3, "init": init}])
    assert [line[:4] for line in told(source)] == [] if is_fine else ["S115"]
    if is_fine:
        load(source).compile()


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_arguments_of_groups_of_weights_are_numbers(key: str) -> None:
    groups = [{"parameter": "bias", key: "0.1"}]
    train = {
        "loss": {"op": "MSELoss", "from": ["output", "y"]}, "epochs": 1,
        "optimizer": {"op": "SGD", "lr": "${rate}", "param_groups": groups},
    }  # fmt: skip
    columns = {"x": {"from": ["a", "b", "c", "d"]}, "y": {"from": ["e", "f", "g"]}}
    data = {"source": {"kind": "csv", "path": "rows.csv"}, "columns": columns}
    source = spec(params={"rate": 0.1}, data=data, train=train)
    assert told(source) == [f'L603 `{key}` of `SGD` must be a number, got `"0.1"`']
    groups[0][key] = 0.1  # type: ignore[assignment]
    assert told(source) == []


N, M, STEP = symbol("n"), symbol("m", min=2, max=40), symbol("s", multiple_of=4)


@pytest.mark.parametrize(
    "size",
    [N - 4, (N - 5) // 2 + 1, N - 1, (N - 3) * M, (STEP - 9) // 3, N // 7, N - N // 2 - 2],
)
def test_the_least_size_is_the_least(size: Size) -> None:
    assert not isinstance(size, int)
    found = smallest(size)
    assert found
    name, least = found.hint.split('"')[3], int(found.hint.split(": ")[-1].split(" ")[0])
    step = 4 if name == "s" else 1
    rest = {"n": 1, "m": 2, "s": 4}
    assert evaluate(size, {**rest, name: least}) >= 1
    assert all(evaluate(size, {**rest, name: k}) < 1 for k in range(step, least, step))


def test_a_size_that_shrinks_has_a_greatest_size() -> None:
    found = smallest(12 - 2 * N)  # type: ignore[arg-type]
    assert found and '"n": { "max": 5 }' in found.hint


@pytest.mark.parametrize("size", [N, N - N // 2, M - 1, (N + 1) // 2, STEP // 4, N * M - 1])
def test_sizes_that_are_always_positive(size: Size) -> None:
    assert isinstance(size, int) or smallest(size) is None


def test_declared_sizes_rule_the_fault_out() -> None:
    layers = [{"op": "Conv1d", "out_channels": 2, "kernel_size": 5}]
    source = spec(inputs={"x": {"shape": ["b", 4, "n"]}}, layers=layers)
    (found,) = check(source).items
    assert found.code == "T405" and found.hint and '"dims": { "n": { "min": 5 } }' in found.hint
    assert told(source | {"dims": {"n": {"min": 4}}})
    assert told(source | {"dims": {"n": {"min": 5}}}) == []
