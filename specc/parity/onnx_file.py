"""What is read off an ONNX file without running it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

VALUELESS = frozenset({"Shape", "Size"})
"""Operators whose result depends on the shape of their input, not on its values."""


@dataclass(frozen=True)
class Declared:
    """The name, element type and rank of an input or output."""

    name: str
    dtype: str
    rank: int


@dataclass(frozen=True)
class OnnxFile:
    """Signature, operators and dependencies of a model."""

    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    op_types: frozenset[str]
    depends: Mapping[str, frozenset[str]]
    """The inputs that the values of each output are a function of."""
    external: tuple[str, ...]
    """The files beside the model that hold weights."""


def read_onnx(path: Path) -> OnnxFile:
    """Read a model, its weights aside."""
    model = onnx.load(path, load_external_data=False)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_declared(v) for v in model.graph.input if v.name not in initializers)
    functions = [node for function in model.functions for node in function.node]
    everything = [*_all_nodes(model.graph.node), *_all_nodes(functions)]
    return OnnxFile(
        inputs,
        tuple(_declared(value) for value in model.graph.output),
        frozenset(node.op_type for node in everything),
        _dependencies(model.graph, [value.name for value in inputs]),
        tuple(sorted(_external(model.graph))),
    )


def sha256(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digests(path: Path) -> dict[str, str]:
    """The digests of a model and of the files that hold its weights, if there are any."""
    found = {"onnx": sha256(path)}
    for name in read_onnx(path).external:
        beside = path.parent / name
        if beside.resolve().parent == path.parent.resolve() and beside.is_file():
            found[f"onnx:{name}"] = sha256(beside)
    return found


def _declared(value: Any) -> Declared:
    tensor = value.type.tensor_type
    name = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    dtype = {"float": "float32", "double": "float64"}.get(name, name)
    return Declared(value.name, dtype, len(tensor.shape.dim) if tensor.HasField("shape") else -1)


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _all_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _all_nodes(graph.node)


def _dependencies(graph: Any, inputs: list[str]) -> dict[str, frozenset[str]]:
    reached: dict[str, frozenset[str]] = {name: frozenset([name]) for name in inputs}
    for node in graph.node:
        inner = _all_nodes(n for g in _subgraphs(node) for n in g.node)
        names = [*node.input, *(name for n in inner for name in n.input)]
        found = frozenset().union(*(reached.get(name, frozenset()) for name in names))
        found = frozenset() if node.op_type in VALUELESS else found
        reached.update(dict.fromkeys(node.output, found))
    return {value.name: reached.get(value.name, frozenset()) for value in graph.output}


def _external(graph: Any) -> set[str]:
    return {
        entry.value
        for tensor in graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
