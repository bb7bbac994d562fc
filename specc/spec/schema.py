"""The JSON Schemas of the language, and validation that speaks of one key at a time.

The envelope is validated first, then each layer against the schema of its own kind, so that a
message never has to say that something matches none of several schemas.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from specc.ops import REGISTRY
from specc.ops.schema import EXPRESSION, op_schema
from specc.spec.sources import AUGMENTATIONS, SOURCE_SETTINGS, augmentation_schema

LANGUAGE_VERSION = 1
_STEP = r"([A-Za-z0-9_-]|\$\{[^}]*\})"
# `$` would let a line break at the end pass.
_END = r"(?![\s\S])"
NAME = rf"^({_STEP}+|([A-Za-z_]|\$\{{[^}}]*\}}){_STEP}*\.([0-9]+|\$\{{[^}}]*\}})){_END}"
PLAIN_NAME = {"type": "string", "pattern": rf"^[A-Za-z0-9_][A-Za-z0-9_-]*{_END}", "maxLength": 100}
MAX_SIZE = 2**31 - 1
DTYPES = [
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
]
LAYER_KINDS = ("op", "block", "layers", "formula", "share")


def _object(properties: Mapping[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _map_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": dict(schema)}


def _named_map_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    return _map_of(schema) | {"propertyNames": PLAIN_NAME}


def _or_expression(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [dict(schema), EXPRESSION]}


TEXT = {"type": "string"}
POSITIVE = {"type": "integer", "minimum": 1}
NUMBER = {"type": "number"}
ABOVE_ZERO = {"type": "number", "exclusiveMinimum": 0}
FLAG = {"type": "boolean"}
MODE = {"enum": ["min", "max"]}
REFERENCES = {"type": ["string", "array", "object"], "items": TEXT, "additionalProperties": TEXT}
SIZE = {"type": ["integer", "string"], "minimum": 1, "maximum": MAX_SIZE}
EXTENT = POSITIVE | {"maximum": MAX_SIZE}
LIST_OR_TEXT = {"type": ["string", "array"], "items": TEXT}

DIM = _object(
    {
        "min": _or_expression(EXTENT | {"minimum": 0}), "max": _or_expression(EXTENT),
        "multiple_of": _or_expression(EXTENT), "example": _or_expression(EXTENT), "doc": TEXT,
    }
)  # fmt: skip
INPUT = _object(
    {
        "shape": {"type": "array", "items": SIZE},
        "dtype": {"enum": DTYPES}, "doc": TEXT,
        "low": _or_expression({"type": "integer"}), "high": _or_expression({"type": "integer"}),
    },
    ["shape"],
)  # fmt: skip
OUTPUT = {
    "type": ["string", "object"],
    "properties": {"from": TEXT, "train_only": FLAG, "doc": TEXT},
    "required": ["from"],
    "additionalProperties": False,
}
LAYERS = {"type": "array"}
BLOCK = _object(
    {
        "doc": TEXT, "params": {"type": "object"}, "let": {"type": "object"},
        "inputs": {"type": "array", "items": TEXT}, "layers": LAYERS,
        "outputs": {"type": ["object", "array"], "items": TEXT, "additionalProperties": TEXT},
    },
    ["layers"],
)  # fmt: skip
COLUMN = _object(
    {
        "from": LIST_OR_TEXT, "dtype": {"enum": DTYPES},
        "shape": {"type": "array", "items": SIZE},
        "encode": {"enum": ["class", "one_hot", "multi_hot"]},
        "missing": {"type": ["string", "number"]}, "doc": TEXT,
    }
)  # fmt: skip
PART = {"type": ["number", "string", "array"]}
SPLIT = _object(
    {
        "train": PART, "val": PART, "test": PART, "stratify": TEXT, "group": TEXT,
        "shuffle": FLAG, "seed": {"type": "integer", "minimum": 0},
    }
)  # fmt: skip
AUGMENTATION = {
    "type": "object",
    "properties": {"op": {"enum": list(AUGMENTATIONS)}},
    "required": ["op"],
}
SOURCE = _object(
    {
        "kind": {"enum": list(SOURCE_SETTINGS)}, "path": LIST_OR_TEXT,
        "delimiter": {"type": "string", "minLength": 1, "maxLength": 1},
        "memory": FLAG, "buffer": _or_expression(POSITIVE),
        "unit": {"enum": ["char", "byte"]}, "window": _or_expression(POSITIVE),
        "stride": _or_expression(POSITIVE),
        "unknown": {"type": "string", "minLength": 1, "maxLength": 1},
        "augment": {"type": "array", "items": AUGMENTATION},
        "doc": TEXT,
    },
    ["kind"],
)  # fmt: skip
DATA = _object(
    {"source": SOURCE, "columns": _map_of(COLUMN), "split": SPLIT, "doc": TEXT}, ["source"]
)

NAMED = {"type": ["string", "object"], "properties": {"op": TEXT}, "required": ["op"]}
DECAY = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
EMA = {
    **DECAY, "type": ["number", "object"], "properties": {"decay": DECAY},
    "required": ["decay"], "additionalProperties": False,
}  # fmt: skip
INIT_FROM = {
    "type": ["string", "object"],
    "properties": {"path": TEXT, "match": {"enum": ["strict", "matched"]}},
    "required": ["path"],
    "additionalProperties": False,
}
METRIC = {**NAMED, "properties": {"op": TEXT, "from": LIST_OR_TEXT}}
TRAIN = _object(
    {
        "loss": {"type": ["string", "object", "array"]}, "optimizer": NAMED, "scheduler": NAMED,
        "metrics": _map_of(METRIC),
        "epochs": _or_expression(POSITIVE), "steps": _or_expression(POSITIVE),
        "batch_size": _or_expression(POSITIVE), "accumulate": _or_expression(POSITIVE),
        "clip_grad_norm": _or_expression({"type": "number", "exclusiveMinimum": 0}),
        "seed": _or_expression({"type": "integer", "minimum": 0}),
        "early_stop": _object(
            {"monitor": TEXT, "mode": MODE, "patience": POSITIVE, "min_delta": NUMBER}
        ),
        "checkpoint": _object(
            {
                "monitor": TEXT, "mode": MODE, "every": POSITIVE, "every_steps": POSITIVE,
                "keep": {"enum": ["last", "all"]},
            }
        ),
        "precision": {"enum": ["float32", "bfloat16", "float16"]}, "ema": EMA,
        "memory_format": {"enum": ["contiguous_format", "channels_last"]},
        "init_from": INIT_FROM, "compile": {"enum": [False, "model", "step", "auto"]},
        "doc": TEXT,
    },
    ["loss"],
)  # fmt: skip
EXPORT = _object(
    {
        "opset": {"type": "integer", "minimum": 17, "maximum": 23},
        "outputs": {"type": "array", "items": TEXT, "minItems": 1},
        "metadata": _map_of({"type": ["string", "number", "boolean"]}),
    }
)
PARITY = _object(
    {
        "bounds": _object({"max": ABOVE_ZERO, "rms": ABOVE_ZERO}),
        "cases": POSITIVE, "seed": {"type": "integer", "minimum": 0},
    }
)  # fmt: skip

INIT = {"type": ["string", "object"], "properties": {"op": TEXT}}
INIT_RULE = _object(
    {"op": LIST_OR_TEXT, "path": TEXT, "parameter": TEXT, "init": INIT, "doc": TEXT}, ["init"]
)

SPEC = _object(
    {
        "$schema": TEXT, "specc": {"type": "integer"}, "name": PLAIN_NAME, "doc": TEXT,
        "extends": TEXT,
        "imports": _map_of(TEXT), "params": {"type": "object"}, "let": {"type": "object"},
        "dims": _map_of(DIM), "inputs": _named_map_of(INPUT), "blocks": _map_of(BLOCK),
        "layers": LAYERS,
        "outputs": _named_map_of(OUTPUT) | {"minProperties": 1},
        "init": {"type": "array", "items": INIT_RULE},
        "data": DATA, "train": TRAIN,
        "export": EXPORT, "parity": PARITY,
    },
    ["specc", "name", "inputs", "layers"],
)  # fmt: skip

COMMON_LAYER_KEYS: dict[str, Any] = {
    "name": {"type": ["string", "integer"], "pattern": NAME}, "from": REFERENCES,
    "repeat": {"type": ["integer", "array", "string"], "minimum": 0},
    "when": {"type": ["boolean", "string"]}, "init": {"type": ["object", "string"]},
    "freeze": {"type": ["boolean", "string"]}, "tie": _map_of(TEXT), "doc": TEXT,
}  # fmt: skip
GROUP_KEYS: dict[str, Any] = {
    "layers": LAYERS, "let": {"type": "object"}, "inputs": {"type": "array", "items": TEXT},
    "outputs": BLOCK["properties"]["outputs"],
}  # fmt: skip


@cache
def layer_schema(kind: str, name: str = "") -> dict[str, Any]:
    """The schema of one layer object: of operator `name`, or of another kind of layer."""
    if kind == "op":
        own = op_schema(REGISTRY[name])
        properties = COMMON_LAYER_KEYS | own["properties"] | {"op": {"const": name}}
        # A parameter called like a common key (`repeat` of einops) would be unreachable.
        return _object(properties, ["op", *own["required"]]) | {"description": own["description"]}
    if kind == "block":
        return {
            "type": "object",
            "properties": COMMON_LAYER_KEYS | {"block": TEXT},
            "required": ["block"],
        }
    if kind == "layers":
        return _object(COMMON_LAYER_KEYS | GROUP_KEYS, ["layers"])
    return _object(COMMON_LAYER_KEYS | {kind: TEXT}, [kind])


def published_schema() -> dict[str, Any]:
    """The whole schema as an editor wants it, with every operator."""
    names = sorted(REGISTRY)
    kinds = LAYER_KINDS[1:]
    choices = [_choice(name, {"op": {"const": name}}, "op") for name in names]
    choices += [_choice(f"{kind}-layer", {}, kind) for kind in kinds]
    layer = {
        "type": ["string", "object"],
        "properties": {"op": {"enum": names}},
        "allOf": choices,
    }
    definitions: dict[str, Any] = {
        "expression": EXPRESSION,
        "common": {"properties": COMMON_LAYER_KEYS},
        "layers": {"type": "array", "items": {"$ref": "#/$defs/layer"}},
        "layer": layer,
    }
    definitions |= {f"{kind}-layer": _beside_common(layer_schema(kind)) for kind in kinds}
    definitions |= {name: _beside_common(layer_schema("op", name)) for name in names}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "specc model spec"}
    # A file that changes another one is a patch: parts of a spec, and `null` for what goes.
    patch = {"properties": dict.fromkeys(SPEC["properties"], True), "additionalProperties": False}
    body = {
        "type": "object",
        "if": {"required": ["extends"]},
        "then": patch,
        "else": {"$ref": "#/$defs/spec"},
    }
    definitions |= {name: augmentation_schema(name) for name in AUGMENTATIONS}
    definitions["spec"] = SPEC
    made = {key: _with_references(value) for key, value in definitions.items()}
    return head | body | {"$defs": made | {"expression": EXPRESSION}}


def _choice(definition: str, properties: Mapping[str, Any], required: str) -> dict[str, Any]:
    condition: dict[str, Any] = {"type": "object", "required": [required]}
    if properties:
        condition["properties"] = dict(properties)
    return {"if": condition, "then": {"$ref": f"#/$defs/{definition}"}}


def _beside_common(schema: dict[str, Any]) -> dict[str, Any]:
    """A layer's schema that refers to the keys that all layers have, instead of listing them."""
    own = {k: v for k, v in schema["properties"].items() if COMMON_LAYER_KEYS.get(k) != v}
    closed = {"unevaluatedProperties": False} if "additionalProperties" in schema else {}
    rest = {k: v for k, v in schema.items() if k not in ("properties", "additionalProperties")}
    return {"$ref": "#/$defs/common", **rest, "properties": own, **closed}


def _with_references(schema: Any) -> Any:
    """Refer to what many places share: expressions, and lists of layers."""
    if schema is LAYERS:
        return {"$ref": "#/$defs/layers"}
    if schema is AUGMENTATION:
        return {**schema, "allOf": [_choice(n, {"op": {"const": n}}, "op") for n in AUGMENTATIONS]}
    if schema == EXPRESSION:
        return {"$ref": "#/$defs/expression"}
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if isinstance(schema, dict):
        return {key: _with_references(value) for key, value in schema.items()}
    return schema
