"""What the quick judgement accepts, `jsonschema` has to accept as well."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from specc.ir.dims import symbol
from specc.ops import REGISTRY
from specc.spec.acceptance import accepts
from specc.spec.schema import COMMON_LAYER_KEYS, LAYER_KINDS, SPEC, layer_schema

ROOT = Path(__file__).parents[2]
OPERATORS = {name: layer_schema("op", name) for name in sorted(REGISTRY)}
OTHERS = {kind: layer_schema(kind) for kind in LAYER_KINDS if kind != "op"}
PARAMETERS = [p for schema in OPERATORS.values() for p in schema["properties"].values()]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**31 + 1)
    | st.floats()
    | st.sampled_from([1.0, 0.0, "same", "mean", "${n}", "zeros", "x", "x\n", "1", "", "a b"])
    | st.text(max_size=3)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["from", "op", "decay", "path", "y"]), inner, max_size=2)
    ),
    max_leaves=5,
)


def valid(schema: dict[str, Any], value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


def objects(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with keys of a schema, some of them missing and now and then a strange one."""
    keys = st.sampled_from([*schema["properties"], "strange"])
    return st.dictionaries(keys, VALUES | SCALARS, max_size=5)


@given(st.data())
def test_what_is_accepted_of_a_layer_is_valid(data: st.DataObject) -> None:
    name, schema = data.draw(st.sampled_from([*OPERATORS.items(), *OTHERS.items()]))
    value = data.draw(objects(schema))
    value |= {"op": data.draw(st.sampled_from([name, "no"]))} if name in OPERATORS else {name: ""}
    assert valid(schema, value) or not accepts(schema, value)


@given(st.sampled_from([*PARAMETERS, *COMMON_LAYER_KEYS.values()]), VALUES)
def test_what_is_accepted_of_a_parameter_is_valid(schema: dict[str, Any], value: Any) -> None:
    assert valid(schema, value) or not accepts(schema, value)


@given(st.data())
def test_what_is_accepted_of_a_section_is_valid(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(SPEC["properties"])))
    schema = SPEC["properties"][key]
    inner = schema.get("additionalProperties") or schema.get("items")
    nested = next((s for s in (schema, inner) if isinstance(s, dict) and "properties" in s), None)
    value = data.draw(objects(nested) if nested else VALUES)
    held = value if nested is schema or not nested else data.draw(wrapped(schema, value))
    assert valid(schema, held) or not accepts(schema, held)


def wrapped(schema: dict[str, Any], value: Any) -> st.SearchStrategy[Any]:
    if "items" in schema and "additionalProperties" not in schema:
        return st.just([value])
    return st.sampled_from([{"x": value}, {"a b": value}, {}])


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [3, -1], [True, 1.0, "1", None]),
        ({"type": "number"}, [3, 0.5], [False, "1"]),
        ({"type": ["string", "null"]}, ["", None], [0, []]),
        ({"const": 1}, [1], [True, 1.0, 2]),
        ({"enum": ["a", False]}, ["a", False], [0, "b"]),
        ({"anyOf": [{"type": "null"}, {"minimum": 2}]}, [None, 2, "x"], [1]),
        ({"minimum": 2}, [2, "x"], [1, math.nan]),
        ({"exclusiveMinimum": 2}, [2.5], [2]),
        ({"maximum": 2}, [2], [3]),
        ({"exclusiveMaximum": 2}, [1], [2]),
        ({"pattern": "b"}, ["abc", 1], ["ac"]),
        ({"minLength": 1, "maxLength": 2}, ["a", "ab"], ["", "abc"]),
        ({"items": {"type": "integer"}}, [[1], [], 1], [[1, True], ["a"]]),
        ({"minItems": 1, "maxItems": 2}, [[1], [1, 1]], [[], [1, 1, 1]]),
        ({"properties": {"a": {"type": "null"}}}, [{"a": None}, {"b": 1}, 1], [{"a": 1}]),
        ({"required": ["a"]}, [{"a": 1}], [{"b": 1}]),
        ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}], [{"b": 1}]),
        ({"additionalProperties": {"type": "null"}}, [{"a": None}], [{"a": 1}]),
        ({"propertyNames": {"pattern": "a"}, "minProperties": 1}, [{"a": 1}], [{"b": 1}, {}]),
        ({"description": "text", "default": 3}, [1], []),
    ],
)  # fmt: skip
def test_each_keyword(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    assert [accepts(schema, value) for value in good] == [True] * len(good)
    assert all(valid(schema, value) for value in good)
    assert [accepts(schema, value) for value in bad] == [False] * len(bad)


@pytest.mark.parametrize("value", [(1,), symbol("n"), {1}])
def test_what_is_not_json_is_not_accepted(value: Any) -> None:
    assert not accepts({}, value)


def test_an_unknown_keyword_is_not_accepted() -> None:
    assert not accepts({"uniqueItems": True}, [1])


def test_a_list_in_an_enum_is_left_to_jsonschema() -> None:
    assert not accepts({"enum": [[1]]}, [True])
    assert not accepts({"enum": [[1]]}, [1])


def test_a_valid_spec_is_judged_without_jsonschema() -> None:
    code = (
        "import sys; from specc.api.checking import check; "
        "items = check(sys.argv[1]).items; print(len(items), 'jsonschema' in sys.modules)"
    )
    path = ROOT / "specs/vision/resnet152.json"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "False"]
