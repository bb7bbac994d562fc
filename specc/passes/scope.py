"""What names mean at one point of a spec: compile-time values, and tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from specc.diagnostics.model import Diagnostics, Pointer, Span
from specc.ir.graph import Value
from specc.spec.document import Document
from specc.spec.expression_parser import ExpressionError, Fuel
from specc.spec.expressions import UNKNOWN, TensorView, Unknown, evaluate_text


class Poison:
    """Stands for a value whose own error has been reported; what needs it is passed over."""


POISON = Poison()


@dataclass
class Context:
    """What all parts of one compilation share."""

    document: Document
    diagnostics: Diagnostics
    maker: Callable[..., Any]
    """Turns a layer into what makes its nodes; here because makers call parts and parts makers."""
    fuel: Fuel = field(default_factory=Fuel)
    globals: dict[str, Any] = field(default_factory=dict)
    """Params, lets and dims of the spec, which every part sees."""
    trail: tuple[tuple[str, Span], ...] = ()
    """The block calls that lead to where we are."""
    layers: int = 0
    """How many layers have been made, over all repetitions."""
    bodies: dict[Any, Any] = field(default_factory=dict)
    """Bodies of blocks already built, by block, parameters and input types."""

    def error(self, code: str, message: str, at: Span, hint: str | None = None) -> None:
        """Report, with the block calls that lead here."""
        self.diagnostics.add(code, message, at, hint=hint, notes=self.notes())

    def notes(self) -> tuple[str, ...]:
        """Which block calls lead to where we are; the innermost and the outermost of many."""
        lines = [f"in block `{name}`, called at {_where(span)}" for name, span in self.trail]
        if len(lines) > 5:
            lines[2:-2] = [f"… {len(lines) - 4} more calls"]
        return tuple(lines)


def _where(span: Span) -> str:
    line, column = span.source.position(span.start)
    return f"{span.source.name}:{line}:{column}"


class Scope:
    """Compile-time values and tensors that are visible to a layer."""

    def __init__(self, context: Context, constants: Mapping[str, Any]) -> None:
        self.context = context
        self.constants = dict(constants)
        self.values: dict[str, Value | Poison] = {}

    def child(self, constants: Mapping[str, Any]) -> Scope:
        """The same tensors with further compile-time values."""
        inner = Scope(self.context, {**self.constants, **constants})
        inner.values = self.values
        return inner

    def names(self) -> dict[str, Any]:
        """All that an expression may name."""
        views: dict[str, Any] = {}
        for name, value in self.values.items():
            if "." in name:
                continue
            if isinstance(value, Value):
                kind = value.type
                views[name] = TensorView(list(kind.shape), kind.rank, str(kind.dtype))
            else:
                views[name] = UNKNOWN
        return {**views, **self.constants}

    def evaluate(self, value: Any, pointer: Pointer) -> Any:
        """The value with every `${…}` in it worked out; `POISON` where that failed."""
        if isinstance(value, list):
            items = [self.evaluate(item, (*pointer, i)) for i, item in enumerate(value)]
            return POISON if any(item is POISON for item in items) else items
        if isinstance(value, dict):
            members = {k: self.evaluate(v, (*pointer, k)) for k, v in value.items()}
            return POISON if any(v is POISON for v in members.values()) else members
        if not isinstance(value, str) or "${" not in value:
            return value
        try:
            return evaluate_text(value, self.names(), self.context.fuel)
        except Unknown:
            return POISON
        except ExpressionError as fault:
            at = self.context.document.inside(pointer, fault.start, fault.end)
            self.context.error(fault.code, fault.message, at, fault.hint)
            return POISON
