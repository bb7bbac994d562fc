"""Constructor calls as data, so that instances of one block can be compared value by value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from specc.ir.dims import Dim

COUNT = "depth"
"""How the number of a repeated layer is called, unless a parameter of the block says it."""


class Slot(NamedTuple):
    """An argument of the enclosing class in place of a value."""

    source: str


class Argument(NamedTuple):
    """One argument; `default` is what PyTorch takes when it is left out (`...`: none)."""

    name: str
    value: Any
    default: Any = ...


@dataclass(frozen=True)
class Constructor:
    """`name(arguments)`: a PyTorch module, a class of the model, or a container of others."""

    name: str
    arguments: tuple[Argument, ...] = ()
    children: tuple[Constructor, ...] = field(default=())
    is_repeated: bool = False
    """Whether its one child stands as often as its one argument says."""
    names: str = ""
    """How a repeated child is called, such as `block_{i + 1}`, where that is not its index."""

    def skeleton(self) -> Any:
        """What has to be equal in two calls for them to differ in values only."""
        required = tuple(a.name for a in self.arguments if a.default is ...)
        children = tuple(child.skeleton() for child in self.children)
        return self.name, required, children, self.is_repeated, self.names

    def source(self) -> str:
        """The call as Python."""
        if self.children:
            return self._container()
        positional = [literal(a.value) for a in self.arguments if a.default is ...]
        keywords = [
            f"{a.name}={literal(a.value)}"
            for a in self.arguments
            if a.default is not ... and (isinstance(a.value, Slot) or a.value != a.default)
        ]
        return f"{self.name}({', '.join(positional + keywords)})"

    def _container(self) -> str:
        if self.names:
            child, count = self.children[0].source(), literal(self.arguments[0].value)
            members = f'(f"{self.names}", {child}) for i in range({count})'
            return f"{self.name}(OrderedDict({members}))"
        if counted := self._counted():
            return f"{self.name}({counted})"
        parts: list[str] = []
        runs = self._runs()
        for text, count in runs:
            repeated = f"{text} for _ in range({literal(count)})"
            is_many = not isinstance(count, int) or count > 2
            if is_many and len(runs) == 1 and self.name != "nn.Sequential":
                return f"{self.name}({repeated})"
            parts += [f"*({repeated})"] if is_many else [text] * int(count)
        inner = ", ".join(parts)
        return (
            f"{self.name}({inner})" if self.name == "nn.Sequential" else f"{self.name}([{inner}])"
        )

    def _runs(self) -> list[tuple[str, Any]]:
        """The children's sources, those that are equal and neighbours once with their number."""
        if self.is_repeated:
            return [(self.children[0].source(), self.arguments[0].value)]
        return [(text, len(list(run))) for text, run in groupby(c.source() for c in self.children)]

    def _counted(self) -> str:
        """`Layer(i) for i in range(4)`, where the children differ in their number alone."""
        rows = [[value for _, value in child.leaves()] for child in self.children]
        same = len({repr(child.skeleton()) for child in self.children}) == 1
        if self.name != "nn.ModuleList" or self.is_repeated or len(rows) < 3 or not same:
            return ""
        values = []
        for column in zip(*rows, strict=True):
            if list(column) != list(range(len(rows))) and any(v != column[0] for v in column):
                return ""
            values.append(column[0] if column[0] == column[1] else Slot("i"))
        remaining = iter(values)
        child = self.children[0].replaced(lambda: next(remaining))
        return f"{child.source()} for i in range({len(rows)})" if Slot("i") in values else ""

    def leaves(self) -> Iterator[tuple[str, Any]]:
        """Every argument of this call and of its children, by name."""
        for a in self.arguments:
            yield a.name, a.value
        for child in self.children:
            yield from child.leaves()

    def calls(self) -> Iterator[str]:
        """The name of every class that is called, its own first."""
        yield self.name.partition(".")[0]
        for child in self.children:
            yield from child.calls()

    def replaced(self, values: Callable[[], Any]) -> Constructor:
        """The same call with each leaf, in order, replaced by the next of `values`."""
        arguments = tuple(Argument(a.name, values(), a.default) for a in self.arguments)
        children = tuple(child.replaced(values) for child in self.children)
        return Constructor(self.name, arguments, children, self.is_repeated, self.names)


def align(group: Sequence[Constructor]) -> list[Constructor]:
    """Calls of one skeleton, each with the union of their arguments."""
    examples = {a.name: a for call in group for a in call.arguments}
    columns = [align(column) for column in zip(*(call.children for call in group), strict=True)]
    return [
        Constructor(
            call.name,
            tuple(_argument(call, name, example) for name, example in examples.items()),
            tuple(column[i] for column in columns),
            call.is_repeated,
            call.names,
        )
        for i, call in enumerate(group)
    ]


def stamped(container: str, children: Sequence[Constructor]) -> Constructor:
    """A container of a repeated layer; of equal ones, one is kept with their number."""
    if any(child != children[0] for child in children):
        return Constructor(container, (), tuple(children))
    return Constructor(container, (Argument(COUNT, len(children)),), (children[0],), True)


def stamped_by_name(paths: Sequence[str], children: Sequence[Constructor]) -> Constructor | None:
    """The `nn.Sequential` of one layer repeated as `block_1`, `block_2`, …, if it is one."""
    prefix = paths[0].rstrip("0123456789")
    if "." in prefix:
        return None
    for first, number in ((0, "{i}"), (1, "{i + 1}")):
        names = [f"{prefix}{first + i}" for i in range(len(paths))]
        if len(paths) > 1 and list(paths) == names and all(c == children[0] for c in children):
            count = (Argument(COUNT, len(children)),)
            return Constructor("nn.Sequential", count, (children[0],), True, prefix + number)
    return None


def _argument(call: Constructor, name: str, example: Argument) -> Argument:
    found = next((a for a in call.arguments if a.name == name), None)
    return found or Argument(name, example.default, example.default)


def escaped(text: str) -> str:
    """A text as it stands between double quotes."""
    return "".join(
        '\\"' if c == '"'
        else c if c.isprintable() and c != "\\"
        else c.encode("unicode_escape").decode("ascii")
        for c in text
    )  # fmt: skip


def literal(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, Slot | Dim):
        return str(value.source if isinstance(value, Slot) else value)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return 'float("inf")' if value > 0 else '-float("inf")'
    if isinstance(value, str):
        return f'"{escaped(value)}"' if type(value) is str else str(value)
    if isinstance(value, tuple | list):
        inner = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
