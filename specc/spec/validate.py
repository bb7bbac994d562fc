"""Validation against a JSON Schema, told as diagnostics: one key, one place, one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from specc.diagnostics.model import Diagnostics, Pointer, Span
from specc.diagnostics.suggest import closest
from specc.spec.acceptance import accepts
from specc.spec.document import Document

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_NOUNS = {
    "integer": "an integer", "number": "a number", "boolean": "`true` or `false`",
    "string": "a string", "array": "a list", "object": "an object", "null": "`null`",
}  # fmt: skip
_PLURALS = {"integer": "integers", "number": "numbers", "boolean": "booleans", "string": "strings"}
_LIMITS = {
    "minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most",
    "exclusiveMaximum": "less than",
}  # fmt: skip
_EMPTY = ("minItems", "minProperties")


def _faults(schema: Mapping[str, Any], value: Any) -> list[ValidationError]:
    if accepts(schema, value):
        return []
    from jsonschema import Draft202012Validator

    return list(Draft202012Validator(schema).iter_errors(value))


def validate(
    document: Document,
    pointer: Pointer,
    value: Any,
    schema: Mapping[str, Any],
    diagnostics: Diagnostics,
    *,
    subject: str,
    inferred: Iterable[str] = (),
    notes: tuple[str, ...] = (),
) -> bool:
    """Report everything about `value` (which stands at `pointer`) that the schema forbids.

    `inferred` names keys that the compiler works out; they get a hint of their own. `notes`
    are put under every finding. Returns whether the value is valid.
    """
    errors = _faults(schema, value)
    teller = _Teller(document, pointer, diagnostics, subject, frozenset(inferred), notes)
    # Unknown keys first: one that is a misspelt required key explains why that is missing.
    for error in sorted(errors, key=lambda e: e.validator != "additionalProperties"):
        teller.tell(error)
    return not errors


def fault_in(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Why a single value does not satisfy a schema, in words: `must be an integer, got …`."""
    errors = _faults(schema, value)
    if not errors:
        return None
    told = _most_telling(errors[0])
    place = tuple(told.absolute_path)
    where = f"has a wrong `{_key(place)}`: it " if place else ""
    if told.validator in _LIMITS:
        limit = f"{_LIMITS[told.validator]} {told.validator_value}"
        return f"{where}must be {limit}, got {shown(told.instance)}"
    return f"{where}must be {wanted(told.schema)}, got {shown(told.instance)}"


