"""Which maker turns which kind of layer into nodes."""

from __future__ import annotations

from specc.diagnostics.model import Diagnostics
from specc.passes.calls import BlockMaker, GroupMaker, ShareMaker
from specc.passes.formula import FormulaMaker
from specc.passes.maker import Maker
from specc.passes.op_layer import OpMaker
from specc.passes.part import Part
from specc.passes.scope import Context
from specc.spec.document import Document
from specc.spec.model import Layer

MAKERS: dict[str, type[Maker]] = {
    "op": OpMaker, "block": BlockMaker, "layers": GroupMaker, "share": ShareMaker,
    "formula": FormulaMaker,
}  # fmt: skip


def maker(part: Part, layer: Layer) -> Maker | None:
    """What makes the layer's nodes; `None` (and findings) if the layer says nothing usable."""
    made = MAKERS[layer.kind](part, layer)
    return made if made.is_valid() else None


def new_context(document: Document, diagnostics: Diagnostics) -> Context:
    """What one compilation shares."""
    return Context(document, diagnostics, maker)
