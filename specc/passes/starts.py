"""`init`: which parameter starts by which function of `torch.nn.init`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from specc.diagnostics.model import Pointer
from specc.diagnostics.suggest import closest
from specc.ir.graph import Call, Graph, Node, Start
from specc.ir.types import TensorType
from specc.passes.scope import POISON, Scope
from specc.passes.start_functions import FUNCTIONS, argument_fault, rank_fault
from specc.spec.model import Spec


class Parameter(NamedTuple):
    """A parameter of the model: its layer's path, the layer's operator, its own name and type."""

    path: str
    op: str
    name: str
    type: TensorType

    @property
    def full(self) -> str:
        """Its name in the `state_dict`."""
        return f"{self.path}.{self.name}" if self.name else self.path


def starts(spec: Spec, graph: Graph, scope: Scope) -> tuple[tuple[str, Start], ...]:
    """The start of every parameter that has one of its own; what a layer says wins.

    Of the rules in `init` the first that matches counts.
    """
    parameters = [
        Parameter(path, getattr(node.op, "name", ""), w.name, w.type)
        for path, node in graph.walk()
        for w in node.weights
        if not w.is_buffer
    ]
    found = dict(_rules(spec, scope, parameters)) | dict(_layers(graph, "", scope, parameters))
    return tuple((p.full, found[p.full]) for p in parameters if p.full in found)


def _rules(spec: Spec, scope: Scope, parameters: list[Parameter]) -> Iterator[tuple[str, Start]]:
    rules = spec.document.value.get("init", [])
    for number, rule in reversed(list(enumerate(rules))):
        pointer = ("init", number)
        start = _start(scope, rule["init"], (*pointer, "init"))
        matched = [p for p in parameters if _matches(rule, p)]
        if not matched:
            at = scope.context.document.span(pointer)
            scope.context.diagnostics.add("R312", "this rule matches no parameter", at)
        if start and _fits(scope, start, matched, (*pointer, "init")):
            yield from ((p.full, start) for p in matched)


def _matches(rule: Mapping[str, Any], parameter: Parameter) -> bool:
    ops = rule.get("op")
    return (
        (not ops or parameter.op in ([ops] if isinstance(ops, str) else ops))
        and ("path" not in rule or fnmatchcase(parameter.path, rule["path"]))
        and ("parameter" not in rule or fnmatchcase(parameter.name, rule["parameter"]))
    )


def _layers(
    graph: Graph, prefix: str, scope: Scope, parameters: list[Parameter]
) -> Iterator[tuple[str, Start]]:
    for node in graph.nodes:
        path = f"{prefix}{node.path}"
        if node.is_shared:
            continue
        if isinstance(node.op, Call):
            yield from _layers(node.op.body, f"{path}.", scope, parameters)
        if "init" in node.settings:
            yield from _layer(node, path, scope, parameters)


def _layer(
    node: Node, path: str, scope: Scope, parameters: list[Parameter]
) -> Iterator[tuple[str, Start]]:
    value, pointer = node.settings["init"], (*node.origin.pointer, "init")
    by_name = isinstance(value, dict) and "op" not in value
    for name, how in value.items() if by_name else [("weight", value)]:  # type: ignore[attr-defined]
        wanted = f"{path}.{name}"
        matched = [p for p in parameters if fnmatchcase(p.full, wanted)]
        matched = matched or [p for p in parameters if p.full == path and not by_name]
        if not matched:
            at = scope.context.document.span((*pointer, name) if by_name else pointer)
            scope.context.error("R312", f"there is no parameter `{wanted}`", at)
        place = (*pointer, name) if by_name else pointer
        start = _start(scope, how, place)
        if start and _fits(scope, start, matched, place):
            yield from ((p.full, start) for p in matched)


def _start(scope: Scope, value: Any, pointer: Pointer) -> Start | None:
    value = scope.evaluate(value, pointer)
    if value is POISON:
        return None
    function = value if isinstance(value, str) else value.get("op")
    given = {} if isinstance(value, str) else {k: v for k, v in value.items() if k != "op"}
    at = scope.context.document.span(pointer)
    if function not in FUNCTIONS:
        near = closest(str(function), FUNCTIONS)
        hint = f"did you mean `{near}`?" if near else f"there are {', '.join(FUNCTIONS)}"
        message = f"there is no function `{function}` in `torch.nn.init`"
        scope.context.error("S115", message, at, hint)
        return None
    for key in given:
        known = FUNCTIONS[function].arguments
        if key not in known:
            takes = ", ".join(known) or "nothing"
            scope.context.error("S101", f"`{function}` takes no `{key}`", at, f"it takes {takes}")
            return None
    fault = argument_fault(function, given)
    if fault:
        place = (*pointer, fault[1]) if fault[1] else pointer
        scope.context.error("S115", fault[0], scope.context.document.span(place))
        return None
    return Start(function, tuple(given.items()))


def _fits(scope: Scope, start: Start, matched: list[Parameter], pointer: Pointer) -> bool:
    """Whether the function can fill all the parameters; a finding for the first that it can't."""
    for parameter in matched:
        fault = rank_fault(start.function, parameter.type.rank)
        if fault:
            message = f"{fault}, but `{parameter.full}` is {parameter.type}"
            hint = 'leave it out: `"parameter": "weight"`' if pointer[0] == "init" else None
            at = scope.context.document.span(pointer)
            scope.context.error("S115", message, at, hint)
            return False
    return True
