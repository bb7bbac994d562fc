"""One list of layers becomes one typed graph: names, references, repetition, conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from specc.diagnostics.model import Pointer, Span
from specc.diagnostics.suggest import closest
from specc.ir.graph import Graph, Node, Origin, Value
from specc.passes.scope import POISON, Poison, Scope
from specc.spec.model import Layer, parse_layer
from specc.spec.names import RESERVED, is_name
from specc.spec.validate import shown

MAX_LAYERS = 50_000

Input = Value | Poison | None
Result = dict[str, "Value | Poison"]
"""The outputs of a layer by name; a single one is named `""`."""


class Made(NamedTuple):
    """A node's operator and results, before it is put into the graph."""

    op: Any
    outputs: tuple[Value, ...]
    weights: tuple[Any, ...] = ()
    inputs: tuple[Value | None, ...] = ()


class Recipe(NamedTuple):
    """How a layer was made, so that `share` can make it again from other inputs."""

    path: str
    make: Callable[[str, Sequence[Value | None]], Made | None]


class Part:
    """Builds the graph of one list of layers, in one scope."""

    def __init__(self, name: str, scope: Scope, inputs: Sequence[tuple[str, Input]]) -> None:
        self.name, self.scope, self.context = name, scope, scope.context
        self.inputs = inputs
        self.nodes: list[Node] = []
        self.recipes: dict[str, list[Recipe]] = {}
        self.declared: dict[str, Span] = {}
        self.lists: dict[str, int] = {}
        self._told: set[Pointer] = set()
        scope.values = {}
        for key, value in inputs:
            scope.values[key] = POISON if value is None else value
        self.previous: Input = inputs[0][1] if inputs else None

    # -- the list ---------------------------------------------------------------------------

    def add_layers(self, layers: Any, pointer: Pointer) -> None:
        """Add every layer of a list; one that is not there takes no index, as in `append`."""
        index = 0
        for number, raw in enumerate(layers):
            index += self.add_layer(raw, (*pointer, number), index)

    def add_layer(self, raw: Any, pointer: Pointer, index: int) -> bool:
        """Add the layer at `pointer`, named `index` if it has no name; whether it is there."""
        layer = parse_layer(raw, pointer, self.context.document, self.context.diagnostics)
        if layer is None:
            self.previous = POISON
            self._poison_name(raw)
            return True
        return self._add_layer(layer, index, self.context.maker(self, layer))

    def _add_layer(self, layer: Layer, index: int, make: Any) -> bool:
        instances: Any = POISON if make is None else self._instances(layer)
        sources = self._sources(layer, make)
        if make is None or instances is POISON or sources is None:
            self._poison(layer, index)
            return True
        scope = self.scope
        first: Input = sources[0] if sources else None
        last: Result = {"": first if first is not None else POISON}
        base, made_any, paths = "", False, []
        for number, item in enumerate(instances):
            inner = scope if item is None else scope.child({"i": number, "item": item[0]})
            if not self._is_there(layer, inner):
                continue
            base, path = self._names(layer, index, inner, None if item is None else number)
            self._check_number(layer, path)
            last = self._place(layer, path, [first, *sources[1:]] if sources else [], inner, make)
            first, made_any = next(iter(last.values())), True
            paths.append(path)
        if not base:
            base = self._names(layer, index, scope.child({"i": 0, "item": None}), None)[0]
        if not made_any and not sources:
            # An absent formula means what stands before it; an absent tensor nothing at all.
            if layer.kind == "formula" and self.previous is not None:
                self._declare(base, layer, {"": self.previous})
            self.later -= {base}
            return False
        self._declare(base, layer, last if made_any else {"": next(iter(last.values()))})
        if len(paths) > 1 or paths != [base]:
            self.recipes[base] = [r for p in paths for r in self.recipes.get(p, [])]
        return made_any or "when" not in layer.common

    def _place(
        self, layer: Layer, path: str, sources: list[Input], scope: Scope, make: Any
    ) -> Result:
        """Make one instance and put its node into the graph."""
        if any(isinstance(source, Poison) for source in sources):
            return {"": POISON}
        self.context.layers += 1
        if self.context.layers > MAX_LAYERS:
            if self.context.layers == MAX_LAYERS + 1:
                at = self.context.document.span(layer.pointer)
                self.context.error("S112", f"the spec has more than {MAX_LAYERS} layers", at)
            return {"": POISON}
        result: Result = make(path, sources, scope)
        if path not in self.declared and "." in path:
            named = {f"{path}.{key}": value for key, value in result.items() if key}
            self.scope.values |= {path: next(iter(result.values())), **named}
        return result

    def emit(
        self, made: Made, path: str, module: str, inputs: Sequence[Value | None], layer: Layer,
        settings: dict[str, Any] | None = None, *, inline: bool = False,
    ) -> Result:  # fmt: skip
        """Append a node; returns its results by name."""
        origin = Origin(layer.pointer, self.context.document.span(layer.pointer))
        node = Node(
            made.op, tuple(inputs), made.outputs, path, module, origin, made.weights,
            settings or {}, inline,
        )  # fmt: skip
        self.nodes.append(node)
        names = [output.name[len(path) + 1 :] for output in made.outputs]
        return dict(zip(names, made.outputs, strict=True))

    # -- names ------------------------------------------------------------------------------

    def _names(self, layer: Layer, index: int, scope: Scope, number: int | None) -> tuple[str, str]:
        """The layer's name, and the path of instance `number`."""
        raw = layer.common.get("name", index)
        name = str(scope.evaluate(raw, (*layer.pointer, "name")))
        if number is None or (isinstance(raw, str) and "${" in raw):
            return name, name
        return name, f"{name}.{number}"

    def _declare(self, name: str, layer: Layer, result: Result) -> None:
        named = "name" in layer.common
        at = self.context.document.span((*layer.pointer, "name") if named else layer.pointer)
        if named:
            self._check_name(name, str(layer.common["name"]), at)
        self.declared[name] = at
        values = self.scope.values
        self.previous = values[name] = next(iter(result.values()))
        if set(result) != {""}:
            values |= {f"{name}.{key}": value for key, value in result.items()}

    def _check_name(self, name: str, raw: str, at: Span) -> None:
        # The schema has judged a name that is no expression.
        if not is_name(name) and "${" in raw:
            self.context.error(
                "R304", f"`{name}` is not a name", at, "a name has letters, digits, `_` and `-`"
            )
        elif name in self.declared or name in self.lists or name in dict(self.inputs):
            kind = "input" if name in dict(self.inputs) else "layer"
            self.context.error(
                "R303", f"there is already {_article(kind)} {kind} `{name}` here", at
            )
        elif name in self.scope.constants:
            self.context.error(
                "R303", f"`{name}` is a layer and a compile-time value at once", at,
                "rename one of them",
            )  # fmt: skip
        elif name in RESERVED:
            self.context.error(
                "R305", f"`{name}` is a name that every PyTorch module uses itself", at,
                f"`{name}_` would do",
            )  # fmt: skip

    def _check_number(self, layer: Layer, path: str) -> None:
        """The layers of a list that are written one by one stand in order: `block.0`, `block.1`."""
        container, _, number = path.rpartition(".")
        if "." not in str(layer.common.get("name", "")) or not container or not is_name(path):
            return
        at = self.context.document.span((*layer.pointer, "name"))
        wanted = self.lists.get(container, 0)
        if container in self.declared:
            self.context.error("R303", f"there is already a layer `{container}` here", at)
        elif int(number) != wanted:
            self.context.error(
                "R304", f"`{path}` comes where `{container}.{wanted}` should", at,
                "the layers of a list are numbered from 0 on",
            )  # fmt: skip
        self.lists[container] = int(number) + 1

    def _poison(self, layer: Layer, index: int) -> None:
        raw = layer.common.get("name", index)
        self._declare(str(raw), layer, {"": POISON})

    def _poison_name(self, raw: Any) -> None:
        if isinstance(raw, dict) and isinstance(raw.get("name"), str):
            self.scope.values[raw["name"]] = POISON

    # -- what a layer says of itself ----------------------------------------------------------

    def _instances(self, layer: Layer) -> Any:
        """`[None]` for a single layer, else one `(item,)` for each repetition."""
        if "repeat" not in layer.common:
            return [None]
        pointer = (*layer.pointer, "repeat")
        value = self.scope.evaluate(layer.common["repeat"], pointer)
        if value is POISON:
            return POISON
        if isinstance(value, list):
            return [(item,) for item in value]
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_LAYERS:
            return [(number,) for number in range(value)]
        self.context.error(
            "S104", f"`repeat` must be a count from 0 to {MAX_LAYERS} or a list, got `{value}`",
            self.context.document.span(pointer),
        )  # fmt: skip
        return POISON

    def _is_there(self, layer: Layer, scope: Scope) -> bool:
        if "when" not in layer.common:
            return True
        pointer = (*layer.pointer, "when")
        value = scope.evaluate(layer.common["when"], pointer)
        if isinstance(value, bool | Poison):
            return value is not False
        if pointer not in self._told:
            self._told.add(pointer)
            self.context.error(
                "S103", f"`when` must be `true` or `false`, got {shown(value)}",
                self.context.document.span(pointer), _when_hint(value),
            )  # fmt: skip
        return True

    # -- references ---------------------------------------------------------------------------

    def _sources(self, layer: Layer, make: Any) -> list[Input] | None:
        """The layer's input tensors in the order of its arguments."""
        given = layer.common.get("from")
        pointer = (*layer.pointer, "from")
        order: Callable[[Any, Pointer], list[Any] | None] = getattr(make, "order", _in_order)
        if given is None:
            return self._default_sources(layer, make)
        ordered = order(given, pointer)
        if ordered is None:
            return None
        return [r if r is None else self.reference(*r) for r in ordered]

    def _default_sources(self, layer: Layer, make: Any) -> list[Input] | None:
        sources = list(make.default_sources()) if make else []
        if None not in sources:
            return sources
        at = self.context.document.span(layer.pointer)
        self.context.error("R306", "there is neither a layer before this one nor an input", at)
        return None

    def matching(self, reference: str) -> list[str]:
        """What `layers.*.keys` stands for; a reference without `*`, or with no match, itself."""
        steps = reference.split(".")
        known = [name.split(".") for name in self.scope.values] if "*" in reference else []
        found = [
            ".".join(name) for name in known
            if len(name) == len(steps) and all(map(fnmatchcase, name, steps))
        ]  # fmt: skip
        return found or [reference]

    def reference(self, text: Any, pointer: Pointer) -> Value | Poison:
        """The value that a reference names; a finding and `POISON` if there is none."""
        name = self.scope.evaluate(text, pointer)
        if isinstance(name, Poison):
            return POISON
        name = str(name)
        found = self.scope.values.get(name)
        if found is not None:
            return found
        if isinstance(self.scope.values.get(name.split(".")[0]), Poison):
            return POISON
        near = closest(name, self.scope.values)
        later = name.split(".")[0] in self.later
        code, message = ("R302", f"`{name}` comes later in this list") if later else (
            "R301", f"there is no layer or input `{name}` here")  # fmt: skip
        hint = "a layer can only take what stands before it" if later else (
            f"did you mean `{near}`?" if near else self._visible())  # fmt: skip
        self.context.error(code, message, self.context.document.span(pointer), hint)
        return POISON

    def _visible(self) -> str:
        names = [f"`{n}`" for n in self.scope.values if "." not in n and not n.isdigit()]
        return f"there are {', '.join(names)}" if names else "nothing has a name here"

    later: frozenset[str] = frozenset()

    def graph(self, outputs: Sequence[tuple[str, Value]]) -> Graph:
        """The finished graph."""
        inputs = tuple(value for _, value in self.inputs if isinstance(value, Value))
        return Graph(self.name, inputs, tuple(self.nodes), tuple(outputs))


def _when_hint(value: Any) -> str | None:
    if not isinstance(value, str):
        return "compare it with something, as in `${n > 0}`"
    if value in ("true", "false"):
        return f"write `{value}` without quotes"
    return "an expression stands in `${…}`"


def _in_order(given: Any, pointer: Pointer) -> list[Any]:
    """References of a string, a list or an object, each with its place."""
    if isinstance(given, dict):
        return [(item, (*pointer, key)) for key, item in given.items()]
    if isinstance(given, list):
        return [(item, (*pointer, i)) for i, item in enumerate(given)]
    return [(given, pointer)]


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