class _Teller:
    def __init__(
        self, document: Document, pointer: Pointer, diagnostics: Diagnostics, subject: str,
        inferred: frozenset[str], notes: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.document, self.pointer, self.diagnostics = document, pointer, diagnostics
        self.subject, self.inferred, self.notes = subject, inferred, notes
        self.misspelt: set[Pointer] = set()

    def add(self, code: str, message: str, at: Span, hint: str | None = None) -> None:
        self.diagnostics.add(code, message, at, hint=hint, notes=self.notes)

    def tell(self, error: ValidationError) -> None:
        place = (*self.pointer, *error.absolute_path)
        if error.validator == "additionalProperties" and error.validator_value is False:
            self._unknown_keys(error, place)
        elif error.validator == "required":
            self._missing_keys(error, place)
        else:
            self._bad_value(_most_telling(error))

    def _unknown_keys(self, error: ValidationError, place: Pointer) -> None:
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key in known:
                continue
            at = self.document.span((*place, key), key=True)
            where = self._owner(place)
            if key in self.inferred:
                self.add(
                    "S107", f"`{key}` is worked out from the input of {where}", at,
                    hint=f"remove `{key}`",
                )  # fmt: skip
                continue
            near = closest(key, known)
            self.misspelt.add((*place, near or ""))
            hint = f"did you mean `{near}`?" if near else f"there are {_listing(known)}"
            self.add("S101", f"unknown key `{key}` in {where}", at, hint=hint)

    def _missing_keys(self, error: ValidationError, place: Pointer) -> None:
        # jsonschema reports each missing key by itself, and names it only in its message.
        key = next(k for k in error.validator_value if error.message.startswith(f"{k!r} "))
        if (*place, key) in self.misspelt:
            return
        about = error.schema.get("properties", {}).get(key, {})
        self.add(
            "S102", f"{self._owner(place)} needs `{key}`", self.document.span(place),
            hint=_sentence(key, about),
        )  # fmt: skip

    def _bad_value(self, error: ValidationError) -> None:
        place, at = self._place(error)
        key = _key(place) or self.subject
        got = shown(error.instance)
        if error.validator in _EMPTY and error.validator_value == 1:
            self.add("S104", f"`{key}` is empty", at, hint=f"leave `{key}` out or give one")
        elif error.validator == "maxLength" and error.validator_value > 1:
            told = f"a name has at most {error.validator_value} characters"
            self.add("R304", f"{told}, this one has {len(error.instance)}", at)
        elif error.validator in _LIMITS:
            limit = f"{_LIMITS[error.validator]} {error.validator_value}"
            self.add("S104", f"`{key}` must be {limit}, got {got}", at)
        elif error.validator == "pattern":
            self.add(
                "R304", f"{got} is not a name", at,
                hint="a name has letters, digits, `_` and `-`",
            )  # fmt: skip
        else:
            choices = _choices(error.schema)
            near = closest(error.instance, choices) if isinstance(error.instance, str) else None
            self.add(
                "S103", f"`{key}` must be {wanted(error.schema)}, got {got}", at,
                hint=f"did you mean `{near}`?" if near else None,
            )  # fmt: skip

    def _place(self, error: ValidationError) -> tuple[Pointer, Span]:
        """The pointer of what is wrong, and its span: of the key where that is at fault."""
        place = (*self.pointer, *error.absolute_path)
        if "propertyNames" in error.absolute_schema_path:
            place = (*place, error.instance)
            return place, self.document.span(place, key=True)
        return place, self.document.span(place)

    def _owner(self, place: Pointer) -> str:
        if place == self.pointer:
            return self.subject
        return f"`{'.'.join(map(str, place[len(self.pointer) :]))}`"


def _key(place: Pointer) -> str:
    """The last key of a pointer with the indices behind it: `shape[1]`."""
    text = ""
    for step in reversed(place):
        if isinstance(step, str):
            return step + text
        text = f"[{step}]{text}"
    return ""


def _most_telling(error: ValidationError) -> ValidationError:
    """For a choice of forms: the fault within the form that was meant, else the choice."""
    for inner in error.context or ():
        if inner.validator in _LIMITS and not inner.relative_path:
            return inner
    if isinstance(error.instance, dict):
        inside = next((inner for inner in error.context or () if inner.relative_path), None)
        return _most_telling(inside) if inside else error
    return error


def _choices(schema: Mapping[str, Any]) -> list[str]:
    forms = schema.get("anyOf", [schema])
    return [c for form in forms for c in form.get("enum", ()) if isinstance(c, str)]


def wanted(schema: Mapping[str, Any]) -> str:
    """What a schema admits, in words: `an integer or a list of 2 integers, at least 1`."""
    forms = [f for f in schema.get("anyOf", [schema]) if f.get("pattern") != r"\$\{"]
    words = list(dict.fromkeys(word for form in forms for word in _form(form)))
    limits = dict.fromkeys(
        f"{text} {form[k]}" for form in forms for k, text in _LIMITS.items() if k in form
    )
    return " or ".join(words) + "".join(f", {limit}" for limit in limits)


def _form(form: Mapping[str, Any]) -> list[str]:
    if "const" in form:
        return [f"`{form['const']}`"]
    if "enum" in form:
        return [f"`{_json(c) if isinstance(c, bool) else c}`" for c in form["enum"]]
    types = form.get("type", [])
    types = [types] if isinstance(types, str) else types
    words = [_NOUNS[t] for t in types]
    if form.get("maxLength") == 1:
        words = ["a single character"]
    if types == ["array"]:
        inner = form.get("items", {})
        parts = [f.get("type") for f in inner.get("anyOf", [inner])]
        plural = _PLURALS.get(str(parts[0]), "values")
        count = f"{form['minItems']} " if "minItems" in form else ""
        words = [f"a list of {count}{plural}"]
    return words


def _sentence(key: str, schema: Mapping[str, Any]) -> str | None:
    words = wanted(schema) if schema else ""
    about = schema.get("description", "")
    if not words:
        return about or None
    return f"`{key}` is {words}" + (f": {about}" if about else "")


def shown(value: Any) -> str:
    """A value as messages quote it, shortened; backticks included."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}" if len(value) > 4 else f"`{_json(value)}`"
    if isinstance(value, str) and len(value) > 40:
        return f'`"{value[:37]}…"`'
    return f"`{_json(value)}`"


def _json(value: Any) -> str:
    import json

    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        return str(value)


def _listing(names: Iterable[str]) -> str:
    shown = [f"`{name}`" for name in names]
    if len(shown) > 12:
        return ", ".join(shown[:12]) + f" and {len(shown) - 12} more"
    return ", ".join(shown)
