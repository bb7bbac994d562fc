"""The frozen model of a spec file: its sections, and every layer as one kind of thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from specc.diagnostics.model import Diagnostics, Pointer, Span
from specc.ops import REGISTRY
from specc.spec.document import Document
from specc.spec.schema import COMMON_LAYER_KEYS, GROUP_KEYS, LAYER_KINDS

Kind = Literal["op", "block", "layers", "formula", "share"]


@dataclass(frozen=True, eq=False)
class Spec:
    """A spec whose envelope is valid, with the document that knows where everything stands."""

    document: Document
    path: Path | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.document.value["name"])

    @property
    def base(self) -> Path:
        """The folder that paths in the spec are relative to."""
        return self.path.parent if self.path else Path()

    def section(self, *keys: str) -> dict[str, Any]:
        """An object of the spec, empty where it is absent."""
        found = self.document.get(keys)
        return found if isinstance(found, dict) else {}

    def locate(self, pointer: Pointer) -> Span:
        """Where a value stands, or the nearest part around it."""
        return self.document.span(pointer)


@dataclass(frozen=True)
class Layer:
    """One entry of a list of layers.

    `kind` says what it is, `target` which (an operator's name, a block's name, the layers of a
    group, a formula, the name of a shared layer), `args` the operator's or block's parameters.
    """

    kind: Kind
    target: Any
    pointer: Pointer
    raw: Any
    args: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, Any] = field(default_factory=dict)
    group: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target_pointer(self) -> Pointer:
        """Where the target is written."""
        return self.pointer if isinstance(self.raw, str) else (*self.pointer, self.kind)


def parse_layer(
    value: Any, pointer: Pointer, document: Document, diagnostics: Diagnostics
) -> Layer | None:
    """One entry of a list of layers, or `None` (and a finding) where it says nothing usable."""
    if isinstance(value, str):
        return Layer("op", value, pointer, value)
    if not isinstance(value, dict):
        diagnostics.add(
            "S103", f"a layer must be a string or an object, got {type(value).__name__}",
            document.span(pointer), hint='write `"ReLU"` or `{ "op": "ReLU" }`',
        )  # fmt: skip
        return None
    kinds = [kind for kind in LAYER_KINDS if kind in value]
    if len(kinds) != 1:
        found = " and ".join(f"`{k}`" for k in kinds) or "none of them"
        wanted = ", ".join(f"`{k}`" for k in LAYER_KINDS)
        message = f"a layer has exactly one of {wanted}; this one has {found}"
        diagnostics.add("S106", message, document.span(pointer))
        return None
    kind: Kind = kinds[0]  # type: ignore[assignment]
    own = _own_params(kind, value)
    common = {k: v for k, v in value.items() if k in COMMON_LAYER_KEYS and k not in own}
    group_keys = GROUP_KEYS if kind == "layers" else {}
    group = {k: v for k, v in value.items() if k in group_keys}
    taken = {kind, *common, *group}
    args = {k: v for k, v in value.items() if k not in taken}
    return Layer(kind, value[kind], pointer, value, args, common, group)


def _own_params(kind: str, value: Mapping[str, Any]) -> frozenset[str]:
    """An operator's parameter of a common key's name (einops' `repeat`) is its own."""
    found = REGISTRY.get(value["op"]) if kind == "op" and isinstance(value["op"], str) else None
    return frozenset(found.params) if found else frozenset()
