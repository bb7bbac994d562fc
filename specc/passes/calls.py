"""Layers with a body of their own: groups, blocks, and shared layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specc.diagnostics.model import Pointer
from specc.diagnostics.suggest import closest
from specc.ir.graph import Call, Graph, Value
from specc.passes.maker import Maker
from specc.passes.part import Input, Made, Part, Recipe, Result
from specc.passes.scope import POISON, Scope

MAX_NESTING = 40


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

    def called(
        self, name: str, body: Graph | None, path: str, params: Mapping[str, Any]
    ) -> Made | None:
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
        place = (*self.layer.pointer, "block")
        self.block = self.part.scope.evaluate(self.layer.target, place)
        if self.block is POISON:
            return False
        if isinstance(self.block, str) and self.block in blocks:
            self.definition = blocks[self.block]
            return self._check_params(self.definition.get("params", {}))
        near = closest(str(self.block), blocks)
        self.fault(
            f"there is no block `{self.block}`", place, "R307",
            f"did you mean `{near}`?" if near else None,
        )  # fmt: skip
        return False

    def _check_params(self, known: Mapping[str, Any]) -> bool:
        name, fine = self.block, True
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
        name, params = self.block, self._params(scope)
        if params is None:
            return None
        key = (name, repr(params), tuple(value.type if value else None for value in inputs))
        if key not in self.context.bodies:
            trail = self.context.trail
            if len(trail) >= MAX_NESTING:
                self.fault(
                    f"block `{name}` is nested too deeply",
                    self.layer.pointer,
                    "R310",
                    "a block may not contain itself",
                )
                return None
            at = self.context.document.span(self.layer.pointer)
            self.context.trail = (*trail, (name, at))
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
            if key in given:
                params[key] = given[key]
                continue
            own = Scope(self.context, {**self.context.globals, **params})
            params[key] = own.evaluate(default, ("blocks", self.block, "params", key))
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
