"""One graph becomes the body of one class: its layers, and the lines of `forward`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from specc.ir.graph import Call, Graph, Node, Value
from specc.ops.writers import Code
from specc.targets.pytorch.constructor import Constructor, stamped, stamped_by_name
from specc.targets.pytorch.forward import Forward, Line
from specc.targets.pytorch.node_writer import NodeWriter, torch_code
from specc.targets.pytorch.variables import is_attribute


class Body:
    """The parts of a class, before instances of one block are merged."""

    def __init__(
        self, graph: Graph, instances: Mapping[Graph, Constructor], *, is_model: bool = False
    ) -> None:
        self.graph, self.instances, self.is_model = graph, instances, is_model
        self.layers: dict[str, Constructor] = {}
        self.tensors: dict[str, str] = {}
        self.lines: list[Line] = []
        self.setup: list[str] = []
        self.support: dict[str, None] = {}
        self.after: list[str] = []
        self.inputs: list[str] = []
        self.sequential = self._as_sequential()
        if self.sequential is None:
            self.layers, self.tensors, self.support = {}, {}, {}
            Forward(self).write()
            self._index_numbered()
            self._add_settings()

    def _as_sequential(self) -> Constructor | None:
        """`nn.Sequential(...)`, if the graph is a plain chain of modules named by index."""
        graph = self.graph
        if not graph.nodes or len(graph.inputs) != 1 or len(graph.outputs) != 1:
            return None
        if any(_is_changed(node) for node in graph.nodes):
            return None
        if not graph.nodes[0].path[0].isdigit():
            return None if self.is_model else self._as_named_chain()
        children: list[Constructor] = []
        value = graph.inputs[0]
        for step, run in groupby(graph.nodes, key=lambda node: node.path.partition(".")[0]):
            nodes = list(run)
            made = self._as_chain(nodes, step, value) if step == str(len(children)) else None
            if made is None:
                return None
            children.append(made)
            value = nodes[-1].outputs[0]
        if value is not graph.outputs[0][1]:
            return None
        return Constructor("nn.Sequential", (), tuple(children))

    def _as_chain(self, nodes: Sequence[Node], step: str, value: Value) -> Constructor | None:
        """The one layer at a step, or the `nn.Sequential` of a repeated one."""
        children = []
        for number, node in enumerate(nodes):
            made = self.as_module(node, value)
            if made is None or (node.path != f"{step}.{number}" and node.path != step):
                return None
            children.append(made)
            value = node.outputs[0]
        single = nodes[0].path == step
        return children[0] if single else stamped("nn.Sequential", children)

    def _as_named_chain(self) -> Constructor | None:
        """The `nn.Sequential` of a repeated layer whose name has its number in it."""
        children = []
        value = self.graph.inputs[0]
        for node in self.graph.nodes:
            made = self.as_module(node, value) if isinstance(node.op, Call) else None
            if made is None:
                return None
            children.append(made)
            value = node.outputs[0]
        if value is not self.graph.outputs[0][1]:
            return None
        return stamped_by_name([node.path for node in self.graph.nodes], children)

    @property
    def is_numbered(self) -> bool:
        """Whether the layers are named 0, 1, …, so that the class can be an `nn.Sequential`."""
        return len(self.layers) > 1 and list(self.layers) == [
            str(i) for i in range(len(self.layers))
        ]

    def _index_numbered(self) -> None:
        if self.is_numbered:
            by_index = [line.text for line in self.lines]
            for i in range(len(self.layers)):
                by_index = [t.replace(f'self.get_submodule("{i}")', f"self[{i}]") for t in by_index]
            self.lines = [
                line._replace(text=t) for line, t in zip(self.lines, by_index, strict=True)
            ]

    def as_module(self, node: Node, value: Value | None = None) -> Constructor | None:
        """The constructor of a node that is one module called with its inputs as they are."""
        single = value is None or tuple(node.inputs) == (value,)
        if not single or len(node.outputs) != 1 or node.is_shared:
            return None
        if isinstance(node.op, Call):
            return self.instances[node.op.body]
        probe = NodeWriter(self, node, in_sequence=True)
        codes = [Code(f"#{i}", v.type) if v else None for i, v in enumerate(node.inputs)]
        text = torch_code(node.op, probe, codes)
        wanted = ", ".join(str(c) for c in codes if c)
        if probe.made is None or str(text) != f"{probe.reference}({wanted})" or probe.tensor_made:
            return None
        self.support |= probe.supports
        return probe.made

    def reference(self, path: str) -> str:
        """Source that reaches a layer by its path within this class."""
        steps = path.split(".")
        text = "self"
        for i, step in enumerate(steps):
            container = ".".join(steps[:i]) if i else ""
            if step.isdigit() and container and container in self.layers:
                text = f"{text}[{step}]"
            elif is_attribute(step):
                text = f"{text}.{step}"
            else:
                return f'self.get_submodule("{path}")'
        return text

    def _tensor(self, path: str) -> str:
        """Source that reads a weight by its path within this class."""
        layer, _, name = path.rpartition(".")
        owner = self.reference(layer) if layer else "self"
        return f"{owner}.{name}" if is_attribute(name) else f'{owner}.get_parameter("{name}")'

    def _add_settings(self) -> None:
        frozen = []
        for node in self.graph.nodes:
            reference = self.reference(node.path)
            tied: Any = node.settings.get("tie") or {}
            self.after += [
                f"{reference}.{name} = {self._tensor(target)}" for name, target in tied.items()
            ]
            if node.settings.get("freeze"):
                frozen.append(f"{reference}.requires_grad_(False)")
        # After the ties, which put other tensors in the place of a layer's own.
        self.after += frozen


def _is_changed(node: Node) -> bool:
    """Whether the class has to do something to the layer after making it."""
    return bool(node.settings.get("freeze") or node.settings.get("tie"))
