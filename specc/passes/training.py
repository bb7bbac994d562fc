"""What the `data` and `train` sections say, checked against the model, without torch."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from specc.diagnostics.model import Diagnostics, Pointer
from specc.diagnostics.suggest import closest
from specc.ir.graph import Graph
from specc.passes.layers import new_context
from specc.passes.loss import loss_values
from specc.passes.resolve import spec_scope
from specc.passes.scope import POISON, Scope
from specc.passes.sources import check_source
from specc.spec.model import Spec
from specc.spec.sources import implied_columns
from specc.spec.validate import fault_in

_KINDS: dict[str, dict[str, Any]] = {
    "number": {"type": "number"}, "boolean": {"type": "boolean"}, "text": {"type": "string"},
    "list": {"type": "array", "items": {"type": ["number", "null"]}},
}  # fmt: skip


@cache
def known_names() -> dict[str, dict[str, dict[str, str]]]:
    """Optimizers, schedulers and metrics with their arguments and what these take.

    `tools/make_names.py` writes them.
    """
    text = (files("specc.passes") / "training_names.json").read_text("utf-8")
    found: dict[str, dict[str, dict[str, str]]] = json.loads(text)
    return found


def check_training(spec: Spec, graph: Graph) -> Diagnostics:
    """Names of optimizers, schedulers, metrics and columns; which columns the inputs need."""
    checker = _Checker(spec, graph)
    train = spec.section("train")
    for kind in ("optimizer", "scheduler"):
        if kind in train:
            checker.named(kind, train[kind], ("train", kind))
    for name, metric in spec.section("train", "metrics").items():
        checker.metric(metric, ("train", "metrics", name))
    if train and not train.get("epochs") and not train.get("steps"):
        checker.add("L603", "`train` says neither `epochs` nor `steps`", ("train",))
    if spec.section("data"):
        checker.columns()
        checker.out.items += check_source(spec).items
    elif train:
        checker.add("D508", "`train` needs a `data` section", ("train",))
    return checker.out


class _Checker:
    def __init__(self, spec: Spec, graph: Graph) -> None:
        self.spec, self.graph, self.out = spec, graph, Diagnostics()
        # What is wrong with an expression is said where the loss is resolved.
        scope = spec_scope(spec, new_context(spec.document, Diagnostics()))
        self.values = loss_values(spec, graph, scope)
        self.scope = Scope(new_context(spec.document, self.out), scope.constants)

    def add(self, code: str, message: str, pointer: Pointer, hint: str | None = None) -> None:
        self.out.add(code, message, self.spec.locate(pointer), hint=hint)

    def named(self, kind: str, value: Any, pointer: Pointer) -> None:
        """An optimizer or scheduler and its arguments."""
        name = value if isinstance(value, str) else value["op"]
        known = known_names()[f"{kind}s"]
        place = pointer if isinstance(value, str) else (*pointer, "op")
        if name not in known:
            near = closest(name, known)
            listing = f"there are {', '.join(sorted(known))}"
            hint = f"did you mean `{near}`?" if near else listing
            self.add("L602", f"there is no {kind} `{name}`", place, hint)
            return
        extra = {"op", "doc", "param_groups"} | ({"interval"} if kind == "scheduler" else set())
        for key in () if isinstance(value, str) else value:
            if key not in known[name] and key not in extra:
                near = closest(key, known[name])
                at = self.spec.document.span((*pointer, key), key=True)
                takes = f"it takes {', '.join(known[name])}"
                self.out.add(
                    "L603", f"`{name}` takes no `{key}`", at,
                    hint=f"did you mean `{near}`?" if near else takes,
                )  # fmt: skip
        if isinstance(value, dict):
            self.arguments(name, value, known[name], pointer)

    def arguments(
        self, name: str, given: dict[str, Any], known: dict[str, str], pointer: Pointer
    ) -> None:
        """The values of an optimizer's or scheduler's arguments, those of its groups too."""
        for key, raw in given.items():
            schema = _KINDS.get(known.get(key, "any"))
            if schema is None:
                continue
            value = self.scope.evaluate(raw, (*pointer, key))
            fault = None if value is POISON else fault_in(value, schema)
            if fault:
                self.add("L603", f"`{key}` of `{name}` {fault}", (*pointer, key))
        groups = given.get("param_groups")
        for i, group in enumerate(groups if isinstance(groups, list) else []):
            if isinstance(group, dict):
                self.arguments(name, group, known, (*pointer, "param_groups", i))

    def metric(self, value: Any, pointer: Pointer) -> None:
        """A metric and the tensors that it compares."""
        name = value if isinstance(value, str) else value["op"]
        known = known_names()["metrics"]
        if name not in known:
            near = closest(name, known)
            listing = f"there are {', '.join(known)}"
            hint = f"did you mean `{near}`?" if near else listing
            place = pointer if isinstance(value, str) else (*pointer, "op")
            self.add("L602", f"there is no metric `{name}`", place, hint)
        names = value.get("from", []) if isinstance(value, dict) else []
        for i, source in enumerate(names if isinstance(names, list) else []):
            if source not in self.values:
                near = closest(str(source), self.values)
                self.add(
                    "R301", f"there is no output, input or column `{source}`",
                    (*pointer, "from", i), f"did you mean `{near}`?" if near else None,
                )  # fmt: skip

    def columns(self) -> None:
        """Every input of the model has a column, if the columns are listed."""
        columns = self.spec.section("data", "columns")
        implied = implied_columns(self.spec.section("data", "source"))
        for value in self.graph.inputs:
            if columns and value.name not in columns:
                near = closest(value.name, columns)
                self.add(
                    "D511", f"no column is named after the input `{value.name}`",
                    ("data", "columns"),
                    f"is `{near}` meant?" if near else f'add `"{value.name}": {{ "from": … }}`',
                )  # fmt: skip
        split = self.spec.section("data", "split")
        for key in ("stratify", "group"):
            if key in split and split[key] not in {**columns, **implied} and columns:
                near = closest(split[key], columns)
                hint = f"did you mean `{near}`?" if near else None
                self.add(
                    "D502", f"`{key}` names no column: `{split[key]}`", ("data", "split", key), hint
                )
        self._fractions(split)

    def _fractions(self, split: dict[str, Any]) -> None:
        shares = [
            v
            for k, v in split.items()
            if k in ("train", "val", "test") and not isinstance(v, str | list)
        ]
        if any(share < 0 for share in shares) or sum(shares) > 1 + 1e-9:
            self.add(
                "D509", f"the shares of `split` add up to {sum(shares):g}", ("data", "split"),
                "fractions lie between 0 and 1 and add up to at most 1",
            )  # fmt: skip
