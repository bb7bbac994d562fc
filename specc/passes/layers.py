"""How each kind of layer becomes nodes: operators, blocks, groups, shared layers, formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specc.diagnostics.model import Diagnostics, Pointer
from specc.diagnostics.suggest import closest
from specc.ir.graph import Call, Graph, Value
from specc.ir.types import OpError, TensorType
from specc.ops import REGISTRY, Op, as_outputs
from specc.ops.schema import coerce, plain
from specc.passes.part import Input, Made, Part, Recipe, Result
from specc.passes.scope import POISON, Poison, Scope
from specc.spec.model import Layer
from specc.spec.schema import layer_schema
from specc.spec.validate import validate

MAX_NESTING = 40


def maker(part: Part, layer: Layer) -> Maker | None:
    """What makes the layer's nodes; `None` (and findings) if the layer says nothing usable."""
    kind = {
        "op": OpMaker, "block": BlockMaker, "layers": GroupMaker, "share": ShareMaker,
        "formula": FormulaMaker,
    }[layer.kind]  # fmt: skip
    made = kind(part, layer)
    return made if made.is_valid() else None


class Maker:
    """Makes the instances of one layer."""

    def __init__(self, part: Part, layer: Layer) -> None:
        self.part, self.layer, self.context = part, layer, part.context
        self.at = self.context.document.span(layer.pointer)

    def is_valid(self) -> bool:
        """Check what can be checked before any input is known."""
        return self.check_schema(layer_schema(self.layer.kind), f"this `{self.layer.kind}` layer")

    def check_schema(self, schema: Any, subject: str, inferred: Sequence[str] = ()) -> bool:
        """Validate the layer object as it is written."""
        raw = self.layer.raw
        return isinstance(raw, str) or validate(
            self.context.document, self.layer.pointer, raw, schema, self.context.diagnostics,
            subject=subject, inferred=inferred, notes=self.context.notes(),
        )  # fmt: skip

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
        return list(zip(items, places, strict=True))

    def fault(self, message: str, pointer: Pointer, code: str = "R306", hint: str | None = None) -> None:  # fmt: skip
        """Report at a place of the spec."""
        self.context.error(code, message, self.context.document.span(pointer), hint)

    def settings(self, scope: Scope) -> dict[str, Any]:
        """`init`, `freeze` and `tie`, evaluated."""
        common = self.layer.common
        keys = [key for key in ("init", "freeze", "tie") if key in common]
        found = {k: scope.evaluate(common[k], (*self.layer.pointer, k)) for k in keys}
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
            self.fault(f"`{self.cls.name}` needs {len(needed)} inputs: {listing}", self.layer.pointer, hint="name them in `from`")  # fmt: skip
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
        missing = [n for i, n in enumerate(names) if n in self.names.required and (i >= len(placed) or placed[i] is None)]  # fmt: skip
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
        made = self.applied(bound, path, filled)
        return made._replace(inputs=tuple(filled)) if made else None

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
            outputs = as_outputs(bound.infer(*types))
            weights = tuple(bound.weights(*types))
        except OpError as fault:
            self._refused(fault, types)
            return None
        except ZeroDivisionError:
            self._refused(OpError("T405", f"`{bound.name}` divides by zero here"), types)
            return None
        values = tuple(Value(f"{path}.{name}" if name else path, kind) for name, kind in outputs)
        return Made(bound, values, weights)

    def _refused(self, fault: OpError, types: Sequence[TensorType | None]) -> None:
        pointer = self.layer.target_pointer
        if fault.param and fault.param in self.layer.args:
            pointer = (*self.layer.pointer, fault.param)
        elif fault.input and "from" in self.layer.common:
            pointer = (*self.layer.pointer, "from")
        name = self.layer.common.get("name")
        message = fault.message if not name else f"{fault.message}, in layer `{name}`"
        self.context.error(fault.code, message, self.context.document.span(pointer), fault.hint)


