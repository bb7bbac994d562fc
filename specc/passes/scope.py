"""What names mean at one point of a spec: compile-time values, and tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    valid: set[Pointer] = field(default_factory=set)
    """Layers found to be as their schema says: those of a block stand in each of its bodies."""

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


class Names(Mapping[str, Any]):
    """All that an expression may name in a scope; tensors by what can be asked of them."""

    def __init__(self, scope: Scope) -> None:
        self.constants, self.tensors = scope.constants, scope.values

    def __getitem__(self, name: str) -> Any:
        if name in self.constants:
            return self.constants[name]
        value = self.tensors[name]
        if isinstance(value, Poison):
            return UNKNOWN
        kind = value.type
        return TensorView(list(kind.shape), kind.rank, str(kind.dtype))

    def __iter__(self) -> Iterator[str]:
        tensors = (name for name in self.tensors if "." not in name)
        return iter(dict.fromkeys([*tensors, *self.constants]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


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
            return evaluate_text(value, Names(self), self.context.fuel)
        except Unknown:
            return POISON
        except ExpressionError as fault:
            at = self.context.document.inside(pointer, fault.start, fault.end)
            self.context.error(fault.code, fault.message, at, fault.hint)
            return POISON
