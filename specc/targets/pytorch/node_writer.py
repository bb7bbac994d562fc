"""What an operator sees while it writes its PyTorch source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from specc.ir.dims import Dim, Size
from specc.ir.graph import Node
from specc.ops import REGISTRY, Op
from specc.ops.writers import COMPARE, PRODUCT, SUM, UNARY, Code, Raw
from specc.targets.pytorch.constructor import Argument, Constructor, literal
from specc.targets.pytorch.variables import is_attribute

if TYPE_CHECKING:
    from specc.targets.pytorch.body import Body
    from specc.targets.pytorch.forward import Forward

PRECEDENCE = {
    "**": UNARY, "*": PRODUCT, "/": PRODUCT, "//": PRODUCT, "%": PRODUCT, "@": PRODUCT,
    "+": SUM, "-": SUM, "&": 6, "^": 7, "|": 8, "<": COMPARE, "<=": COMPARE, ">": COMPARE,
    ">=": COMPARE, "==": COMPARE, "!=": COMPARE,
}  # fmt: skip


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
        named = {n: self._argument(value) for n, value in keywords.items()}
        parts += [f"{n}={text}" for n, text in named.items() if (n, text) != ("device", "None")]
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
        in_init = self.forward is not None and self.forward.in_init
        return f"{self.body.inputs[0]}.device" if self.body.inputs and not in_init else "None"

    def support(self, source: str) -> None:
        """See `TorchWriter.support`."""
        (self.supports if self.in_sequence else self.body.support)[source] = None


def torch_code(op: object, writer: NodeWriter, codes: Sequence[Code | None]) -> str | Code:
    """What an operator writes for its node."""
    assert isinstance(op, Op)
    return op.torch(writer, *codes)
