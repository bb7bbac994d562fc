"""Instances of one block become one class: values that differ become constructor arguments."""

from __future__ import annotations

import io
import re
import tokenize
from ast import literal_eval
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, count
from typing import Any

from specc.ir.graph import Call, Graph
from specc.ir.types import show_shape
from specc.spec.names import RESERVED
from specc.targets.pytorch.body import Body
from specc.targets.pytorch.constructor import COUNT, Argument, Constructor, Slot, align
from specc.targets.pytorch.forward import Line
from specc.targets.pytorch.variables import identifier

MAX_WIDTH = 88
HELPERS = frozenset({"GivenNormalization", "Normalization", "Permute", "StochasticDepth"})
"""Classes that operators put before the model; no block's class may have their names."""
OTHERS = HELPERS | {"OrderedDict"}
"""Names that no class of the model may have."""
LARGEST_PART = 16
"""A size that is a smaller part of another one is not said to be a part of it."""


@dataclass
class Class:
    """One class of the generated source."""

    name: str
    body: Body
    arguments: list[Argument] = field(default_factory=list)
    layers: dict[str, Constructor] = field(default_factory=dict)
    attributes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    sequence: Constructor | None = None
    """The layers of a class that is an `nn.Sequential`, instead of `layers` and `lines`."""
    tensors: list[str] = field(default_factory=list)
    """Lines of the constructor that make parameters and buffers."""


class Classes:
    """The classes of a model, children before parents."""

    def __init__(self, names: set[str]) -> None:
        self.names = names | OTHERS
        self.made: list[Class] = []
        self.instances: dict[Graph, Constructor] = {}
        self.supports: dict[str, None] = {}

    def add_calls(self, calls: Sequence[Call]) -> None:
        """Make classes for the bodies of these calls, which are of one height."""
        groups: dict[Any, list[tuple[Call, Body]]] = {}
        for call in calls:
            body = Body(call.body, self.instances)
            groups.setdefault((call.name, _skeleton(body)), []).append((call, body))
        for (name, _), members in groups.items():
            if _is_inline(members):
                self._add_inline(members)
            else:
                self._add_class(name, members)

    def _add_inline(self, members: list[tuple[Call, Body]]) -> None:
        for call, body in members:
            assert body.sequential is not None
            self.instances[call.body] = body.sequential
            self.supports |= body.support

    def _add_class(self, name: str, members: list[tuple[Call, Body]]) -> None:
        merged = Merger(members)
        made = merged.made(self._class_name(name, members[0][1]))
        for (call, _), values in zip(members, merged.values(), strict=True):
            arguments = tuple(
                Argument(a.name, value, a.default)
                for a, value in zip(made.arguments, values, strict=True)
            )
            self.instances[call.body] = Constructor(made.name, arguments)
        self.made.append(made)

    def _class_name(self, name: str, body: Body) -> str:
        base = camel(name)
        if base not in self.names:
            self.names.add(base)
            return base
        known = next((c for c in self.made if c.name == base), None)
        extra = [p for p in body.layers if known and p not in known.layers and not p.isdigit()]
        if known and known.sequence and body.sequential:
            before = {child.name for child in known.sequence.children}
            children = [c.name for c in body.sequential.children if c.name not in before]
            extra = [name.rpartition(".")[2] for name in children]
        wanted = base + (camel(extra[0]) if extra else "")
        number, chosen = 2, wanted
        while chosen in self.names:
            chosen, number = f"{wanted}{number}", number + 1
        self.names.add(chosen)
        return chosen


def camel(name: str) -> str:
    """`vision.mb_conv` as `VisionMbConv`."""
    words = "".join(c if f"_{c}".isidentifier() and c != "_" else " " for c in name).split()
    text = ""
    for word in words:
        # `101_32x8d` without its `_` would be another number.
        joint = "_" if text[-1:].isdigit() and word[0].isdigit() else ""
        text += joint + word[0].upper() + word[1:]
    return identifier(text) if text and not text[0].isdigit() else f"Part{text}"


def _is_inline(members: list[tuple[Call, Body]]) -> bool:
    """Whether a plain chain stands as `nn.Sequential(…)` where it is used, without a class."""
    call, body = members[0]
    if body.sequential is None:
        return False
    # A block with parameters that is used in several ways is worth a name.
    return not call.params or len(members) == 1 or len(body.sequential.children) == 1


def _skeleton(body: Body) -> Any:
    if body.sequential:
        return body.sequential.skeleton()
    layers = tuple((path, c.skeleton()) for path, c in body.layers.items())
    lines = tuple(_without_numbers(line.text) for line in body.lines)
    ranks = tuple(line.type.rank if line.type else None for line in body.lines)
    tensors = tuple((name, _without_numbers(text)) for name, text in body.tensors.items())
    setup = tuple(map(_without_numbers, body.setup))
    return layers, lines, ranks, setup, tensors, tuple(body.after), tuple(body.inputs)