class BodyMaker(Maker):
    """A layer that calls a part with a body of its own."""

    def body(
        self, name: str, definition: Mapping[str, Any], pointer: Pointer, scope: Scope,
        inputs: Sequence[Value | None],
    ) -> Graph | None:  # fmt: skip
        """Build the body in a closed scope."""
        names = definition.get("inputs", ["x"])
        if len(names) != len(inputs):
            wanted = f"{len(names)} input{'s' * (len(names) != 1)} ({', '.join(names)})"
            self.fault(f"`{name}` takes {wanted}, got {len(inputs)}", self.layer.pointer)
            return None
        values = [
            (key, Value(key, value.type)) for key, value in zip(names, inputs, strict=True) if value
        ]
        return build_body(name, scope, values, definition, pointer)

    def called(self, name: str, body: Graph | None, path: str, params: Mapping[str, Any]) -> Made | None:  # fmt: skip
        """The call of a finished body."""
        if body is None:
            return None
        outputs = tuple(
            Value(f"{path}.{key}" if key else path, value.type) for key, value in body.outputs
        )
        return Made(Call(name, body, params), outputs)


class GroupMaker(BodyMaker):
    """A layer with `layers`: a block that is used once."""

    def make(self, path: str, inputs: Sequence[Value | None], scope: Scope) -> Made | None:
        definition = {"layers": self.layer.target, **self.layer.group}
        inner = Scope(self.context, scope.constants)
        name = str(self.layer.common.get("name", path)).replace("${", "").replace("}", "")
        body = self.body(name, definition, self.layer.pointer, inner, inputs)
        return self.called(name, body, path, {})


class BlockMaker(BodyMaker):
    """A layer with `block`."""

    def is_valid(self) -> bool:
        if not super().is_valid():
            return False
        blocks = self.context.document.get(("blocks",)) or {}
        if self.layer.target in blocks:
            self.definition = blocks[self.layer.target]
            return self._check_params(self.definition.get("params", {}))
        near = closest(str(self.layer.target), blocks)
        self.fault(
            f"there is no block `{self.layer.target}`", (*self.layer.pointer, "block"), "R307",
            f"did you mean `{near}`?" if near else None,
        )  # fmt: skip
        return False

    def _check_params(self, known: Mapping[str, Any]) -> bool:
        name, fine = self.layer.target, True
        for key in self.layer.args:
            if key not in known:
                near, fine = closest(key, known), False
                at = self.context.document.span((*self.layer.pointer, key), key=True)
                hint = f"did you mean `{near}`?" if near else None
                self.context.error("R308", f"block `{name}` has no parameter `{key}`", at, hint)
        for key, default in known.items():
            if default is None and key not in self.layer.args:
                self.fault(f"block `{name}` needs `{key}`", self.layer.pointer, "R309")
                fine = False
        return fine

    def make(self, path: str, inputs: Sequence[Value | None], scope: Scope) -> Made | None:
        name, params = self.layer.target, self._params(scope)
        if params is None:
            return None
        key = (name, repr(params), tuple(value.type if value else None for value in inputs))
        if key not in self.context.bodies:
            trail = self.context.trail
            if len(trail) >= MAX_NESTING:
                self.fault(f"block `{name}` is nested too deeply", self.layer.pointer, "R310", "a block may not contain itself")  # fmt: skip
                return None
            self.context.trail = (*trail, (name, self.at))
            inner = Scope(self.context, {**self.context.globals, **params})
            self.context.bodies[key] = self.body(
                name, self.definition, ("blocks", name), inner, inputs
            )
            self.context.trail = trail
        return self.called(name, self.context.bodies[key], path, params)

    def _params(self, scope: Scope) -> dict[str, Any] | None:
        given = {k: scope.evaluate(v, (*self.layer.pointer, k)) for k, v in self.layer.args.items()}
        params: dict[str, Any] = {}
        for key, default in self.definition.get("params", {}).items():
            own = Scope(self.context, {**self.context.globals, **params})
            place = ("blocks", self.layer.target, "params", key)
            params[key] = given[key] if key in given else own.evaluate(default, place)
        return None if any(v is POISON for v in params.values()) else params


