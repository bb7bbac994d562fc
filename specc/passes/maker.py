"""What all kinds of layers have in common on their way to nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specc.diagnostics.model import Pointer
from specc.ir.graph import Value
from specc.passes.part import Input, Made, Part, Recipe, Result
from specc.passes.scope import POISON, Poison, Scope
from specc.spec.model import Layer
from specc.spec.schema import layer_schema
from specc.spec.validate import validate


class Maker:
    """Makes the instances of one layer."""

    def __init__(self, part: Part, layer: Layer) -> None:
        self.part, self.layer, self.context = part, layer, part.context

    def is_valid(self) -> bool:
        """Check what can be checked before any input is known."""
        return self.check_schema(layer_schema(self.layer.kind), f"this `{self.layer.kind}` layer")

    def check_schema(self, schema: Any, subject: str, inferred: Sequence[str] = ()) -> bool:
        """Validate the layer object as it is written."""
        raw, pointer, known = self.layer.raw, self.layer.pointer, self.context.valid
        if isinstance(raw, str) or pointer in known:
            return True
        if validate(
            self.context.document, pointer, raw, schema, self.context.diagnostics,
            subject=subject, inferred=inferred, notes=self.context.notes(),
        ):  # fmt: skip
            known.add(pointer)
        return pointer in known

    def default_sources(self) -> list[Input]:
        """The inputs where the layer has no `from`."""
        return [self.part.previous]

    def order(self, given: Any, pointer: Pointer) -> list[Any] | None:
        """References with their places, in the order of the arguments."""
        items = given if isinstance(given, list) else [given]
        if isinstance(given, dict):
            self.fault(f"`from` of a `{self.layer.kind}` layer must be a name or a list", pointer)
            return None
        places = [(*pointer, i) if isinstance(given, list) else pointer for i in range(len(items))]
        return [
            (name, place)
            for item, place in zip(items, places, strict=True)
            for name in self.part.matching(item)
        ]

    def fault(
        self, message: str, pointer: Pointer, code: str = "R306", hint: str | None = None
    ) -> None:
        """Report at a place of the spec."""
        self.context.error(code, message, self.context.document.span(pointer), hint)

    def settings(self, scope: Scope) -> dict[str, Any]:
        """`init`, `freeze` and `tie`, evaluated; a weight tied to `null` is not tied."""
        common = self.layer.common
        keys = [key for key in ("init", "freeze", "tie") if key in common]
        found = {k: scope.evaluate(common[k], (*self.layer.pointer, k)) for k in keys}
        if isinstance(tie := found.get("tie"), dict):
            found["tie"] = {weight: target for weight, target in tie.items() if target is not None}
        return {k: v for k, v in found.items() if v is not POISON and v is not False}

    def __call__(self, path: str, sources: list[Input], scope: Scope) -> Result:
        """Make one instance at `path` and emit its node."""
        settings = self.settings(scope)
        values = [s for s in sources if not isinstance(s, Poison)]

        def make(where: str, inputs: Sequence[Value | None]) -> Made | None:
            return self.make(where, inputs, scope)

        made = make(path, values)
        if made is None:
            return {"": POISON}
        self.part.recipes[path] = [Recipe(path, make)]
        return self.part.emit(made, path, path, made.inputs or values, self.layer, settings)

    def make(self, path: str, inputs: Sequence[Value | None], scope: Scope) -> Made | None:
        """The operator or call, with typed results; `None` after a finding."""
        raise NotImplementedError
