"""Graph -> an ONNX graph as plain data, with the spec's own names.

A layer's path names its value and its node; the weights are initializers under the names of
the `state_dict`. No tensor is touched here: `specc.runtime.export` puts the weights in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specc.ir.dims import Dim, FloorDiv, Max, Min, Size, Symbol, symbol
from specc.ir.graph import Call, Graph, Node, Value
from specc.ir.types import DType, OpError, TensorType
from specc.ops import Op
from specc.ops.writers import Ref

MIN_OPSET, DEFAULT_OPSET, MAX_OPSET = 17, 20, 23


@dataclass(frozen=True)
class OnnxNode:
    """One node; `None` stands for an input that is left out."""

    op_type: str
    name: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Stored:
    """An initializer that holds a weight: its name in the `state_dict`, its axes permuted."""

    weight: str
    perm: tuple[int, ...] | None
    type: TensorType


@dataclass(frozen=True)
class Packed:
    """An initializer made of several weights, such as the gates of a recurrent layer.

    Each weight is cut along axis 0 into `len(order)` equal parts, which are put into that
    order; all are joined along axis 0 and get the shape of `type`.
    """

    weights: tuple[str, ...]
    order: tuple[int, ...]
    type: TensorType


@dataclass(frozen=True)
class Constant:
    """An initializer known at compile time, as nested lists of numbers."""

    value: Any
    dtype: DType


@dataclass
class OnnxGraph:
    """The whole model: `OnnxNode`s in order, initializers by name, and types of named values."""

    name: str
    opset: int
    inputs: list[tuple[str, TensorType]]
    outputs: list[tuple[str, TensorType]] = field(default_factory=list)
    nodes: list[OnnxNode] = field(default_factory=list)
    initializers: dict[str, Stored | Packed | Constant] = field(default_factory=dict)
    types: dict[str, TensorType] = field(default_factory=dict)


def onnx_graph(graph: Graph, opset: int = DEFAULT_OPSET) -> OnnxGraph:
    """Lower a graph; outputs that exist in training only are left to `passes.prune`.

    Raises `OpError` where an operator has no form in this opset.
    """
    inputs = [(value.name, value.type) for value in graph.inputs]
    lowering = Lowering(OnnxGraph(graph.name, opset, inputs))
    refs = {value: Ref(value.name, value.type) for value in graph.inputs}
    # A value that is an output as it stands carries the output's name from the start.
    lowering.outer_names = {value: name for name, value in reversed(graph.outputs)}
    lowering.promise(name for name, _ in graph.outputs)
    lowering.run(graph, refs, "")
    lowering.finish(graph, refs)
    return lowering.made


class Lowering:
    """Walks a graph and its calls, and writes one flat ONNX graph."""

    def __init__(self, made: OnnxGraph) -> None:
        self.made = made
        self.taken = {name for name, _ in made.inputs}
        self.outer_names: dict[Value, str] = {}
        self.promised: set[str] = set()
        """Names of outputs that are still to be given."""
        self.stored: dict[tuple[str, str], str] = {}
        """Initializers of weights: the name by weight and form."""
        self.constants: dict[tuple[str, DType], str] = {}
        self.symbols: dict[str, Ref] = {}

    def run(
        self, graph: Graph, refs: dict[Value, Ref], prefix: str, owner: str | None = None
    ) -> None:
        """Lower the nodes of one graph; `owner` is the prefix of the weights' names."""
        owner = prefix if owner is None else owner
        for node in graph.nodes:
            inputs = [refs[v] if v else None for v in node.inputs]
            path, module = f"{prefix}{node.path}", f"{owner}{node.module}"
            if isinstance(node.op, Call):
                results = self._call(node.op, inputs, path, module)
            else:
                results = self._op(node, inputs, path, module)
            for value, ref in zip(node.outputs, results, strict=True):
                refs[value] = Ref(ref.name, value.type)
                self.made.types.setdefault(ref.name, value.type)

    def _call(self, call: Call, inputs: Sequence[Ref | None], path: str, module: str) -> list[Ref]:
        body = call.body
        inner = dict(zip(body.inputs, (r for r in inputs if r), strict=True))
        self.run(body, inner, f"{path}.", f"{module}.")
        return [inner[value] for _, value in body.outputs]

    def _op(self, node: Node, inputs: Sequence[Ref | None], path: str, module: str) -> list[Ref]:
        assert isinstance(node.op, Op)
        builder = NodeBuilder(self, node, path, module)
        result = node.op.onnx(builder, *inputs)
        results = [result] if isinstance(result, Ref) else list(result)
        return [
            builder.named(ref, value, self._name(node, value, path))
            for ref, value in zip(results, node.outputs, strict=True)
        ]

    def _name(self, node: Node, value: Value, path: str) -> str:
        suffix = value.name[len(node.path) :]
        return self.outer_names.get(value, f"{path}{suffix}")

    def promise(self, names: Iterable[str]) -> None:
        """Keep names for the outputs: nothing else gets them."""
        self.promised = set(names) - self.taken
        self.taken |= self.promised

    def final(self, value: Value, wanted: str) -> str:
        """The name of a value: the wanted one, if it is its own or nobody's."""
        if value in self.outer_names and wanted in self.promised:
            self.promised.remove(wanted)
            return wanted
        return self.fresh(wanted)

    def store(self, weight: str, form: str, held: Stored | Packed) -> str:
        """The name of the initializer that holds a weight in some form, made when first asked."""
        if (weight, form) not in self.stored:
            name = self.stored[weight, form] = self.fresh(f"{weight}{form}")
            self.made.initializers[name] = held
        return self.stored[weight, form]

    def fresh(self, wanted: str) -> str:
        """A name that nothing has yet."""
        name, number = wanted, 1
        while name in self.taken:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return name

    def constant(self, value: Any, dtype: DType) -> Ref:
        """An initializer for a constant, shared by all that use it."""
        key = (repr(value), dtype)
        if key not in self.constants:
            text = repr(value).replace(" ", "")
            name = self.fresh(f"const/{dtype}/{text if len(text) < 24 else len(self.constants)}")
            self.constants[key] = name
            self.made.initializers[name] = Constant(value, dtype)
        return Ref(self.constants[key], TensorType(dtype, _shape_of(value)))

    def finish(self, graph: Graph, refs: dict[Value, Ref]) -> None:
        """Give every output its name; one that another name holds is copied by `Identity`."""
        for name, value in graph.outputs:
            held = refs[value].name
            if held != name:
                self.made.nodes.append(
                    OnnxNode("Identity", self.fresh(f"{name}/Identity"), (held,), (name,), {}, {})
                )
            self.made.outputs.append((name, value.type))
        self.made.nodes = _needed(self.made.nodes, {name for name, _ in self.made.outputs})
        read = {name for node in self.made.nodes for name in node.inputs}
        # A weight of which only the transposed form is read is stored in that form alone.
        unread = [name for name in self.made.initializers if name not in read]
        for name in unread:
            del self.made.initializers[name]

    def size(self, size: Size, builder: NodeBuilder) -> Ref:
        """A symbolic size as a 1-element int64 tensor."""
        if isinstance(size, int):
            return self.constant([size], DType.int64)
        key = str(size)
        if key not in self.symbols:
            self.symbols[key] = self._read(size, builder)
        return self.symbols[key]

    def _read(self, size: Dim, builder: NodeBuilder) -> Ref:
        one = TensorType(DType.int64, (1,))
        for name, kind in self.made.inputs:
            for axis, found in enumerate(kind.shape):
                if found == size:
                    source = Ref(name, kind)
                    return builder.op("Shape", source, start=axis, end=axis + 1, type=one)
        return self._computed(size, builder)

    def _computed(self, size: Dim, builder: NodeBuilder) -> Ref:
        terms = []
        for term in size.terms:
            factor: Ref | None = None
            for atom, power in term.factors:
                for _ in range(power):
                    read = self._atom(atom, builder)
                    factor = read if factor is None else builder.op("Mul", factor, read)
            terms.append((term.coefficient, factor))
        total: Ref | None = None
        for coefficient, factor in terms:
            part = self._scaled(coefficient, factor, builder)
            total = part if total is None else builder.op("Add", total, part)
        assert total is not None
        return total

    def _scaled(self, coefficient: Any, factor: Ref | None, builder: NodeBuilder) -> Ref:
        top, bottom = coefficient.numerator, coefficient.denominator
        if factor is None:
            return self.constant([top], DType.int64)
        if top != 1:
            factor = builder.op("Mul", factor, self.constant([top], DType.int64))
        if bottom != 1:
            factor = builder.op("Div", factor, self.constant([bottom], DType.int64))
        return factor

    def _atom(self, atom: Any, builder: NodeBuilder) -> Ref:
        if isinstance(atom, Symbol):
            size = symbol(atom.name, min=atom.min, max=atom.max, multiple_of=atom.multiple_of)
            if not any(size in kind.shape for _, kind in self.made.inputs):
                raise OpError("T410", f"`{atom.name}` cannot be read off an input of the model")
            return self.size(size, builder)
        if isinstance(atom, FloorDiv):
            # Sizes are not negative, so ONNX's division, which truncates, is a floor.
            top, bottom = self.size(atom.numerator, builder), self.size(atom.denominator, builder)
            return builder.op("Div", top, bottom)
        assert isinstance(atom, Max | Min)
        kind = "Max" if isinstance(atom, Max) else "Min"
        return builder.op(kind, self.size(atom.a, builder), self.size(atom.b, builder))


