"""The lines of `forward`: which variable holds what, and where sizes come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from specc.ir.dims import Dim, Size, Symbol, render, symbol
from specc.ir.graph import Call, Graph, Node, Value
from specc.ir.types import OpError, TensorType
from specc.ops import Op
from specc.ops.writers import Code, Raw
from specc.targets.pytorch.constructor import Constructor, literal, stamped
from specc.targets.pytorch.node_writer import NodeWriter, torch_code
from specc.targets.pytorch.repeated import loop_lines
from specc.targets.pytorch.statements import Statement, statements
from specc.targets.pytorch.variables import UNREAD, Variables

if TYPE_CHECKING:
    from specc.targets.pytorch.body import Body


class Line(NamedTuple):
    """A line of `forward` and the type of what it computes, for the comment."""

    text: str
    type: TensorType | None = None


class ReadSize(NamedTuple):
    """The variable of a size, and the axis of the input that it is read from."""

    variable: str
    input: int
    axis: int


_is_own_tensor = re.compile(r"self(\.[A-Za-z_]\w*)+").fullmatch


def _computed_once(graph: Graph) -> set[Node]:
    """The nodes that only buffers take, directly or through one another."""
    found: set[Node] = set()
    if not any(_is_buffer(node) and node.inputs for node in graph.nodes):
        return found
    for node in reversed(graph.nodes):
        takers = [n for n in graph.nodes if any(v in node.outputs for v in n.inputs)]
        kept = any(v in node.outputs for _, v in graph.outputs)
        if takers and not kept and all(n in found or _is_buffer(n) for n in takers):
            found.add(node)
    return found


def _is_buffer(node: Node) -> bool:
    return getattr(node.op, "name", "") == "Buffer"


class Forward:
    """Writes the lines of `forward`."""

    def __init__(self, body: Body) -> None:
        self.body, self.graph = body, body.graph
        self.statements = statements(self.graph, body)
        self.variables = Variables(self.graph.inputs, self._last_uses(), self._by_name())
        self.codes: dict[Value, Code] = {}
        self.sizes: dict[str, ReadSize] = {}
        self.lists: dict[str, int] = {}
        """Lists of results of repeated layers, and how many each holds."""
        self.constant = _computed_once(self.graph)
        self.in_init = False
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
            if statement.nodes[-1] in self.constant:
                self._write_in_init(statement, position)
            else:
                self._write_statement(statement, position, is_last)
        if not self.body.lines or not self.body.lines[-1].text.startswith("return "):
            self.body.lines.append(Line(f"return {self._returned()}"))
        self.body.lines[:0] = self._size_lines()

    def _write_in_init(self, statement: Statement, position: int) -> None:
        """Lines that compute a buffer, where the module is made."""
        lines, self.body.lines, self.in_init = self.body.lines, [], True
        self._write_statement(statement, position, is_last=False)
        self.body.setup += [line.text for line in self.body.lines]
        self.body.lines, self.in_init = lines, False

    def _is_idle(self, statement: Statement) -> bool:
        """Whether nobody takes what it makes: its layers are there for their weights alone."""
        return not statement.container and not any(
            value in self.variables.last_use for value in statement.results
        )

    def _write_statement(self, statement: Statement, position: int, is_last: bool) -> None:
        if statement.container:
            self._write_container(statement, position, is_last)
            return
        for node in statement.nodes:
            text = self._text(node)
            if node is not statement.nodes[-1]:
                self.codes[node.outputs[0]] = text
        if self._is_idle(statement):
            return
        self._assign(statement, str(text), position, is_last)

    def _text(self, node: Node) -> Code:
        """The source of one node; kept as a value where it stands inside a formula."""
        codes = [self.codes[v] if v else None for v in node.inputs]
        if isinstance(node.op, Call):
            writer = NodeWriter(self.body, node, self)
            reference = writer.child(self.body.instances[node.op.body])
            return Code(f"{reference}({', '.join(map(str, codes))})", node.outputs[0].type)
        writer = NodeWriter(self.body, node, self)
        text = torch_code(node.op, writer, codes)
        if isinstance(text, Code):
            is_number = isinstance(node.op, Op) and node.op.name == "scalar" and not node.inline
            return self._as_tensor(writer, text) if is_number else text
        for name, count in self.lists.items():
            members = ", ".join(f"{name}[{i}]" for i in range(count))
            text = text.replace(f"[{members}]", name)
        return Code(text, node.outputs[0].type)

    def _as_tensor(self, writer: NodeWriter, code: Code) -> Code:
        """The tensor of a formula that is a number alone."""
        text = writer.call("torch.tensor", Code(code.text, code.type), device=Raw(writer.device()))
        return Code(text, code.type)

    def _assign(self, statement: Statement, text: str, position: int, is_last: bool) -> None:
        node, outputs = statement.nodes[-1], statement.results
        returned = tuple(value for _, value in self.graph.outputs)
        if is_last and returned == outputs and len(outputs) == 1:
            self.body.lines.append(Line(f"return {text}", outputs[0].type))
            return
        if len(outputs) == 1 and _is_own_tensor(text):
            # A tensor of the module itself: read where it is needed.
            self.codes[outputs[0]] = Code(text, outputs[0].type)
            return
        names = self.variables.assign(outputs, node, position)
        for name, value in zip(names, outputs, strict=True):
            self.codes[value] = Code(name, value.type)
        unpack = getattr(node.op, "unpack", "") or ", ".join(f"{{{i}}}" for i in range(len(names)))
        target = unpack.format(*names).replace(f"({UNREAD}, {UNREAD})", UNREAD)
        if target != text:
            self.body.lines.append(Line(f"{target} = {text}", outputs[0].type))

    def _write_container(self, statement: Statement, position: int, is_last: bool) -> None:
        first, name = statement.nodes[0], statement.container
        in_loop = len(first.inputs) > 1 or len(first.outputs) > 1 or statement.start > 0
        kind = "nn.ModuleList" if in_loop else "nn.Sequential"
        children = [self._module(node) for node in statement.nodes]
        before = self.body.layers[name].children if statement.start else ()
        self.body.layers[name] = stamped(kind, [*before, *(c for c in children if c)])
        reference = self.body.reference(name)
        if not in_loop:
            first_input = first.inputs[0]
            assert first_input is not None
            text = f"{reference}({self.codes[first_input]})"
            self._assign(statement, text, position, is_last)
            return
        for line in loop_lines(self, statement, reference, position):
            is_call = " = layer(" in line
            self.body.lines.append(Line(line, statement.results[0].type if is_call else None))

    def _module(self, node: Node) -> Constructor | None:
        if isinstance(node.op, Call):
            return self.body.instances[node.op.body]
        return self.body.as_module(node)

    def _returned(self) -> str:
        outputs = self.graph.outputs
        if len(outputs) == 1:
            return str(self.codes[outputs[0][1]])
        if not self.body.is_model:
            return ", ".join(str(self.codes[value]) for _, value in outputs)
        members = ", ".join(f"{literal(name)}: {self.codes[value]}" for name, value in outputs)
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
            return self.sizes[key].variable
        for number, value in enumerate(self.graph.inputs):
            for axis, found in enumerate(value.type.shape):
                if found != size:
                    continue
                is_free = key.isidentifier() and key not in self.variables.holds
                if is_free or not self.variables.still_hold(value):
                    wanted = key if key.isidentifier() else "size"
                    self.sizes[key] = ReadSize(self.variables.reserve(wanted), number, axis)
                    return self.sizes[key].variable
                return f"{self.body.inputs[number]}.shape[{axis}]"
        return None

    def _size_lines(self) -> list[Line]:
        lines = []
        for number, name in enumerate(self.body.inputs):
            read = [size for size in self.sizes.values() if size.input == number]
            wanted = {size.axis: size.variable for size in read}
            rank = self.graph.inputs[number].type.rank
            if len(wanted) > 1 and set(wanted) == set(range(len(wanted))):
                names = ", ".join(wanted[axis] for axis in range(len(wanted)))
                first = "" if len(wanted) == rank else f"[:{len(wanted)}]"
                lines.append(Line(f"{names} = {name}.shape{first}"))
            else:
                lines += [Line(f"{key} = {name}.shape[{axis}]") for axis, key in wanted.items()]
        return lines
