"""The typed graph: frozen values and nodes, with blocks kept as calls.

A `Graph` is the body of a model or of one block. A node applies an operator, or calls a
block (`Call`, whose body is a `Graph` again). Nothing here is ever changed in place; a pass
builds a new graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from specc.diagnostics.model import Pointer, Span
from specc.ir.dims import Size
from specc.ir.types import TensorType

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that flows through a graph, known by the name a spec refers to it with."""

    name: str
    type: TensorType


@dataclass(frozen=True)
class Origin:
    """Where in the spec a node comes from."""

    pointer: Pointer
    span: Span

    @property
    def pointer_text(self) -> str:
        """The JSON pointer as RFC 6901 writes it."""
        steps = (str(s).replace("~", "~0").replace("/", "~1") for s in self.pointer)
        return "".join(f"/{s}" for s in steps)

    def __str__(self) -> str:
        line, column = self.span.source.position(self.span.start)
        return f"{self.span.source.name}:{line}:{column}"


@dataclass(frozen=True, eq=False)
class Weight:
    """A tensor that a layer owns: a parameter, or a buffer that training may update."""

    name: str
    type: TensorType
    is_buffer: bool = False
    persistent: bool = True


@dataclass(frozen=True)
class Start:
    """How a parameter starts: a function of `torch.nn.init` and its arguments."""

    function: str
    arguments: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, eq=False)
class Call:
    """What a node runs when it calls a block or an inline group."""

    name: str
    body: Graph
    params: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Node:
    """One application of an operator (`specc.ops.Op`) or a `Call`.

    `path` is the layer's step in the module path, relative to its graph (`conv1`,
    `layer2.0`). `module` is the path of the layer that owns the weights: another one's for
    a `share`d layer. A node made by a formula's inside has no path of its own.
    """

    op: object
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    path: str
    module: str
    origin: Origin
    weights: tuple[Weight, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    """`init`, `freeze` and `tie` of the layer, evaluated."""
    inline: bool = False
    """Whether the one use of the result is within the same formula, as part of one expression."""

    @property
    def is_call(self) -> bool:
        """Whether the node calls a block."""
        return isinstance(self.op, Call)

    @property
    def is_shared(self) -> bool:
        """Whether another layer owns the weights."""
        return self.module != self.path


@dataclass(frozen=True, eq=False)
class Graph:
    """Inputs, nodes in execution order, and named outputs."""

    name: str
    inputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, Value], ...]
    train_only: frozenset[str] = frozenset()
    starts: tuple[tuple[str, Start], ...] = ()
    """Of a whole model: parameters that do not start as `torch.nn` has them."""

    def walk(self, prefix: str = "", *, shared: bool = False) -> Iterator[tuple[str, Node]]:
        """Every operator node at every depth with its full path; those of `share`d layers only
        if asked for, since other nodes own their weights.
        """
        for node in self.nodes:
            path = f"{prefix}{node.path}"
            if node.is_shared and not shared:
                continue
            if isinstance(node.op, Call):
                yield from node.op.body.walk(f"{path}.", shared=shared)
            else:
                yield path, node


@dataclass(frozen=True)
class InputInfo:
    """One model input as the outside sees it.

    `low` and `high` bound the values of an integer input (`high` exclusive), for example by
    the rows of the embedding that it indexes; `None` where nothing is known.
    """

    name: str
    type: TensorType
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class DimInfo:
    """What a spec promises about a symbolic size."""

    name: str
    min: int = 1
    max: int | None = None
    multiple_of: int = 1
    example: int | None = None


@dataclass(frozen=True)
class Interface:
    """A model's inputs, outputs and symbolic sizes: all that a runtime sees of it."""

    inputs: tuple[InputInfo, ...]
    outputs: tuple[tuple[str, TensorType], ...]
    dims: tuple[DimInfo, ...] = ()


__all__ = [
    "Call", "DimInfo", "Graph", "InputInfo", "Interface", "Node", "Origin", "Size", "Start",
    "Value",
    "Weight",
]  # fmt: skip
