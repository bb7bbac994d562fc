"""What a spec declares of the model's inputs, outputs and tied weights, held against its graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specc.diagnostics.model import Pointer
from specc.diagnostics.suggest import closest
from specc.ir.graph import Graph, Value
from specc.ir.types import DType
from specc.passes.interface import Bounds, index_bounds
from specc.passes.scope import POISON, Scope
from specc.spec.model import Spec


def check_declared(spec: Spec, graph: Graph, scope: Scope) -> None:
    """Report names that clash, outputs that are missing, and values that no input may have."""
    checker = _Checker(spec, graph, scope)
    checker.output_names()
    checker.exported()
    limits = index_bounds(graph)
    for value in graph.inputs:
        checker.values_of(value, limits.get(value))


class _Checker:
    def __init__(self, spec: Spec, graph: Graph, scope: Scope) -> None:
        self.spec, self.graph, self.scope = spec, graph, scope

    def add(
        self, code: str, message: str, pointer: Pointer, hint: str | None = None,
        *, key: bool = False,
    ) -> None:  # fmt: skip
        at = self.spec.document.span(pointer, key=key)
        self.scope.context.error(code, message, at, hint)

    def output_names(self) -> None:
        """An output may not be called like an input or a weight: ONNX has one space of names."""
        inputs = {value.name for value in self.graph.inputs}
        weights = dict(self._own_weights())
        for name, _ in self.graph.outputs:
            kind = "input" if name in inputs else weights.get(name)
            if kind:
                message = f"`{name}` is an output and {_article(kind)} {kind} at once"
                if name in self.spec.section("outputs"):
                    self.add("R303", message, ("outputs", name), "rename the output", key=True)
                else:
                    place = ("inputs", name) if name in inputs else ("layers",)
                    self.add("R303", message, place, "name the output, in `outputs`", key=True)

    def _own_weights(self) -> Iterator[tuple[str, str]]:
        """Weights whose whole path is one name, with what makes them."""
        for node in self.graph.nodes:
            if any(not weight.name for weight in node.weights):
                yield node.path, f"`{getattr(node.op, 'name', 'weight')}`"

    def exported(self) -> None:
        """`export.outputs` names outputs, and some output is left for the exported model."""
        names = [name for name, _ in self.graph.outputs]
        wanted = self.spec.section("export").get("outputs")
        for i, name in enumerate(wanted or ()):
            if name not in names:
                near = closest(name, names)
                listing = f"there are {', '.join(f'`{n}`' for n in names)}"
                hint = f"did you mean `{near}`?" if near else listing
                self.add("R312", f"there is no output `{name}`", ("export", "outputs", i), hint)
        if wanted is None and names and self.graph.train_only.issuperset(names):
            self.add(
                "S113", "every output is `train_only`, so the exported model has none",
                ("outputs",), "leave `train_only` out of one",
            )  # fmt: skip

    # -- the values of integer inputs -------------------------------------------------------

    def values_of(self, value: Value, limits: Bounds | None) -> None:
        """`low` and `high` of an input: integers in order, of which every layer can do with all."""
        info = self.spec.section("inputs", value.name)
        given = {key: self._integer(value, key) for key in ("low", "high") if key in info}
        if not given or None in given.values():
            return
        pointer = ("inputs", value.name)
        if "high" not in given:
            self.add(
                "S102", f"`low` of `{value.name}` needs `high`", (*pointer, "low"),
                "values lie from `low` up to `high`, which is not among them", key=True,
            )  # fmt: skip
            return
        low, high = given.get("low") or 0, given["high"] or 0
        if low >= high:
            message = f"`high` of `{value.name}` must be more than its `low` of {low}, got {high}"
            self.add("S104", message, (*pointer, "high"))
            return
        self._within(value, low, high, _range(value.type.dtype), f"{value.type.dtype} holds")
        if limits:
            self._within(value, low, high, limits, "what it indexes has")

    def _integer(self, value: Value, key: str) -> int | None:
        pointer = ("inputs", value.name, key)
        if not value.type.dtype.is_integer:
            message = f"`{key}` is for integers, but `{value.name}` is {value.type.dtype}"
            self.add("S113", message, pointer, f"remove `{key}`", key=True)
            return None
        found: Any = self.scope.evaluate(self.spec.section(*pointer[:2])[key], pointer)
        if found is POISON:
            return None
        if isinstance(found, bool) or not isinstance(found, int):
            self.add("S103", f"`{key}` must be an integer, got `{found}`", pointer)
            return None
        return found

    def _within(self, value: Value, low: int, high: int, limits: Bounds, owner: str) -> None:
        least, end = limits
        told = f"but {owner} {least} to {end - 1}"
        if low < least:
            declared = "low" in self.spec.section("inputs", value.name)
            pointer = ("inputs", value.name, "low" if declared else "high")
            message = f"the values of `{value.name}` start at {low}, {told}"
            self.add("S104", message, pointer, f"`low` is at least {least}")
        elif high > end:
            message = f"the values of `{value.name}` go up to {high - 1}, {told}"
            self.add("S104", message, ("inputs", value.name, "high"), f"`high` is at most {end}")


def _range(dtype: DType) -> Bounds:
    bits = 8 * dtype.itemsize
    return (0, 2**bits) if dtype is DType.uint8 else (-(2 ** (bits - 1)), 2 ** (bits - 1))


def _article(noun: str) -> str:
    return "an" if noun.strip("`")[0].lower() in "aeiou" else "a"