class NodeBuilder:
    """What an operator sees while it writes its ONNX nodes (`specc.ops.OnnxBuilder`)."""

    def __init__(self, lowering: Lowering, node: Node, path: str, module: str) -> None:
        self.lowering, self.node, self.path, self.module = lowering, node, path, module
        self.opset = lowering.made.opset
        self.metadata = {
            "specc.path": path, "specc.pointer": node.origin.pointer_text,
            "specc.source": str(node.origin),
        }  # fmt: skip
        self.own: set[str] = set()

    def op(
        self,
        op_type: str,
        *inputs: Ref | None,
        type: TensorType | None = None,
        **attributes: Any,
    ) -> Ref:
        """See `OnnxBuilder.op`."""
        first = next((ref for ref in inputs if ref), None)
        kind = type or (first.type if first else self.node.outputs[0].type)
        return self.ops(op_type, *inputs, types=(kind,), **attributes)[0]

    def ops(
        self, op_type: str, *inputs: Ref | None, types: Sequence[TensorType], **attributes: Any
    ) -> tuple[Ref, ...]:
        """See `OnnxBuilder.ops`."""
        name = self.lowering.fresh(f"{self.path}/{op_type}")
        outputs = [name] if len(types) == 1 else [f"{name}:{i}" for i in range(len(types))]
        given = {key: value for key, value in attributes.items() if value is not None}
        names = [ref.name if ref else None for ref in inputs]
        while names and names[-1] is None:
            names.pop()
        node = OnnxNode(op_type, name, tuple(names), tuple(outputs), given, self.metadata)
        self.lowering.made.nodes.append(node)
        self.own |= set(outputs)
        return tuple(Ref(o, kind) for o, kind in zip(outputs, types, strict=True))

    def weight(self, name: str) -> Ref:
        """See `OnnxBuilder.weight`."""
        found = next(w for w in self.node.weights if w.name == name)
        full = f"{self.module}.{name}" if name else self.module
        held = self.lowering.store(full, "", Stored(full, None, found.type))
        return Ref(held, found.type)

    def packed(self, names: Sequence[str], order: Sequence[int], shape: Sequence[Size]) -> Ref:
        """See `OnnxBuilder.packed`."""
        types = {w.name: w.type for w in self.node.weights}
        full = tuple(f"{self.module}.{name}" for name in names)
        made = Packed(full, tuple(order), types[names[0]].with_shape(*shape))
        return Ref(self.lowering.store(full[0], ".packed", made), made.type)

    def transposed(self, value: Ref, *perm: int) -> Ref:
        """See `OnnxBuilder.transposed`."""
        order = perm or tuple(reversed(range(value.rank)))
        kind = value.type.with_shape(*(value.type.shape[axis] for axis in order))
        held = self.lowering.made.initializers.get(value.name)
        if not isinstance(held, Stored):
            return self.op("Transpose", value, perm=list(order), type=kind)
        form = f".T{''.join(map(str, perm))}"
        return Ref(self.lowering.store(held.weight, form, Stored(held.weight, order, kind)), kind)

    def const(self, value: Any, dtype: DType = DType.int64) -> Ref:
        """See `OnnxBuilder.const`."""
        return self.lowering.constant(value, dtype)

    def dims(self, shape: Sequence[Size]) -> Ref:
        """See `OnnxBuilder.dims`."""
        if all(isinstance(size, int) for size in shape):
            return self.const(list(shape))
        parts = [self.lowering.size(size, self) for size in shape]
        if len(parts) == 1:
            return parts[0]
        return self.op("Concat", *parts, axis=0, type=TensorType(DType.int64, (len(parts),)))

    def reshape(self, value: Ref, shape: Sequence[Size]) -> Ref:
        """See `OnnxBuilder.reshape`."""
        kind = value.type.with_shape(*shape)
        symbolic = [i for i, size in enumerate(shape) if isinstance(size, Dim)]
        kept = [i for i in symbolic if i < value.rank and value.type.shape[i] == shape[i]]
        if len(symbolic) - len(kept) <= 1:
            # 0 keeps the size of the input's axis; one other size can be left open.
            written = [0 if i in kept else -1 if i in symbolic else s for i, s in enumerate(shape)]
            return self.op("Reshape", value, self.const(written), type=kind)
        return self.op("Reshape", value, self.dims(shape), type=kind)

    def cast(self, value: Ref, dtype: DType) -> Ref:
        """See `OnnxBuilder.cast`."""
        if value.type.dtype is dtype:
            return value
        held = self.lowering.made.initializers.get(value.name)
        if isinstance(held, Constant):
            return self.const(held.value, dtype)
        return self.op("Cast", value, to=dtype, type=value.type.with_dtype(dtype))

    def named(self, ref: Ref, value: Value, name: str) -> Ref:
        """Give a result of this node its final name; what is not its own keeps its name."""
        if ref.name not in self.own:
            return ref
        nodes = self.lowering.made.nodes
        final = self.lowering.final(value, name)
        # Results of one layer may come from several nodes; only one can have the layer's name.
        others = {node.name for node in nodes if ref.name not in node.outputs}
        label = final if self.path in others else self.path
        for i, node in enumerate(nodes):
            if ref.name in node.outputs or ref.name in node.inputs:
                nodes[i] = _renamed(node, ref.name, final, label)
        self.own.discard(ref.name)
        return Ref(final, ref.type)


def _needed(nodes: Sequence[OnnxNode], wanted: set[str]) -> list[OnnxNode]:
    """The nodes that something wanted depends on: results that nothing reads cost nothing."""
    kept = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.outputs):
            kept.append(node)
            wanted |= {name for name in node.inputs if name}
    return kept[::-1]


def _renamed(node: OnnxNode, old: str, new: str, path: str) -> OnnxNode:
    """The node with a value renamed; the one that makes it is named after its layer."""
    outputs = tuple(new if o == old else o for o in node.outputs)
    inputs = tuple(new if i == old else i for i in node.inputs)
    name = path if old in node.outputs else node.name
    return OnnxNode(node.op_type, name, inputs, outputs, node.attributes, node.metadata)


def _shape_of(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list | tuple):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(shape)
