"""One graph becomes the body of one class: its layers, and the lines of `forward`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from specc.ir.dims import Dim, Size, Symbol, render, symbol
from specc.ir.graph import Call, Graph, Node, Value
from specc.ir.types import OpError, TensorType
from specc.ops import REGISTRY, Op
from specc.ops.writers import COMPARE, PRODUCT, SUM, UNARY, Code, Raw
from specc.targets.pytorch.constructor import Argument, Constructor, literal
from specc.targets.pytorch.statements import Statement, statements
from specc.targets.pytorch.variables import Variables, is_attribute

PRECEDENCE = {
    "**": UNARY, "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT, "@": PRODUCT,
    "+": SUM, "-": SUM, "&": 6, "^": 7, "|": 8, "<": COMPARE, "<=": COMPARE, ">": COMPARE,
    ">=": COMPARE, "==": COMPARE, "!=": COMPARE,
}  # fmt: skip


class Line(NamedTuple):
    """A line of `forward` and the type of what it computes, for the comment."""

    text: str
    type: TensorType | None = None


class Body:
    """The parts of a class, before instances of one block are merged."""

    def __init__(
        self, graph: Graph, instances: Mapping[Graph, Constructor], *, is_model: bool = False
    ) -> None:
        self.graph, self.instances, self.is_model = graph, instances, is_model
        self.layers: dict[str, Constructor] = {}
        self.tensors: dict[str, str] = {}
        self.lines: list[Line] = []
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
        return children[0] if single else Constructor("nn.Sequential", (), tuple(children))

    @property
    def is_numbered(self) -> bool:
        """Whether the layers are named 0, 1, …, so that the class can be an `nn.Sequential`."""
        return len(self.layers) > 1 and list(self.layers) == [str(i) for i in range(len(self.layers))]

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
        text = _torch(node.op, probe, codes)
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


def _torch(op: object, writer: NodeWriter, codes: Sequence[Code | None]) -> str | Code:
    assert isinstance(op, Op)
    return op.torch(writer, *codes)


class Forward:
    """Writes the lines of `forward`."""

    def __init__(self, body: Body) -> None:
        self.body, self.graph = body, body.graph
        self.statements = statements(self.graph, body)
        self.variables = Variables(self.graph.inputs, self._last_uses(), self._by_name())
        self.codes: dict[Value, Code] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        for value in self.graph.inputs:
            name = self.variables[value]
            body.inputs.append(name)
            self.codes[value] = Code(name, value.type)

    def _last_uses(self) -> dict[Value, float]:
        last: dict[Value, float] = {}
        for position, statement in enumerate(self.statements):
            for value in statement.reads:
                last[value] = position
        for _, value in self.graph.outputs:
            last[value] = float("inf")
        return last

    def _by_name(self) -> frozenset[Value]:
        """Values that a later line names: not just the one line after them."""
        made_at = {v: i for i, s in enumerate(self.statements) for v in s.results}
        found = set()
        for position, statement in enumerate(self.statements):
            for value in statement.reads:
                near = made_at.get(value, -2) == position - 1
                if not near or len(statement.reads) > 1:
                    found.add(value)
        if len(self.graph.outputs) > 1:
            found |= {value for _, value in self.graph.outputs}
        return frozenset(found)

    def write(self) -> None:
        """Fill the body's lines."""
        for position, statement in enumerate(self.statements):
            is_last = position == len(self.statements) - 1
            self._write_statement(statement, position, is_last)
        if not self.body.lines or not self.body.lines[-1].text.startswith("return "):
            self.body.lines.append(Line(f"return {self._returned()}"))
        self.body.lines[:0] = self._size_lines()

    def _write_statement(self, statement: Statement, position: int, is_last: bool) -> None:
        if statement.container:
            self._write_container(statement, position, is_last)
            return
        for node in statement.nodes:
            text = self._text(node)
            if node is not statement.nodes[-1]:
                self.codes[node.outputs[0]] = text
        self._assign(statement, str(text), position, is_last)

    def _text(self, node: Node) -> Code:
        """The source of one node; kept as a value where it stands inside a formula."""
        codes = [self.codes[v] if v else None for v in node.inputs]
        if isinstance(node.op, Call):
            writer = NodeWriter(self.body, node, self)
            reference = writer.child(self.body.instances[node.op.body])
            return Code(f"{reference}({', '.join(map(str, codes))})", node.outputs[0].type)
        text = _torch(node.op, NodeWriter(self.body, node, self), codes)
        return text if isinstance(text, Code) else Code(str(text), node.outputs[0].type)

    def _assign(self, statement: Statement, text: str, position: int, is_last: bool) -> None:
        node, outputs = statement.nodes[-1], statement.results
        returned = tuple(value for _, value in self.graph.outputs)
        if is_last and returned == outputs and len(outputs) == 1:
            self.body.lines.append(Line(f"return {text}", outputs[0].type))
            return
        if len(outputs) == 1 and _is_attribute(text):
            # A tensor of the module itself: read where it is needed.
            self.codes[outputs[0]] = Code(text, outputs[0].type)
            return
        names = self.variables.assign(outputs, node, position)
        for name, value in zip(names, outputs, strict=True):
            self.codes[value] = Code(name, value.type)
        unpack = getattr(node.op, "unpack", "") or ", ".join(f"{{{i}}}" for i in range(len(names)))
        target = unpack.format(*names)
        if target != text:
            self.body.lines.append(Line(f"{target} = {text}", outputs[0].type))

    def _write_container(self, statement: Statement, position: int, is_last: bool) -> None:
        first, name = statement.nodes[0], statement.container
        children = [self.body.as_module(node) for node in statement.nodes]
        extra = [self.codes[v] for v in first.inputs[1:] if v]
        kind = "nn.ModuleList" if extra else "nn.Sequential"
        self.body.layers[name] = Constructor(kind, (), tuple(c for c in children if c))
        first_input = first.inputs[0]
        assert first_input is not None
        source = str(self.codes[first_input])
        reference = self.body.reference(name)
        if not extra:
            self._assign(statement, f"{reference}({source})", position, is_last)
            return
        (target,) = self.variables.assign(statement.results, first, position)
        if target != source:
            self.body.lines.append(Line(f"{target} = {source}"))
        arguments = ", ".join([target, *map(str, extra)])
        kept = statement.results[0]
        self.body.lines.append(Line(f"for layer in {reference}:"))
        self.body.lines.append(Line(f"    {target} = layer({arguments})", kept.type))
        self.codes[kept] = Code(target, kept.type)

    def _returned(self) -> str:
        outputs = self.graph.outputs
        if len(outputs) == 1:
            return str(self.codes[outputs[0][1]])
        if not self.body.is_model:
            return ", ".join(str(self.codes[value]) for _, value in outputs)
        members = ", ".join(f'"{name}": {self.codes[value]}' for name, value in outputs)
        return f"{{{members}}}"

    # -- sizes ------------------------------------------------------------------------------

    def size(self, size: Size) -> str:
        """Source for a size, from the shapes of the inputs."""
        if isinstance(size, int):
            return str(size)
        found = self._axis_of(size)
        return found if found else render(size, self._symbol)

    def _symbol(self, atom: Symbol) -> str:
        size = symbol(atom.name, min=atom.min, max=atom.max, multiple_of=atom.multiple_of)
        found = self._axis_of(size)
        if found:
            return found
        raise OpError("T410", f"`{atom.name}` cannot be read off an input of this part")

    def _axis_of(self, size: Dim) -> str | None:
        key = str(size)
        if key in self.sizes:
            return key
        for number, value in enumerate(self.graph.inputs):
            for axis, found in enumerate(value.type.shape):
                if found != size:
                    continue
                if key.isidentifier() and key not in self.variables.holds:
                    self.variables.reserve(key)
                    self.sizes[key] = (number, axis)
                    return key
                return f"{self.body.inputs[number]}.shape[{axis}]"
        return None

    def _size_lines(self) -> list[Line]:
        lines = []
        for number, name in enumerate(self.body.inputs):
            wanted = {axis: key for key, (i, axis) in self.sizes.items() if i == number}
            rank = self.graph.inputs[number].type.rank
            if wanted and len(wanted) == rank and rank > 1:
                names = ", ".join(wanted[axis] for axis in range(rank))
                lines.append(Line(f"{names} = {name}.shape"))
            else:
                lines += [Line(f"{key} = {name}.shape[{axis}]") for axis, key in wanted.items()]
        return lines