class ShareMaker(Maker):
    """A layer with `share`: an earlier layer once more, with the same weights."""

    def __call__(self, path: str, sources: list[Input], scope: Scope) -> Result:
        name = str(scope.evaluate(self.layer.target, (*self.layer.pointer, "share")))
        recipes = self.part.recipes.get(name)
        if not recipes:
            known = name in self.part.scope.values
            near = closest(name, self.part.recipes)
            if not known or name not in self.part.declared:
                self.fault(
                    f"there is no earlier layer `{name}` here", (*self.layer.pointer, "share"),
                    "R301", f"did you mean `{near}`?" if near else None,
                )  # fmt: skip
            return {"": POISON}
        current: list[Any] = list(sources)
        result: Result = {}
        for number, recipe in enumerate(recipes):
            where = path if len(recipes) == 1 else f"{path}.{number}"
            made = recipe.make(where, current)
            if made is None or not self._same_weights(recipe, made):
                return {"": POISON}
            inputs = made.inputs or current
            result = self.part.emit(made, where, recipe.path, inputs, self.layer)
            current[:1] = [next(iter(result.values()))]
        return result

    def _same_weights(self, recipe: Recipe, made: Made) -> bool:
        owner = next(node for node in self.part.nodes if node.path == recipe.path)
        before = _weight_types(owner.op, owner.weights)
        after = _weight_types(made.op, made.weights)
        if before == after:
            return True
        key = next(k for k in {**before, **after} if before.get(k) != after.get(k))
        self.fault(
            f"`{recipe.path}` cannot be shared with this input: `{key}` would be "
            f"{after.get(key, 'absent')}, but it is {before.get(key, 'absent')}",
            self.layer.pointer, "T408",
        )  # fmt: skip
        return False


def _weight_types(op: Any, weights: Sequence[Any]) -> dict[str, str]:
    if not isinstance(op, Call):
        return {w.name: str(w.type) for w in weights}
    found: dict[str, str] = {}
    for path, node in op.body.walk():
        if not node.is_shared:
            found |= {f"{path}.{w.name}": str(w.type) for w in node.weights}
    return found


class FormulaMaker(Maker):
    """A layer with `formula`; see `specc.passes.formula`."""

    def default_sources(self) -> list[Input]:
        return []

    def __call__(self, path: str, sources: list[Input], scope: Scope) -> Result:
        from specc.passes.formula import build_formula

        return build_formula(self, path, scope)


def build_body(
    name: str, scope: Scope, inputs: Sequence[tuple[str, Value]], definition: Mapping[str, Any],
    pointer: Pointer,
) -> Graph | None:  # fmt: skip
    """The graph of a block, a group or the model; `None` where an error stands in the way."""
    context = scope.context
    before = len(context.diagnostics.items)
    part = Part(name, scope, list(inputs))
    add_lets(scope, definition.get("let", {}), (*pointer, "let"))
    layers = definition["layers"]
    part.later = frozenset(
        raw["name"] for raw in layers if isinstance(raw, dict) and isinstance(raw.get("name"), str)
    )
    part.add_layers(layers, (*pointer, "layers"))
    if not layers and not inputs:
        context.error("R311", f"`{name}` has no layers", context.document.span(pointer))
    outputs = _outputs(part, definition.get("outputs"), (*pointer, "outputs"))
    failed = any(d.severity == "error" for d in context.diagnostics.items[before:])
    return None if failed or outputs is None else part.graph(outputs)


def add_lets(scope: Scope, lets: Mapping[str, Any], pointer: Pointer) -> None:
    """Evaluate `let` in order; each sees those before it."""
    for key, value in lets.items():
        scope.constants[key] = scope.evaluate(value, (*pointer, key))


def _outputs(part: Part, declared: Any, pointer: Pointer) -> list[tuple[str, Value]] | None:
    if declared is None:
        last = part.previous
        return [("", last)] if isinstance(last, Value) else None
    if isinstance(declared, list):
        references = [(name, name, (*pointer, i)) for i, name in enumerate(declared)]
    else:
        references = [
            (key, ref["from"] if isinstance(ref, dict) else ref, (*pointer, key))
            for key, ref in declared.items()
        ]
    found = [(key, part.reference(ref, place)) for key, ref, place in references]
    good = [(key, value) for key, value in found if isinstance(value, Value)]
    return good if len(good) == len(found) else None


__all__ = ["Diagnostics", "Maker", "OpMaker", "add_lets", "build_body", "maker"]
