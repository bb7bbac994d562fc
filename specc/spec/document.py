"""A JSON value that knows where each of its parts is written, and merging of such values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from specc.diagnostics.model import Pointer, Source, Span

# One decoded character each: a surrogate pair, an escape, or the character itself.
_CHARACTER = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\?.",
    re.DOTALL,
)


class Node:
    """One JSON value and its place; `key` is the place of its key, for a member of an object.

    An `implied` object was written by nobody: it stands around what a `--set` reaches.
    """

    __slots__ = ("children", "end", "implied", "key", "source", "start", "value")

    def __init__(
        self,
        value: Any,
        source: Source,
        start: int,
        end: int,
        children: dict[str, Node] | list[Node] | None = None,
    ) -> None:
        self.value = value
        self.source = source
        self.start = start
        self.end = end
        self.children = children
        self.key: tuple[int, int] | None = None
        self.implied = False

    @property
    def span(self) -> Span:
        """The place of the value."""
        return Span(self.source, self.start, self.end)

    @property
    def key_span(self) -> Span | None:
        """The place of the key, quotes included."""
        return Span(self.source, *self.key) if self.key else None

    def child(self, step: str | int) -> Node | None:
        """The member or element that one step of a pointer leads to."""
        if isinstance(self.children, dict):
            return self.children.get(step) if isinstance(step, str) else None
        if isinstance(self.children, list) and isinstance(step, int):
            return self.children[step] if 0 <= step < len(self.children) else None
        return None

    def with_children(self, children: dict[str, Node] | list[Node]) -> Node:
        """A container at the same place that holds other children."""
        value: Any = (
            {key: child.value for key, child in children.items()}
            if isinstance(children, dict)
            else [child.value for child in children]
        )
        node = Node(value, self.source, self.start, self.end, children)
        node.key = self.key
        node.implied = self.implied
        return node


@dataclass(frozen=True, eq=False)
class Document:
    """A JSON value with the place of every part of it."""

    root: Node
    source: Source

    @property
    def value(self) -> Any:
        """The value as plain dicts, lists and scalars."""
        return self.root.value

    @cached_property
    def spans(self) -> dict[Pointer, Span]:
        """The place of every value."""
        return {pointer: node.span for pointer, node in _walk(self.root)}

    @cached_property
    def key_spans(self) -> dict[Pointer, Span]:
        """The place of every object key, by the pointer of its member."""
        found = ((pointer, node.key_span) for pointer, node in _walk(self.root))
        return {pointer: span for pointer, span in found if span}

    def get(self, pointer: Pointer, default: Any = None) -> Any:
        """The value at a pointer, or `default` where there is none."""
        node = self._nearest(pointer)[1]
        return default if node is None else node.value

    def span(self, pointer: Pointer, key: bool = False) -> Span:
        """The place of a value, or of its key; of the nearest part around it if it is missing."""
        nearest, exact = self._nearest(pointer)
        return (key and exact and exact.key_span) or nearest.span

    def inside(self, pointer: Pointer, start: int, end: int) -> Span:
        """The place of characters `start` up to `end` of a decoded string."""
        node = self._nearest(pointer)[1]
        if node is None or not isinstance(node.value, str):
            return self.span(pointer)
        edges = _character_edges(node)
        first = min(max(start, 0), len(edges) - 1)
        last = min(max(end, first), len(edges) - 1)
        return Span(node.source, edges[first], edges[last])

    def _nearest(self, pointer: Pointer) -> tuple[Node, Node | None]:
        node = self.root
        for step in pointer:
            child = node.child(step)
            if child is None:
                return node, None
            node = child
        return node, node


def _walk(root: Node) -> Iterator[tuple[Pointer, Node]]:
    pending: list[tuple[Pointer, Node]] = [((), root)]
    while pending:
        pointer, node = pending.pop()
        yield pointer, node
        if isinstance(node.children, dict):
            pending.extend(((*pointer, key), child) for key, child in node.children.items())
        elif node.children:
            pending.extend(((*pointer, i), child) for i, child in enumerate(node.children))


def _character_edges(node: Node) -> range | list[int]:
    # Quotes make the written form longer, so equal lengths mean bare text from `--set`.
    if node.end - node.start == len(node.value):
        return range(node.start, node.end + 1)
    start, end = node.start + 1, node.end - 1
    if end - start == len(node.value):
        return range(start, end + 1)
    return [*(m.start() for m in _CHARACTER.finditer(node.source.text, start, end)), end]


def merge_patch(base: Document, patch: Document) -> Document:
    """The base changed by a JSON Merge Patch (RFC 7396); every value keeps its own place.

    An object that both have is placed where the patch has it: that is the file being read.
    """
    source = base.source if patch.root.implied else patch.source
    return Document(_merged(base.root, patch.root), source)


def _merged(base: Node | None, patch: Node) -> Node:
    if not isinstance(patch.children, dict):
        return patch
    changes_object = base is not None and isinstance(base.children, dict)
    members = dict(base.children) if base and isinstance(base.children, dict) else {}
    for key, change in patch.children.items():
        if change.value is None:
            members.pop(key, None)
        else:
            members[key] = _merged(members.get(key), change)
    place = base if base and changes_object and patch.implied else patch
    return place.with_children(members)