_is_attribute = re.compile(r"self(\.[A-Za-z_]\w*)+").fullmatch


class NodeWriter:
    """What an operator sees while it writes its PyTorch source (`specc.ops.TorchWriter`)."""

    def __init__(
        self, body: Body, node: Node, forward: Forward | None = None, *, in_sequence: bool = False
    ) -> None:
        self.body, self.node, self.forward, self.in_sequence = body, node, forward, in_sequence
        self.made: Constructor | None = None
        self.tensor_made = False
        self.supports: dict[str, None] = {}

    @property
    def reference(self) -> str:
        """Source that reaches this node's module."""
        return "#self" if self.in_sequence else self.body.reference(self.node.module)

    def child(self, constructor: Constructor) -> str:
        """Register the node's module; returns the source that reaches it."""
        self.made = constructor
        if not self.in_sequence and not self.node.is_shared:
            self._register(self.node.module, constructor)
        return self.reference

    def _register(self, path: str, constructor: Constructor) -> None:
        container, _, _index = path.rpartition(".")
        if not container:
            self.body.layers[path] = constructor
            return
        held = self.body.layers.get(container, Constructor("nn.ModuleList"))
        self.body.layers[container] = Constructor(held.name, (), (*held.children, constructor))

    def layer(self, constructor: str, **arguments: Any) -> str:
        """See `TorchWriter.layer`."""
        op = self.node.op
        assert isinstance(op, Op)
        known = {**op.defaults, **{n: p.default for n, p in op.params.items() if not p.required}}
        packed = tuple(Argument(n, v, known.get(n, ...)) for n, v in arguments.items())
        return self.child(Constructor(constructor, packed))

    def apply(self, module: str, function: str, *inputs: Code, **arguments: Any) -> str:
        """See `TorchWriter.apply`."""
        named = not self.node.path.rsplit(".", 1)[-1].isdigit() or "." in self.node.path
        if self.in_sequence or named:
            own = {k: v for k, v in arguments.items() if not isinstance(v, Raw)}
            return f"{self.layer(module, **own)}({', '.join(map(str, inputs))})"
        if not function:
            return str(inputs[0])
        return self.call(function, *inputs, **self._needed(function, arguments))

    def _needed(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments that PyTorch's function does not take by itself."""
        op = self.node.op
        assert isinstance(op, Op)
        # `nn.Flatten` starts at axis 1, `torch.flatten` at 0: the function's own op knows.
        params = REGISTRY.get(function.rpartition(".")[2], type(op)).params
        return {k: v for k, v in arguments.items() if k not in params or v != params[k].default}

    def call(self, function: str, *arguments: Any, **keywords: Any) -> str:
        """See `TorchWriter.call`."""
        parts = [self._argument(a) for a in arguments]
        parts += [f"{name}={self._argument(value)}" for name, value in keywords.items()]
        return f"{function}({', '.join(parts)})"

    def _argument(self, value: Any) -> str:
        if isinstance(value, Code):
            return value.text
        if isinstance(value, Dim):
            return self.size(value)
        if isinstance(value, tuple) and any(isinstance(v, Dim) for v in value):
            return f"({', '.join(self._argument(v) for v in value)}{',' * (len(value) == 1)})"
        return literal(value)

    def binary(self, operator: str, left: Code, right: Code) -> Code:
        """See `TorchWriter.binary`."""
        level = PRECEDENCE[operator]
        # `a + (b + c)` keeps its parentheses: rounding makes it another number.
        left_level = level - 1 if operator == "**" or level == COMPARE else level
        right_level = level if operator == "**" else level - 1
        text = f"{left.within(left_level)} {operator} {right.within(right_level)}"
        return Code(text, self.node.outputs[0].type, level)

    def tensor(self, initial: str, *, buffer: bool = False, persistent: bool = True) -> str:
        """See `TorchWriter.tensor`."""
        self.tensor_made = True
        name, kind = self.node.module, "buffer" if buffer else "parameter"
        value = initial if buffer else f"nn.Parameter({initial})"
        if is_attribute(name) and not buffer:
            self.body.tensors[name] = f"self.{name} = {value}"
        else:
            keep = ", persistent=False" if buffer and not persistent else ""
            self.body.tensors[name] = f'self.register_{kind}("{name}", {value}{keep})'
        return f"self.{name}" if is_attribute(name) else f'self.get_{kind}("{name}")'

    def size(self, size: Size) -> str:
        """See `TorchWriter.size`."""
        if isinstance(size, int):
            return str(size)
        return self.forward.size(size) if self.forward else str(size)

    def sizes(self, shape: Sequence[Size]) -> str:
        """See `TorchWriter.sizes`."""
        symbolic = [i for i, size in enumerate(shape) if isinstance(size, Dim)]
        if len(symbolic) == 1:
            return ", ".join("-1" if i in symbolic else str(s) for i, s in enumerate(shape))
        return ", ".join(map(self.size, shape))

    def device(self) -> str:
        """See `TorchWriter.device`."""
        return f"{self.body.inputs[0]}.device" if self.body.inputs else "None"

    def support(self, source: str) -> None:
        """See `TorchWriter.support`."""
        (self.supports if self.in_sequence else self.body.support)[source] = None
