"""Which layer made a value that is not finite: the failing step again, layer by layer.

A step is not watched while it is fast. Once a loss or a weight turns out not to be finite,
training goes back to its last checkpoint and repeats the steps since then, which gives the
same numbers, up to the one that failed. That one runs with every layer's result in sight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from specc.diagnostics.model import Label
from specc.ir.graph import Call, Graph, Node, Value
from specc.runtime.build import build_module
from specc.targets.torch_source import class_name, torch_source
from specc.training.course import Course
from specc.training.forward import Forward
from specc.training.step import Group

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Blame:
    """What is to blame, in words, with its place in the spec."""

    note: str
    label: Label | None = None


@dataclass(frozen=True)
class Replay:
    """How to repeat the steps since the last checkpoint."""

    course: Course
    restore: Callable[[], object]
    watched: Sequence[float]
    """What the scheduler was told at the end of each epoch since then."""
    graph: Graph
    loss_graph: Graph

    @property
    def _forward(self) -> Forward:
        """The model by itself, so that each rank can search without the others."""
        return replace(self.course.setup.forward, trained=None)

    def steps(self) -> Iterator[Group]:
        """Each step's batches; the course stands before that step."""
        self.restore()
        # The plain step, since a program would have to be compiled anew.
        self.course.step.compiled = False
        watched = iter(self.watched)
        while True:
            for group in self.course.groups():
                yield group
                self.course.advance(group)
            if not self.course.epoch_is_complete or (value := next(watched, None)) is None:
                return
            self.course.end_epoch(value)

    def blame(self, failed: int | None) -> Blame | None:
        """What is to blame for step `failed`, or for a weight if that is None."""
        last = self.course.state.step
        failed = failed or self._first_bad_weights() or last
        healthy: set[str] = set()
        first = None
        for group in self.steps():
            done = self.course.state.step
            first = done if first is None else first
            if done == failed - 1 > first and not self.course.is_finite:
                return self.blame(done)  # the step before spoilt the weights
            if done == failed - 2:
                healthy = {path for path, _, _ in self._not_finite(group)}
            if done == failed - 1:
                return self._blame(group, healthy)
        return None

    def _first_bad_weights(self) -> int | None:
        for _ in self.steps():
            if not self.course.is_finite:
                return self.course.state.step
        return None

    def _blame(self, group: Group, healthy: set[str]) -> Blame | None:
        own = None
        with suppress(Exception):  # the search must never hide what it searches for
            own = self._own_blame(group, healthy)
        # Each rank has looked at its own rows.
        found = next(filter(None, self.course.setup.weights.ranks.gathered(own)), None)
        return found or self._update(group)

    def _own_blame(self, group: Group, healthy: set[str]) -> Blame | None:
        for name, value in group[0].batch.items():
            if not _finite(value):
                return Blame(f"`{name}` is not finite in the batch of this step")
        for name, weight in self.course.module.state_dict().items():
            if not _finite(weight):
                return Blame(f"the weight `{name}` is not finite", self._owner(name))
        # What was infinite in a step that went well, such as a mask, is meant to be.
        for path, node, kind in self._not_finite(group):
            if path not in healthy:
                text = f"`{path}` ({_op(node)}) gives the first value that is not finite: {kind}"
                return Blame(text, Label(node.origin.span, f"gives {kind}"))
        with torch.enable_grad():
            return self._gradient(group)

    def _not_finite(self, group: Group) -> Iterator[tuple[str, Node, str]]:
        forward, precision = self._forward, self.course.setup.step.precision
        state = forward.module.state_dict()
        for batch in (share.batch for share in group):
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                inputs = [batch[name] for name in forward.inputs]
                with precision.autocast():
                    found = list(layer_values(self.graph, state, inputs))
                yield from _suspects(found)
                values = forward.values(batch)
                inputs = [values[name] for name in forward.loss_inputs]
                loss_state = forward.loss_module.state_dict()
                yield from _suspects(layer_values(self.loss_graph, loss_state, inputs, "loss."))

    def _gradient(self, group: Group) -> Blame | None:
        """The layer whose result has a finite gradient and whose inputs or weights have not."""
        forward = self._forward
        batch = group[0].batch
        inputs = [batch[name] for name in forward.inputs]
        values = _top_values(self.graph, forward.module.state_dict(), inputs)
        found = {name: values[value] for name, value in self.graph.outputs if value in values}
        loss = forward.loss({**batch, **found})
        loss.backward()  # type: ignore[no-untyped-call]
        for name, value in self.graph.outputs:
            if value in values and not _finite(values[value].grad):
                node = self.loss_graph.nodes[-1]
                return Blame(
                    f"the gradient of the loss at `{name}` is not finite",
                    Label(node.origin.span, "its gradient is not finite"),
                )
        for node in reversed(self.graph.nodes):
            taken = [getattr(values[v], "grad", None) for v in node.inputs if v in values]
            if not all(map(_finite, taken)):
                text = f"the gradient of `{node.path}` ({_op(node)}) is not finite"
                return Blame(text, Label(node.origin.span, "its gradient is not finite"))
        return None

    def _update(self, group: Group) -> Blame | None:
        self.course.advance(group)
        for name, weight in self.course.module.state_dict().items():
            if not _finite(weight):
                return Blame(f"the step makes `{name}` not finite", self._owner(name))
        return None

    def _owner(self, weight: str) -> Label | None:
        owners = {path: node for path, node in self.graph.walk() if node.weights}
        node = owners.get(weight.rpartition(".")[0]) or owners.get(weight)
        return Label(node.origin.span, f"owns `{weight}`") if node else None


