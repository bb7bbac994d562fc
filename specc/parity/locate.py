"""Where a difference starts: the first value of the ONNX graph that the bound does not allow.

Layer paths of a module are names of values in the ONNX graph that is made from it, so the
outputs of its layers in float64 say which of them is wrong. A graph with other names is
compared with the ONNX reference evaluator, which shows a runtime's faults but not a wrong
attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch

from specc.ir.graph import Graph
from specc.parity.cases import Case
from specc.parity.certificate import Divergence
from specc.parity.judge import Array, Bounds, errors, is_floating, yardstick
from specc.parity.reference import Reference, to_numpy
from specc.parity.runtimes.onnxruntime import open_session

Values = Mapping[str, Array]


@dataclass(frozen=True)
class _Suspect:
    value: str
    error: float
    bound: float
    after: str | None


def locate(
    reference: Reference,
    model_path: Path,
    case: Case,
    bounds: Bounds | None = None,
    graph: Graph | None = None,
) -> Divergence | None:
    """The first diverging value of a case; `None` where every value that can be compared agrees.

    With the `graph` that the module was compiled from, steps that are no modules are seen too.
    """
    model = onnx.load(model_path)
    producers = {name: node for node in model.graph.node for name in node.output if name}
    found = exposed(model, case.feeds)
    wide, narrow = layer_values(reference, case.feeds, graph)
    bounds = bounds or Bounds()
    kind: Literal["pytorch", "reference"] = "pytorch"
    suspect = _first(producers, found, wide, narrow, bounds)
    if not any(name in wide for name in _inner(model)):
        other = evaluated(model, case.feeds)
        inner = _first(producers, found, other, other, bounds)
        kind, suspect = ("reference", inner) if inner else (kind, suspect)
    return _divergence(suspect, producers[suspect.value], case, kind) if suspect else None


def _inner(model: Any) -> list[str]:
    outputs = {value.name for value in model.graph.output}
    return [n for node in model.graph.node for n in node.output if n not in outputs]


def _first(
    producers: Mapping[str, Any], found: Values, wide: Values, narrow: Values, bounds: Bounds
) -> _Suspect | None:
    after = None
    for name in producers:
        if name not in found or name not in wide or name not in narrow:
            continue
        actual, ref64, torch32 = found[name], wide[name], narrow[name]
        if actual.shape != ref64.shape:
            return _Suspect(name, float("inf"), 0.0, after)
        if not is_floating(actual.dtype):
            continue
        own = yardstick(ref64, torch32)
        limit, error = own.limit(actual.dtype, bounds, own), errors(actual, ref64, torch32)
        lost = bool((np.isfinite(actual) != np.isfinite(torch32)).any())
        if lost or not limit.allows(error):
            return _Suspect(name, float("inf") if lost else error.peak, limit.max, after)
        after = name
    return None


def _divergence(
    suspect: _Suspect, node: Any, case: Case, kind: Literal["pytorch", "reference"]
) -> Divergence:
    notes = {entry.key: entry.value for entry in node.metadata_props}
    layer = notes.get("specc.path") or (suspect.value if kind == "pytorch" else None)
    return Divergence(
        suspect.value, layer, node.name, node.op_type, suspect.after,
        suspect.error, suspect.bound, case.name, kind,
        notes.get("specc.pointer"), notes.get("specc.source"),
    )  # fmt: skip


def exposed(model: Any, feeds: Values) -> dict[str, Array]:
    """Every value of the graph, as ONNX Runtime computes it without optimizations."""
    widened = _with_all_outputs(model)
    session = open_session(widened.SerializeToString(), "disable_all")
    names = [value.name for value in widened.graph.output]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def evaluated(model: Any, feeds: Values) -> dict[str, Array]:
    """Every value of the graph, as the ONNX reference evaluator computes it."""
    from onnx.reference import ReferenceEvaluator

    widened = _with_all_outputs(model)
    names = [value.name for value in widened.graph.output]
    with np.errstate(all="ignore"):
        values = ReferenceEvaluator(widened).run(None, dict(feeds))
    return dict(zip(names, map(np.asarray, values), strict=True))


def _with_all_outputs(model: Any) -> Any:
    widened = onnx.ModelProto()
    widened.CopyFrom(model)
    present = {value.name for value in widened.graph.output}
    names = [n for node in widened.graph.node for n in node.output if n and n not in present]
    widened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return widened


def layer_values(
    reference: Reference, feeds: Values, graph: Graph | None = None
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The outputs of every layer, by its path, and of the model, in float64 and in float32."""
    if graph is not None:
        return reference.traced(feeds, graph)
    with _recorded(reference.float64) as wide:
        truth = reference.truth(feeds)
    with _recorded(reference.float32) as narrow:
        single = reference.single(feeds)
    return {**wide, **truth}, {**narrow, **single}


@contextmanager
def _recorded(module: torch.nn.Module) -> Iterator[dict[str, Array]]:
    values: dict[str, Array] = {}
    layers = [(path, layer) for path, layer in module.named_modules() if path]
    handles = [layer.register_forward_hook(_keep(path, values)) for path, layer in layers]
    try:
        yield values
    finally:
        for handle in handles:
            handle.remove()


def _keep(path: str, values: dict[str, Array]) -> Callable[[Any, Any, Any], None]:
    def hook(_module: Any, _inputs: Any, result: Any) -> None:
        first = result[0] if isinstance(result, tuple) else result
        # A layer that is used twice has its second value under another name.
        if isinstance(first, torch.Tensor) and path not in values:
            values[path] = to_numpy(first).copy()

    return hook
