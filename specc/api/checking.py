"""Everything that can be said of a spec without torch and without its data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specc.diagnostics.model import Diagnostics
from specc.ir.graph import Graph
from specc.passes.loss import resolve_loss
from specc.passes.resolve import resolve
from specc.passes.training import check_training
from specc.spec.load import load_spec
from specc.spec.model import Spec


def check(source: Path | str | dict[str, Any], sets: Sequence[str] = ()) -> Diagnostics:
    """All findings about a spec; never raises for what the spec says."""
    return checked(source, sets)[3]


def checked(
    source: Path | str | dict[str, Any], sets: Sequence[str] = ()
) -> tuple[Spec | None, Graph | None, Graph | None, Diagnostics]:
    """The spec, its graph, its loss as far as they could be made, and all findings."""
    spec, out = load_spec(source, sets)
    if spec is None:
        return None, None, None, out
    graph, found = resolve(spec)
    out.items += found.items
    loss = None
    if graph is not None:
        loss, found = resolve_loss(spec, graph)
        out.items += found.items
        out.items += check_training(spec, graph).items
    return spec, graph, loss, out
