"""What `data.source` says, checked by its kind, and the columns that it brings by itself."""

from __future__ import annotations

from typing import Any

from specc.diagnostics.model import Diagnostics
from specc.diagnostics.suggest import closest
from specc.ir.graph import Graph
from specc.spec.model import Spec
from specc.spec.sources import (
    AUGMENTATIONS,
    SOURCE_SETTINGS,
    TARGETS,
    TOKENS,
    augmentation_schema,
    implied_columns,
)
from specc.spec.validate import validate

SOURCE = ("data", "source")


def data_columns(spec: Spec, model: Graph) -> dict[str, dict[str, Any]]:
    """The entries of `data.columns` and those that the source implies."""
    source, listed = spec.section(*SOURCE), spec.section("data", "columns")
    columns = {**implied_columns(source), **listed}
    if source.get("kind") != "text":
        return columns
    window = _window(spec, model)
    return {
        name: {"dtype": "int64", "shape": window, **column}
        if column.get("from", name) in (TOKENS, TARGETS) and window
        else column
        for name, column in columns.items()
    }


def _window(spec: Spec, model: Graph) -> list[Any]:
    """The size of one row of a text, as the model's input for the tokens has it."""
    listed = spec.section("data", "columns")
    for value in model.inputs:
        if listed.get(value.name, {}).get("from", value.name) == TOKENS and value.type.rank == 2:
            return [value.type.shape[1]]
    window = spec.section(*SOURCE).get("window")
    return [window] if isinstance(window, int) else []


def check_source(spec: Spec) -> Diagnostics:
    """Settings that the kind of source doesn't have or needs, and its augmentations."""
    out = Diagnostics()
    source = spec.section(*SOURCE)
    kind = source.get("kind")
    allowed = SOURCE_SETTINGS.get(str(kind))
    if allowed is None:
        return out
    for key in source:
        if key not in (*allowed, "kind", "doc"):
            near = closest(key, allowed)
            hint = f"there are {', '.join(f'`{name}`' for name in allowed)}" if allowed else None
            out.add(
                "S101", f"a source of kind `{kind}` has no `{key}`",
                spec.document.span((*SOURCE, key), key=True),
                hint=f"did you mean `{near}`?" if near else hint,
            )  # fmt: skip
    if kind == "text":
        _check_text(spec, source, out)
    for i, given in enumerate(source.get("augment", [])):
        op = given["op"]
        if op in AUGMENTATIONS:
            place = (*SOURCE, "augment", i)
            schema = augmentation_schema(op)
            validate(spec.document, place, given, schema, out, subject=f"`{op}`")
    return out


def _check_text(spec: Spec, source: dict[str, Any], out: Diagnostics) -> None:
    if "window" not in source:
        out.add(
            "S102", "a source of kind `text` needs `window`", spec.locate(SOURCE),
            hint="`window` is how many characters or bytes a row has",
        )  # fmt: skip
    if source.get("unit") == "byte" and "unknown" in source:
        at = spec.document.span((*SOURCE, "unknown"), key=True)
        out.add("S101", "bytes have no unknown ones", at, hint="remove `unknown`")
    split = spec.section("data", "split")
    for key in ("stratify", "group", "shuffle"):
        if split.get(key):
            out.add(
                "D509", f"a text is split where it stands, without `{key}`",
                spec.document.span(("data", "split", key), key=True),
                hint="fractions cut the text in order, so that no window is in two parts",
            )  # fmt: skip
