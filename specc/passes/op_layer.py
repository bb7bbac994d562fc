"""A layer with `op`: its parameters, its inputs, and the types of its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specc.diagnostics.model import Pointer
from specc.diagnostics.suggest import closest
from specc.ir.graph import Value
from specc.ir.types import OpError, TensorType
from specc.ops import REGISTRY, Op
from specc.ops.schema import coerce, plain
from specc.passes.constants import varying
from specc.passes.inference import inferred
from specc.passes.maker import Maker
from specc.passes.part import Input, Made
from specc.passes.scope import POISON, Scope
from specc.spec.schema import layer_schema
from specc.spec.validate import validate


class OpMaker(Maker):
    """A layer with `op`."""

    def is_valid(self) -> bool:
        name = self.layer.target
        found = REGISTRY.get(name) if isinstance(name, str) else None
        if found is None:
            near = closest(str(name), REGISTRY)
            self.fault(
                f"there is no operator `{name}`", self.layer.target_pointer, "S105",
                f"did you mean `{near}`?" if near else "`specc ops` lists them",
            )  # fmt: skip
            return False
        self.cls = found
        self.names = found.input_names()
        if self.layer.target_pointer == self.layer.pointer:
            return self._has_no_required()
        return self.check_schema(layer_schema("op", name), f"`{name}`", found.inferred)

    def _has_no_required(self) -> bool:
        missing = [name for name, p in self.cls.params.items() if p.required]
        for name in missing:
            self.fault(
                f"`{self.cls.name}` needs `{name}`", self.layer.pointer, "S102",
                f'write `{{ "op": "{self.cls.name}", "{name}": … }}`',
            )  # fmt: skip
        return not missing

    def _open_names(self) -> list[str]:
        """The tensor arguments for which the layer gives no number."""
        names = [*self.names.required, *self.names.optional]
        return [n for n in names if n not in self.layer.args or n not in self.cls.scalars]

    def default_sources(self) -> list[Input]:
        needed = [n for n in self.names.required if n in self._open_names()]
        if len(needed) > 1:
            listing = ", ".join(f"`{n}`" for n in needed)
            self.fault(
                f"`{self.cls.name}` needs {len(needed)} inputs: {listing}",
                self.layer.pointer,
                hint="name them in `from`",
            )
            return [POISON]
        return [self.part.previous] if needed or self.names.variadic else []

    def order(self, given: Any, pointer: Pointer) -> list[Any] | None:
        names = self._open_names()
        if isinstance(given, dict):
            unknown = next((n for n in given if n not in names), None)
            if unknown is not None:
                near = closest(unknown, names)
                listing = ", ".join(f"`{n}`" for n in names)
                self.context.error(
                    "R306", f"`{self.cls.name}` has no input `{unknown}`",
                    self.context.document.span((*pointer, unknown), key=True),
                    f"did you mean `{near}`?" if near else f"its inputs are {listing}",
                )  # fmt: skip
                return None
            last = max((names.index(n) for n in given), default=-1)
            placed = [(given[n], (*pointer, n)) if n in given else None for n in names[: last + 1]]
        else:
            placed = list(super().order(given, pointer) or [])
        missing = [
            n
            for i, n in enumerate(names)
            if n in self.names.required and (i >= len(placed) or placed[i] is None)
        ]
        if missing:
            listing = ", ".join(f"`{n}`" for n in missing)
            self.fault(f"`{self.cls.name}` also needs {listing}", pointer)
            return None
        if len(placed) > len(names) and not self.names.variadic:
            self.fault(
                f"`{self.cls.name}` takes {len(names)} input{'s' * (len(names) != 1)}, "
                f"`from` lists {len(placed)}", pointer,
            )  # fmt: skip
            return None
        return placed

    def _params(self, scope: Scope) -> dict[str, Any] | None:
        args = {k: scope.evaluate(v, (*self.layer.pointer, k)) for k, v in self.layer.args.items()}
        if any(v is POISON for v in args.values()):
            return None
        if args != dict(self.layer.args):
            schema = layer_schema("op", self.cls.name)
            judged = {k: plain(self.cls, k, v) for k, v in args.items()}
            if not validate(
                self.context.document, self.layer.pointer, {"op": self.cls.name, **judged}, schema,
                self.context.diagnostics, subject=f"`{self.cls.name}`", notes=self.context.notes(),
            ):  # fmt: skip
                return None
        return {k: coerce(self.cls, k, v) if k in self.cls.params else v for k, v in args.items()}

    def make(self, path: str, inputs: Sequence[Value | None], scope: Scope) -> Made | None:
        params = self._params(scope)
        if params is None:
            return None
        filled = self._with_numbers(path, list(inputs), params)
        bound = self.cls(**{k: v for k, v in params.items() if k in self.cls.params})
        if not self._is_made_of_constants(bound, filled):
            return None
        made = self.applied(bound, path, filled)
        return made._replace(inputs=tuple(filled)) if made else None

    def _is_made_of_constants(self, bound: Op, inputs: Sequence[Value | None]) -> bool:
        """Whether a buffer's values are known when the model is made; others need not be."""
        source = inputs[0] if inputs and bound.name == "Buffer" else None
        cause = varying(source, self.part.nodes) if source else None
        if cause:
            hint = None if source is cause else f"`{cause.name}` is none"
            self.fault("a `Buffer` is computed from constants", self.layer.pointer, "R306", hint)
        return cause is None

    def _with_numbers(
        self, path: str, inputs: list[Value | None], params: dict[str, Any]
    ) -> list[Value | None]:
        """Put a constant where the layer gives a number for a tensor argument."""
        if not any(name in params for name in self.cls.scalars):
            return inputs
        rest = iter(inputs)
        filled: list[Value | None] = []
        for name in [*self.names.required, *self.names.optional]:
            if name in params and name in self.cls.scalars:
                filled.append(self.constant(path, name, params[name]))
            else:
                filled.append(next(rest, None))
        return filled

    def constant(self, path: str, name: str, number: Any) -> Value:
        """A node that makes a number."""
        scalar = REGISTRY["scalar"](value=number)
        kind = scalar.infer()
        assert isinstance(kind, TensorType)
        value = Value(f"{path}/{name}", kind)
        where = f"{path}/{name}"
        self.part.emit(Made(scalar, (value,)), where, where, (), self.layer, inline=True)
        return value

    def applied(self, bound: Op, path: str, inputs: Sequence[Value | None]) -> Made | None:
        """Infer the results of a bound operator; its refusal becomes a finding."""
        types = [value.type if value else None for value in inputs]
        try:
            outputs, weights = inferred(bound, types)
        except OpError as fault:
            self._refused(fault)
            return None
        except ZeroDivisionError:
            self._refused(OpError("T405", f"`{bound.name}` divides by zero here"))
            return None
        values = tuple(Value(f"{path}.{name}" if name else path, kind) for name, kind in outputs)
        return Made(bound, values, weights)

    def _refused(self, fault: OpError) -> None:
        pointer = self.layer.target_pointer
        if fault.param and fault.param in self.layer.args:
            pointer = (*self.layer.pointer, fault.param)
        elif fault.input and "from" in self.layer.common:
            pointer = (*self.layer.pointer, "from")
        name = self.layer.common.get("name")
        message = fault.message if not name else f"{fault.message}, in layer `{name}`"
        self.context.error(fault.code, message, self.context.document.span(pointer), fault.hint)