def _without_numbers(text: str) -> tuple[str, ...]:
    return tuple("" if is_number else piece for piece, is_number in _tokens(text))


@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[tuple[str, bool], ...]:
    """The line cut into pieces that join to the same text; numbers apart from the rest."""
    position = 0
    source = text.strip()
    lead = text[: len(text) - len(source)]
    text = source if not source.endswith(":") else source + " pass"
    pieces: list[tuple[str, bool]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NUMBER:
            start, end = token.start[1], token.end[1]
            pieces += [(lead + source[position:start], False), (source[start:end], True)]
            position, lead = end, ""
    return (*pieces, (lead + source[position:], False))


class Merger:
    """Compares the instances of one block, value by value."""

    def __init__(self, members: list[tuple[Call, Body]]) -> None:
        self.members = members
        self.bodies = [body for _, body in members]
        self.columns: dict[tuple[Any, ...], str] = {}
        self.taken = RESERVED | _names(self.bodies[0]) | {"i"}
        self.params = self._param_columns()
        self.used: dict[str, tuple[Any, ...]] = {}
        self.counts: set[str] = set()
        """Arguments that say how often a layer is repeated: no size is a multiple of them."""
        self.shapes: list[Any] = []
        """What the last comment said: a line that changes no shape has no comment."""

    def _param_columns(self) -> dict[tuple[Any, ...], str]:
        names = [n for n in self.members[0][0].params if n.isidentifier()]
        columns = {n: tuple(call.params.get(n) for call, _ in self.members) for n in names}
        found: dict[tuple[Any, ...], str] = {}
        for name, column in columns.items():
            if len({repr(v) for v in column}) > 1 and all(_is_scalar(v) for v in column):
                found[column] = self._free(name, found.values())
        return found

    def _free(self, wanted: str, others: Iterable[str]) -> str:
        """The wanted name as an argument and an attribute that nothing else in the class has."""
        base = identifier(wanted.lstrip("_"))
        taken = {*self.taken, *others}
        numbered = (f"{base}{number}" for number in count(2))
        return next(name for name in chain([base], numbered) if name not in taken)

    def values(self) -> list[tuple[Any, ...]]:
        """For each instance, what it passes for the class's arguments."""
        columns = [self.used[a.name] for a in self.arguments]
        return [tuple(column[i] for column in columns) for i in range(len(self.members))]

    def made(self, name: str) -> Class:
        """The class with its arguments."""
        layers = {}
        for path in self.bodies[0].layers:
            layers[path] = self._layer([body.layers[path] for body in self.bodies])
        attributes: dict[str, None] = {}
        lines = [
            self._line([body.lines[i] for body in self.bodies], attributes)
            for i in range(len(self.bodies[0].lines))
        ]
        made = [[*body.setup, *body.tensors.values()] for body in self.bodies]
        tensors = [self._text(list(texts), None) for texts in zip(*made, strict=True)]
        chains = [body.sequential for body in self.bodies if body.sequential]
        sequence = self._layer(chains) if chains else None
        self.arguments = self._ordered()
        return Class(
            name, self.bodies[0], self.arguments, layers, list(attributes), lines, sequence, tensors
        )

    def _ordered(self) -> list[Argument]:
        """Arguments in order of appearance, those with a default last."""
        found = []
        for name, column in self.used.items():
            common = max(set(column), key=column.count)
            often = column.count(common) * 2 > len(column) and len(column) > 2
            is_channel = name.startswith(("in_", "out_", "num_"))
            default = common if often and not is_channel else ...
            found.append(Argument(name, column[0], default))
        return sorted(found, key=lambda a: a.default is not ...)

    def _layer(self, group: list[Constructor]) -> Constructor:
        aligned = align(group)
        rows = [list(c.leaves()) for c in aligned]
        names = [name for name, _ in rows[0]]
        merged = iter([
            self._merged(name, tuple(row[i][1] for row in rows)) for i, name in enumerate(names)
        ])  # fmt: skip
        return aligned[0].replaced(lambda: next(merged))

    def _merged(self, name: str, column: tuple[Any, ...]) -> Any:
        if all(repr(v) == repr(column[0]) for v in column):
            return column[0]
        if column in self.columns:
            return Slot(self.columns[column])
        chosen = self.params.get(column)
        if chosen is None and name != COUNT:
            chosen = self._multiple(column)
        if chosen is None:
            chosen = self._free(name, [*self.used, *self.params.values()])
            self.used[chosen] = column
        elif column in self.params:
            self.used[chosen] = column
        self.columns[column] = chosen
        if name == COUNT:
            self.counts.add(chosen)
        return Slot(chosen)

    def _multiple(self, column: tuple[Any, ...]) -> str | None:
        """The column as a multiple or a part of another argument, such as `4 * channels`."""
        if not _is_sizes(column):
            return None
        used = {values: name for name, values in self.used.items()}
        for base, name in {**used, **self.params}.items():
            if not _is_sizes(base) or 0 in base or name in self.counts:
                continue
            source = _scaled(column, base, name)
            if source:
                self.used.setdefault(name, base)
                return source
        return None

    def _line(self, group: list[Line], attributes: dict[str, None]) -> str:
        text = self._text([line.text for line in group], attributes)
        shapes = [line.type.shape if line.type else None for line in group]
        if shapes == self.shapes:
            return text
        made = commented(text, self._comment(group))
        self.shapes = shapes if made != text else []
        return made

    def _text(self, group: list[str], attributes: dict[str, None] | None) -> str:
        """One text of several that differ in numbers; `attributes` collects what it reads."""
        rows = [_tokens(text) for text in group]
        text = ""
        for i, (piece, is_number) in enumerate(rows[0]):
            column = tuple(literal_eval(t) if is_number else t for t in (row[i][0] for row in rows))
            found = self._merged("size", column) if is_number else piece
            if not isinstance(found, Slot):
                text += str(piece)
                continue
            source, name = found.source, _argument_of(found.source)
            if attributes is not None:
                attributes[name] = None
                source = source.replace(name, f"self.{name}")
            after = rows[0][i + 1][0] if i + 1 < len(rows[0]) else ""
            text += _fitted(source, text, after)
        return text

    def _comment(self, group: list[Line]) -> str:
        types = [line.type for line in group]
        if types[0] is None:
            return ""
        sizes: list[str] = []
        for column in zip(*(t.shape for t in types if t), strict=True):
            same = all(size == column[0] for size in column)
            sizes.append(
                str(column[0])
                if same
                else self.columns.get(column) or self.params.get(column) or "*"
            )
        return show_shape(sizes)  # type: ignore[arg-type]


def _names(body: Body) -> set[str]:
    """The names that a class reads in its constructor or has as attributes."""
    found = {path.partition(".")[0] for path in (*body.layers, *body.tensors)}
    made = [*body.layers.values(), *([body.sequential] if body.sequential else [])]
    found |= {name for constructor in made for name in constructor.calls()}
    texts = [*body.setup, *body.tensors.values()]
    return found.union(*(_words(text) for text in texts))


_words = re.compile(r"[^\W\d]\w*").findall


def _fitted(source: str, before: str, after: str) -> str:
    """A source in the middle of a line, in parentheses where it is no argument by itself."""
    is_argument = before.rstrip().endswith(("(", "[", ",", "=", ":"))
    is_argument = is_argument and after.lstrip().startswith((")", "]", ",", ":"))
    return source if is_argument or " " not in source else f"({source})"


def _argument_of(source: str) -> str:
    """The argument in `channels`, `4 * channels` or `channels // 2`."""
    return next(word for word in source.split(" ") if word.isidentifier())


def _is_sizes(column: tuple[Any, ...]) -> bool:
    return all(type(v) is int for v in column)


def _scaled(column: tuple[int, ...], base: tuple[int, ...], name: str) -> str:
    pairs = list(zip(column, base, strict=True))
    up = pairs[0][0] // pairs[0][1]
    if up > 1 and all(v == up * b for v, b in pairs):
        return f"{up} * {name}"
    for down in range(2, LARGEST_PART + 1):
        if any(column) and all(v == b // down for v, b in pairs):
            return f"{name} // {down}"
    return ""


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


def commented(text: str, comment: str) -> str:
    """A line with its comment behind it, if there is room."""
    if not comment or len(text) + len(comment) + 8 + 4 > MAX_WIDTH:
        return text
    return f"{text}  # {comment}"


def by_height(graph: Graph) -> list[list[Call]]:
    """The distinct calls of a model, those without calls inside first."""
    heights: dict[Graph, int] = {}
    calls: dict[Graph, Call] = {}

    def visit(part: Graph) -> int:
        if part in heights:
            return heights[part]
        inner = [node.op for node in part.nodes if isinstance(node.op, Call)]
        heights[part] = 1 + max((visit(call.body) for call in inner), default=0)
        calls.update({call.body: call for call in inner})
        return heights[part]

    top = visit(graph)
    return [[c for b, c in calls.items() if heights[b] == h] for h in range(1, top)]
