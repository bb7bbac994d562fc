"""From an operator's parameters to JSON Schema and to the words of an error message."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from specc.ir.dims import Dim
from specc.ops.op import Op, Param

EXPRESSION = {"type": "string", "pattern": r"\$\{"}
"""A value that is worked out at compile time."""

_SCALARS = {int: "integer", float: "number", bool: "boolean", str: "string", Dim: "integer"}


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(a for part in get_args(annotation) for a in _alternatives(part))
    return (annotation,)


def _bounds(param: Param) -> dict[str, float]:
    names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
    return {word: getattr(param, k) for k, word in names.items() if getattr(param, k) is not None}


def _schema_of(kind: Any, param: Param) -> dict[str, Any]:
    if kind is types.NoneType or kind is None:
        return {"type": "null"}
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if len(parts) == 2 and parts[1] is Ellipsis:
            return {"type": "array", "items": _any_of(parts[0], param)}
        items = _any_of(parts[0], param)
        return {"type": "array", "items": items, "minItems": len(parts), "maxItems": len(parts)}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": _any_of(get_args(kind)[1], param)}
    if kind is Any:
        return {}
    schema: dict[str, Any] = {"type": _SCALARS[kind]}
    return schema | _bounds(param) if kind in (int, float, Dim) else schema


def _any_of(annotation: Any, param: Param) -> dict[str, Any]:
    schemas = [_schema_of(kind, param) for kind in _alternatives(annotation)]
    schemas.append(EXPRESSION)
    return {"anyOf": schemas}


_HINTS: dict[type[Op], dict[str, Any]] = {}


def hints(cls: type[Op]) -> dict[str, Any]:
    """The parameters' annotations, evaluated."""
    if cls not in _HINTS:
        found = get_type_hints(cls)
        _HINTS[cls] = {name: found[name] for name in cls.params}
    return _HINTS[cls]


def param_schema(cls: type[Op], name: str) -> dict[str, Any]:
    """The JSON Schema of one parameter; an expression string is always allowed."""
    param = cls.params[name]
    schema = _any_of(hints(cls)[name], param) | {"description": param.doc}
    if not param.required and param.default not in (float("inf"), float("-inf")):
        schema["default"] = param.default
    return schema


def op_schema(cls: type[Op]) -> dict[str, Any]:
    """The JSON Schema of an operator's own keys in a layer object."""
    properties = {name: param_schema(cls, name) for name in cls.params}
    for name in cls.scalars:
        properties[name] = {
            "anyOf": [{"type": ["number", "boolean"]}, EXPRESSION],
            "description": "a number in place of a tensor",
        }
    required = [name for name, param in cls.params.items() if param.required]
    return {"description": cls.doc(), "properties": properties, "required": required}


def _mentions(annotation: Any, wanted: Any) -> bool:
    return any(
        kind is wanted or any(_mentions(part, wanted) for part in get_args(kind))
        for kind in _alternatives(annotation)
    )


def takes_sizes(cls: type[Op], name: str) -> bool:
    """Whether a parameter may be (or hold) a symbolic size."""
    return name in cls.params and _mentions(hints(cls)[name], Dim)


def open_param(cls: type[Op]) -> str | None:
    """The parameter that takes names of the user's own, such as `axes` of `rearrange`."""
    for name, annotation in hints(cls).items():
        if any(get_origin(kind) is dict for kind in _alternatives(annotation)):
            return name
    return None


def plain(cls: type[Op], name: str, value: Any) -> Any:
    """An evaluated value as JSON Schema can judge it: an allowed symbolic size counts as 1."""
    if isinstance(value, list):
        return [plain(cls, name, item) for item in value]
    if isinstance(value, dict):
        return {key: plain(cls, name, item) for key, item in value.items()}
    return 1 if isinstance(value, Dim) and takes_sizes(cls, name) else value


def coerce(cls: type[Op], name: str, value: Any) -> Any:
    """A valid value in the form that operators work with: tuples, and `3` for `3.0`."""
    if isinstance(value, list):
        return tuple(coerce(cls, name, item) for item in value)
    if isinstance(value, dict):
        return {key: coerce(cls, name, item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer() and not _mentions(hints(cls)[name], float):
        return int(value)
    return value
