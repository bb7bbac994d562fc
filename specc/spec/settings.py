"""`--set key.path=value`: one value of a spec changed from the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from specc.diagnostics.model import Diagnostics, Source, Span
from specc.diagnostics.suggest import closest
from specc.spec.document import Document, Node
from specc.spec.json_parser import MAX_DEPTH, parse

_INDEX = re.compile(r"-?[0-9]{1,9}").fullmatch


class _Step(NamedTuple):
    text: str
    span: Span


class _Assignment(NamedTuple):
    steps: list[_Step]
    value: Node


class _Refused(Exception):  # noqa: N818 - the finding is what counts, and it is already kept
    """An assignment that cannot be carried out."""


def set_document(assignments: Sequence[str]) -> tuple[Document, Diagnostics]:
    """The assignments as one object, to be used as a merge patch; `null` stays in it."""
    source = Source("--set", " ".join(assignments))
    root = Node({}, source, 0, len(source.text), {})
    root.implied = True
    return _apply(Document(root, source), assignments, null_removes=False)


def apply_sets(document: Document, assignments: Sequence[str]) -> tuple[Document, Diagnostics]:
    """The document with every assignment made in order; `null` takes a member of an object out."""
    return _apply(document, assignments, null_removes=True)


def check_sets(document: Document, assignments: Sequence[str]) -> Diagnostics:
    """Report assignments that would change nothing: of names that the spec does not have."""
    out = Diagnostics()
    for text in assignments:
        path, equals, _ = text.partition("=")
        steps = _steps(path, Source(f"--set {text}", text))
        if not equals:
            continue
        if steps[0].text == "extends":
            out.add(
                "U814", "`--set` comes after `extends` and cannot change it", steps[0].span,
                hint="a file of its own can extend another one",
            )  # fmt: skip
        known = document.get((steps[0].text,))
        known = known if isinstance(known, dict) else {}
        if steps[0].text not in ("params", "let") or len(steps) == 1 or steps[1].text in known:
            continue
        near = closest(steps[1].text, known)
        listing = f"there are {', '.join(f'`{name}`' for name in known)}" if known else None
        noun = "parameter" if steps[0].text == "params" else "`let`"
        out.add(
            "U814", f"the spec has no {noun} `{steps[1].text}`", steps[1].span,
            hint=f"did you mean `{near}`?" if near else listing,
        )  # fmt: skip
    return out


def _apply(
    document: Document, assignments: Sequence[str], *, null_removes: bool
) -> tuple[Document, Diagnostics]:
    out = Diagnostics()
    root = document.root
    for text in assignments:
        try:
            steps, value = _parsed(text, out)
            root = _placed(root, steps, value, out, null_removes)
        except _Refused:
            continue
    return Document(root, document.source), out


def _parsed(text: str, out: Diagnostics) -> _Assignment:
    source = Source(f"--set {text}", text)
    path, equals, _ = text.partition("=")
    if not equals:
        at = Span(source, len(text), len(text))
        out.add("U810", f"`--set {text}` has no `=`", at, hint="write `--set key.path=value`")
        raise _Refused
    steps = _steps(path, source)
    empty = next((step for step in steps if not step.text), None)
    if empty:
        out.add("U811", f"empty key in `--set {text}`", empty.span)
        raise _Refused
    if len(steps) > MAX_DEPTH:
        message = f"nested deeper than {MAX_DEPTH} levels"
        out.add("J007", message, steps[MAX_DEPTH].span)
        raise _Refused
    return _Assignment(steps, _value(source, len(path) + 1))


def _steps(path: str, source: Source) -> list[_Step]:
    steps, start = [], 0
    for part in path.split("."):
        steps.append(_Step(part.strip(), Span(source, start, start + len(part))))
        start += len(part) + 1
    return steps


def _value(source: Source, start: int) -> Node:
    root, out = parse(source, start)
    if root and not out.items:
        return root
    return Node(source.text[start:], source, start, len(source.text))


def _placed(
    node: Node, steps: list[_Step], value: Node, out: Diagnostics, null_removes: bool
) -> Node:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if node.value is None:  # as in a merge patch, null gives way to an object
        node = _implied(step)
    if isinstance(node.children, list):
        index = _index(node, step, out)
        elements = list(node.children)
        elements[index] = _placed(elements[index], rest, value, out, null_removes)
        return node.with_children(elements)
    if node.children is None:
        message = f"`{step.text}` cannot be set inside `{_shown(node)}`"
        out.add("U813", message, step.span, label="the value around it is not an object or a list")
        raise _Refused
    members = dict(node.children)
    if not rest and null_removes and value.value is None:
        members.pop(step.text, None)
        return node.with_children(members)
    inner = members.get(step.text) or _implied(step)
    member = _placed(inner, rest, value, out, null_removes)
    if not rest or member.key is None:
        member.key = (step.span.start, step.span.end)
    members[step.text] = member
    return node.with_children(members)


def _implied(step: _Step) -> Node:
    node = Node({}, step.span.source, step.span.start, step.span.end, {})
    node.implied = True
    return node


def _index(node: Node, step: _Step, out: Diagnostics) -> int:
    assert isinstance(node.children, list)
    count = len(node.children)
    if not _INDEX(step.text):
        hint = f"take an index from 0 to {count - 1}" if count else None
        out.add("U812", f"`{step.text}` is not an index of a list", step.span, hint=hint)
        raise _Refused
    index = int(step.text)
    if not -count <= index < count:
        noun = "element" if count == 1 else "elements"
        message = f"index {index} is out of range for a list of {count} {noun}"
        out.add("U812", message, step.span)
        raise _Refused
    return index


def _shown(node: Node) -> str:
    text = node.source.text[node.start : node.end]
    return text if len(text) <= 24 else text[:20] + "…"
