"""Which nodes make one line of `forward` together: formulas, and runs of repeated layers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from specc.ir.graph import Call, Graph, Node, Value

if TYPE_CHECKING:
    from specc.targets.pytorch.body import Body


class Statement(NamedTuple):
    """Nodes that one line computes; `container` names the module list that they stand in."""

    nodes: tuple[Node, ...]
    container: str = ""
    start: int = 0
    """The number of the first of its layers that the statement runs."""

    @property
    def results(self) -> tuple[Value, ...]:
        """The values that the line makes."""
        if not self.container:
            return self.nodes[-1].outputs
        others = (value for node in self.nodes for value in node.outputs[1:])
        return (self.nodes[-1].outputs[0], *others)

    @property
    def reads(self) -> tuple[Value, ...]:
        """The values from other lines that this line takes, each once."""
        own = {value for node in self.nodes for value in node.outputs}
        read = (v for node in self.nodes for v in node.inputs if v is not None and v not in own)
        return tuple(dict.fromkeys(read))


def statements(graph: Graph, body: Body) -> list[Statement]:
    """The lines of a graph, in order."""
    found: list[Statement] = []
    for container, run in groupby(graph.nodes, key=_container):
        nodes = list(run)
        start = _chain_start(nodes, graph, body) if container else len(nodes)
        found += _formulas(nodes[:start])
        if start < len(nodes):
            found.append(Statement(tuple(nodes[start:]), container, start))
    return found


def _container(node: Node) -> str:
    name, _, index = node.path.rpartition(".")
    return name if index.isdigit() and not node.inline else ""


def _chain_start(nodes: list[Node], graph: Graph, body: Body) -> int:
    """From which layer on a loop can run them: the first is often unlike the others."""
    if _is_chain(nodes, 0, graph, body):
        return 0
    return 1 if len(nodes) > 2 and _is_chain(nodes[1:], 1, graph, body) else len(nodes)


def _is_chain(nodes: list[Node], start: int, graph: Graph, body: Body) -> bool:
    """Whether the nodes can run as `for layer in layers: x = layer(x, …)`."""
    inner = {node.outputs[0] for node in nodes[:-1]}
    used_outside = {
        v for node in graph.nodes if node not in nodes for v in node.inputs if v in inner
    } | {value for _, value in graph.outputs if value in inner}
    linked = all(
        after.inputs
        and after.inputs[0] is before.outputs[0]
        and after.inputs[1:] == nodes[0].inputs[1:]
        for before, after in pairwise(nodes)
    )
    plain = not used_outside and linked and bool(nodes[0].inputs) and None not in nodes[0].inputs
    indices = [node.path.rpartition(".")[2] for node in nodes]
    in_order = indices == [str(start + i) for i in range(len(nodes))]
    alike = len({len(node.outputs) for node in nodes}) == 1
    return plain and in_order and alike and all(_is_module(node, body) for node in nodes)


def _is_module(node: Node, body: Body) -> bool:
    if len(node.outputs) > 1:
        return isinstance(node.op, Call) and not node.is_shared
    return body.as_module(node) is not None


def _formulas(nodes: list[Node]) -> Iterator[Statement]:
    pending: list[Node] = []
    for node in nodes:
        pending.append(node)
        if not node.inline:
            yield Statement(tuple(pending))
            pending = []
