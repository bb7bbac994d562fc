"""`tie`: weights that are another layer's, which has to have one of the same type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specc.diagnostics.model import Pointer
from specc.diagnostics.suggest import closest
from specc.ir.graph import Call, Graph, Weight
from specc.passes.scope import Context


def check_ties(graph: Graph, context: Context) -> None:
    """Report ties to nothing, to weights of another shape, and those that go in a circle."""
    _Ties(context).check(graph)


class _Ties:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.seen: set[Pointer | Graph] = set()

    def check(self, graph: Graph) -> None:
        """The ties of one body; paths are relative to it."""
        if graph in self.seen:
            return
        self.seen.add(graph)
        ties = list(_ties(graph))
        weights = dict(_weights(graph)) if ties else {}
        targets = {own: target for own, target, _ in ties}
        for own, target, pointer in ties:
            if pointer not in self.seen:
                self.seen.add(pointer)
                self._tie(own, target, pointer, weights, targets)
        for node in graph.nodes:
            if isinstance(node.op, Call):
                self.check(node.op.body)

    def _tie(
        self, own: str, target: str, pointer: Pointer, weights: dict[str, Weight],
        targets: dict[str, str],
    ) -> None:  # fmt: skip
        at = self.context.document.span(pointer)
        for name, place in (
            (own, self.context.document.span(pointer, key=True)),
            (target, at),
        ):
            if name not in weights:
                near = closest(name, weights)
                hint = f"did you mean `{near}`?" if near else "`specc show` lists the paths"
                self.context.error("R314", f"there is no weight `{name}`", place, hint)
                return
        mine, other = weights[own].type, weights[target].type
        if mine != other:
            message = f"`{own}` is {mine} and cannot be tied to `{target}`, which is {other}"
            self.context.error("T408", message, at)
        elif own in (circle := _circle(own, targets)) and own == min(circle):
            self.context.error(
                "R314", f"the tie of `{own}` leads back to itself", at,
                "one of the layers keeps its own weight",
            )  # fmt: skip


def _circle(start: str, targets: dict[str, str]) -> list[str]:
    """The weights that a chain of ties from `start` passes, up to the first that comes again."""
    passed = [start]
    while (current := targets.get(passed[-1])) is not None:
        if current in passed:
            return passed[passed.index(current) :]
        passed.append(current)
    return []


def _weights(graph: Graph) -> Iterator[tuple[str, Weight]]:
    for path, node in graph.walk():
        for weight in node.weights:
            yield f"{path}.{weight.name}" if weight.name else path, weight


def _ties(graph: Graph) -> Iterator[tuple[str, str, Pointer]]:
    for node in graph.nodes:
        tied: Any = node.settings.get("tie") or {}
        for name, target in tied.items():
            yield f"{node.path}.{name}", str(target), (*node.origin.pointer, "tie", name)
