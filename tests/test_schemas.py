"""schemas/ is what the operators say, and accepts what the compiler accepts."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parent.parent
SPECS = sorted((ROOT / "specs").rglob("*.json"))


def tool(name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_schemas_are_fresh() -> None:
    stale = [
        p.name for p, text in tool("make_schemas").files().items() if p.read_text("utf-8") != text
    ]
    assert not stale, "run `make schemas`"


def test_the_catalog_is_fresh() -> None:
    catalog = tool("make_catalog")
    assert catalog.TARGET.read_text("utf-8") == catalog.catalog_text(), "run `make schemas`"


def test_every_operator_loads_by_itself() -> None:
    """In a new process, where no other test has imported its module."""
    code = (
        "from specc.ops import REGISTRY\nassert all(REGISTRY[n].name == n for n in list(REGISTRY))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_names_that_check_knows_are_fresh() -> None:
    names = tool("make_names")
    assert json.loads(names.TARGET.read_text("utf-8")) == names.table(), "run tools/make_names.py"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads((ROOT / "schemas" / "spec.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_the_published_schema_accepts_every_shipped_spec(
    path: Path, validator: Draft202012Validator
) -> None:
    value = json.loads(path.read_text("utf-8"))
    errors = [f"{e.json_path}: {e.message[:80]}" for e in validator.iter_errors(value)]
    assert not errors


@pytest.mark.parametrize(
    "case", ["misspelt_parameter", "unknown_key", "out_of_range", "wrong_type"]
)
def test_the_published_schema_refuses_what_check_refuses(
    case: str, validator: Draft202012Validator
) -> None:
    value = json.loads((ROOT / "tests" / "bad" / f"{case}.json").read_text("utf-8"))
    assert not validator.is_valid(value)