def layer_values(
    graph: Graph, state: State, inputs: Sequence[Tensor], prefix: str = ""
) -> Iterator[tuple[str, Node, list[Tensor]]]:
    """The results of every operator, in the order of execution, with its path."""
    known = _known(graph, state, inputs)
    for node in graph.nodes:
        path = f"{prefix}{node.path}"
        if isinstance(node.op, Call):
            given = [known[value] for value in node.inputs if value is not None]
            yield from layer_values(node.op.body, _below(state, node.module), given, f"{path}.")
        else:
            yield path, node, [known[value] for value in node.outputs]


def _known(graph: Graph, state: State, inputs: Sequence[Tensor]) -> dict[Value, Tensor]:
    """Every value of a graph's own nodes: its source, made to return them all."""
    values = [value for node in graph.nodes for value in node.outputs]
    # Parts of one formula as well: each by a name of its own, so that it is computed once.
    nodes = tuple(replace(node, inline=False) for node in graph.nodes)
    outputs = tuple((str(i), value) for i, value in enumerate(values))
    shown = replace(graph, nodes=nodes, outputs=outputs)
    module = build_module(torch_source(shown), class_name(shown))
    module.load_state_dict(dict(state), strict=False)
    if inputs:
        module.to(inputs[0].device)
    result = module.train()(*inputs)
    results = [result[str(i)] for i in range(len(values))] if len(values) > 1 else [result]
    return dict(zip(graph.inputs, inputs, strict=True)) | dict(zip(values, results, strict=True))


def _top_values(graph: Graph, state: State, inputs: Sequence[Tensor]) -> dict[Value, Tensor]:
    values = _known(graph, state, inputs)
    for value in values.values():
        if isinstance(value, Tensor) and value.requires_grad:
            value.retain_grad()
    return values


def _below(state: State, path: str) -> dict[str, Tensor]:
    start = f"{path}."
    return {name[len(start) :]: t for name, t in state.items() if name.startswith(start)}


def _suspects(
    found: Iterator[tuple[str, Node, list[Tensor]]] | list[tuple[str, Node, list[Tensor]]],
) -> Iterator[tuple[str, Node, str]]:
    for path, node, tensors in found:
        for tensor in tensors:
            if not _finite(tensor):
                yield path, node, "nan" if tensor.isnan().any() else "infinity"
                break


def _finite(tensor: Tensor | float | None) -> bool:
    # A constant of the spec stands in the source as a number, and is meant to be what it is.
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        return True
    return bool(tensor.isfinite().all())


def _op(node: Node) -> str:
    return str(getattr(node.op, "name", "block"))
