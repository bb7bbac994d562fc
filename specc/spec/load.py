"""From a file to a `Spec`: read, `extends`, `--set`, `imports`, and the envelope's schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specc.diagnostics.model import Diagnostics
from specc.spec.document import Document, Node, merge_patch
from specc.spec.model import Spec
from specc.spec.reader import read_file, read_text
from specc.spec.schema import LANGUAGE_VERSION, SPEC
from specc.spec.settings import apply_sets, check_sets
from specc.spec.validate import validate

MAX_EXTENDS = 20


def load_spec(
    source: Path | str | dict[str, Any], sets: Sequence[str] = ()
) -> tuple[Spec | None, Diagnostics]:
    """Read a spec from a file, or from a dict; `None` where the envelope is not usable."""
    if isinstance(source, dict):
        import json

        document, out = read_text(json.dumps(source, indent=2), "<dict>")
        path = None
    else:
        path = Path(source)
        document, out = read_file(path)
    if document is None:
        return None, out
    document = _extended(document, path, out)
    out.items += check_sets(document, sets).items
    document, found = apply_sets(document, sets)
    out.items += found.items
    document = _with_imports(document, path, out)
    if not _check_envelope(document, out):
        return None, out
    return Spec(document, path), out


def _check_envelope(document: Document, out: Diagnostics) -> bool:
    if not isinstance(document.value, dict):
        out.add("S103", "a spec must be an object", document.span(()))
        return False
    version = document.value.get("specc")
    if isinstance(version, int) and version != LANGUAGE_VERSION:
        out.add(
            "S108", f"language version {version} is not known", document.span(("specc",)),
            hint=f"this release reads version {LANGUAGE_VERSION}",
        )  # fmt: skip
        return False
    return validate(document, (), document.value, SPEC, out, subject="the spec")


def _root_of(path: Path) -> Path:
    """The project's root: the nearest folder with a `.git` or `pyproject.toml`, else its own."""
    folder = path.resolve().parent
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists() or (candidate / "pyproject.toml").exists():
            return candidate
    return folder


def _related(
    document: Document, pointer: tuple[str, ...], path: Path | None, out: Diagnostics
) -> tuple[Document | None, Path | None]:
    """The document of another file that a string of this one names."""
    text, at = document.get(pointer), document.span(pointer)
    if not isinstance(text, str):
        return None, None  # the schema says so
    if path is None:
        out.add("S109", f"`{text}` needs a spec that is a file itself", at)
        return None, None
    root = _root_of(path)
    target = path.parent / text
    if not target.resolve().is_relative_to(root):
        out.add("S109", f"`{text}` leads out of the project's root", at)
        return None, None
    other, found = read_file(target)
    missing = [d for d in found.items if d.code == "J001"]
    for item in missing:
        out.add(item.code, item.message, at, hint=item.hint)
    out.items += [d for d in found.items if d not in missing]
    return other, target


def _extended(document: Document, path: Path | None, out: Diagnostics) -> Document:
    chain, seen = [document], [path.resolve()] if path else []
    current, where = document, path
    while isinstance(current.value, dict) and "extends" in current.value:
        base, target = _related(current, ("extends",), where, out)
        if base is None or target is None:
            break
        if target.resolve() in seen or len(seen) > MAX_EXTENDS:
            out.add(
                "S110", f"`extends` goes in a circle at `{target.name}`",
                current.span(("extends",)),
            )  # fmt: skip
            break
        seen.append(target.resolve())
        chain.append(base)
        current, where = base, target
    merged = chain[-1]
    for patch in reversed(chain[:-1]):
        merged = merge_patch(merged, patch)
    return _without(merged, "extends") if len(chain) > 1 else merged


def _without(document: Document, key: str) -> Document:
    children = document.root.children
    if not isinstance(children, dict):
        return document
    kept = {k: child for k, child in children.items() if k != key}
    return Document(document.root.with_children(kept), document.source)


def _with_imports(document: Document, path: Path | None, out: Diagnostics) -> Document:
    """The blocks of imported files beside the spec's own, as `alias.block`."""
    imports = document.get(("imports",))
    children = document.root.children
    if not isinstance(imports, dict) or not isinstance(children, dict):
        return document
    blocks: dict[str, Node] = {}
    for alias in imports:
        other, _ = _related(document, ("imports", alias), path, out)
        found = other.root.child("blocks") if other else None
        if other and not (found and isinstance(found.children, dict)):
            out.add(
                "S111", f"`{imports[alias]}` has no `blocks`", document.span(("imports", alias))
            )
        if found and isinstance(found.children, dict):
            blocks |= {f"{alias}.{name}": block for name, block in found.children.items()}
    own = children.get("blocks")
    if own and isinstance(own.children, dict):
        blocks |= own.children
    holder = (own or document.root).with_children(blocks)
    return Document(document.root.with_children({**children, "blocks": holder}), document.source)
