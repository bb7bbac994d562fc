"""Whether a value surely satisfies a JSON Schema, told quickly and without a reason.

Nearly all that stands in a spec is right, and `jsonschema` needs longer to import and to say so
than the rest of a check takes. It judges what is not accepted here, so one promise is enough: in
what is accepted `jsonschema` finds no fault. A keyword that is not known here is not accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,), "number": (int, float), "boolean": (bool,), "string": (str,),
    "array": (list,), "object": (dict,), "null": (type(None),),
}  # fmt: skip
_JSON = frozenset(kind for kinds in _TYPES.values() for kind in kinds)
_ANNOTATIONS = frozenset({"description", "default"})


def accepts(schema: Schema, value: Any) -> bool:
    """Whether the schema surely allows the value."""
    if type(value) not in _JSON:
        return False
    for keyword, wanted in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        if keyword not in _RULES:
            return False
        kinds, holds = _RULES[keyword]
        if type(value) in kinds and not holds(wanted, value, schema):
            return False
    return True


def _has_type(wanted: str | list[str], value: Any, _: Schema) -> bool:
    names = [wanted] if isinstance(wanted, str) else wanted
    return any(type(value) in _TYPES[name] for name in names)


def _equals(wanted: Any, value: Any, _: Schema) -> bool:
    # Python takes `true` and `1` for equal, inside of lists as well.
    return type(wanted) is type(value) and not isinstance(value, list | dict) and wanted == value


def _is_among(wanted: list[Any], value: Any, schema: Schema) -> bool:
    return any(_equals(choice, value, schema) for choice in wanted)


def _has_form(wanted: list[Schema], value: Any, _: Schema) -> bool:
    return any(accepts(form, value) for form in wanted)


def _has_items(wanted: Schema, value: list[Any], _: Schema) -> bool:
    return all(accepts(wanted, item) for item in value)


def _has_members(wanted: Mapping[str, Schema], value: dict[str, Any], _: Schema) -> bool:
    return all(accepts(wanted[key], member) for key, member in value.items() if key in wanted)


def _has_others(wanted: Schema | bool, value: dict[str, Any], schema: Schema) -> bool:
    known = schema.get("properties", {})
    others = [member for key, member in value.items() if key not in known]
    return not others or (isinstance(wanted, Mapping) and _has_items(wanted, others, schema))


_ANY, _NUMBER, _TEXT, _LIST, _OBJECT = _JSON, {int, float}, {str}, {list}, {dict}
_RULES: dict[str, tuple[Collection[type], Callable[[Any, Any, Schema], Any]]] = {
    "type": (_ANY, _has_type),
    "const": (_ANY, _equals),
    "enum": (_ANY, _is_among),
    "anyOf": (_ANY, _has_form),
    "minimum": (_NUMBER, lambda limit, value, _: value >= limit),
    "exclusiveMinimum": (_NUMBER, lambda limit, value, _: value > limit),
    "maximum": (_NUMBER, lambda limit, value, _: value <= limit),
    "exclusiveMaximum": (_NUMBER, lambda limit, value, _: value < limit),
    "pattern": (_TEXT, lambda pattern, value, _: re.search(pattern, value)),
    "minLength": (_TEXT, lambda count, value, _: len(value) >= count),
    "maxLength": (_TEXT, lambda count, value, _: len(value) <= count),
    "items": (_LIST, _has_items),
    "minItems": (_LIST, lambda count, value, _: len(value) >= count),
    "maxItems": (_LIST, lambda count, value, _: len(value) <= count),
    "properties": (_OBJECT, _has_members),
    "required": (_OBJECT, lambda keys, value, _: all(key in value for key in keys)),
    "additionalProperties": (_OBJECT, _has_others),
    "propertyNames": (_OBJECT, _has_items),
    "minProperties": (_OBJECT, lambda count, value, _: len(value) >= count),
}
"""Of each keyword: the types of value that it says something of, and what it says."""
