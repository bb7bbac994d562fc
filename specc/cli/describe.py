"""What `specc ops` and `specc explain` say."""

from __future__ import annotations

import json
from typing import Any

from specc.diagnostics.codes import CODES
from specc.diagnostics.model import Diagnostic, SpeccError
from specc.diagnostics.suggest import closest
from specc.ops import REGISTRY, Op
from specc.ops.schema import op_schema
from specc.spec.validate import wanted


def _op(name: str) -> type[Op]:
    if name in REGISTRY:
        return REGISTRY[name]
    near = closest(name, REGISTRY)
    hint = f"did you mean `{near}`?" if near else "`specc ops` lists them"
    raise SpeccError([Diagnostic("S105", f"there is no operator `{name}`", hint=hint)])


def op_json(name: str | None) -> Any:
    """An operator's schema, or the names of all with their first lines."""
    if name:
        return {"name": name, **op_schema(_op(name))}
    return {name: first_line(cls) for name, cls in sorted(REGISTRY.items())}


def first_line(cls: type[Op]) -> str:
    """The first line of an operator's documentation."""
    return cls.doc().partition("\n")[0]


def list_ops() -> str:
    """All operators, a line each."""
    width = max(map(len, REGISTRY))
    names = sorted(REGISTRY, key=lambda n: (n.lower(), n))
    return "\n".join(f"{name:<{width}}  {first_line(REGISTRY[name])}" for name in names)


def describe_op(name: str) -> str:
    """An operator's documentation, inputs, parameters and an example."""
    cls = _op(name)
    names = cls.input_names()
    inputs = [*names.required, *(f"{n} (optional)" for n in names.optional)]
    inputs += ["any number of tensors"] * names.variadic
    lines = [cls.name, "", cls.doc(), "", f"Inputs: {', '.join(inputs) or 'none'}"]
    if cls.params:
        lines += ["", "Parameters:"]
        schema = op_schema(cls)["properties"]
        for key, param in cls.params.items():
            default = (
                "required"
                if param.required
                else f"default {json.dumps(param.default, default=str)}"
            )
            lines.append(f"  {key}: {wanted(schema[key])} ({default})")
            lines.append(f"      {param.doc}")
    if cls.inferred:
        lines += ["", f"Worked out from the input: {', '.join(cls.inferred)}"]
    if cls.examples:
        shown = {"op": cls.name, **cls.examples[0].params}
        lines += ["", f"Example: {json.dumps(shown)}"]
    return "\n".join(lines)


def explain_code(code: str) -> dict[str, Any]:
    """The table's entry for a code; raises `SpeccError` for an unknown one."""
    found = CODES.get(code.upper())
    if found is None:
        near = closest(code.upper(), CODES)
        hint = f"did you mean `{near}`?" if near else "codes look like `T402`"
        raise SpeccError([Diagnostic("U804", f"there is no code `{code}`", hint=hint)])
    return {"code": found.code, "title": found.title, "explanation": found.explanation}
