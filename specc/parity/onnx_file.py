"""What is read off an ONNX file without running it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from specc.runtime.atomic import write_bytes

VALUELESS = frozenset({"Shape", "Size"})
"""Operators whose result depends on the shape of their input, not on its values."""
COPYING = VALUELESS | {
    "Constant", "ConstantOfShape", "Identity", "Expand", "Reshape", "Squeeze", "Unsqueeze",
    "Transpose", "Concat", "Slice", "Gather", "Split", "Flatten", "Tile",
}  # fmt: skip
"""Operators that compute nothing, so that their results are exact."""


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
    copied: frozenset[str]
    """The outputs that are only copied from weights, constants and inputs."""
    external: tuple[str, ...]
    """The files beside the model that hold weights."""
    opset: int


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
        _copied(model.graph),
        tuple(sorted(_external(model.graph))),
        next(made.version for made in model.opset_import if not made.domain),
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


def move_model(path: Path, target: Path) -> None:
    """Give a model another name, and the file that holds its weights that of the model."""
    model = onnx.load(path, load_external_data=False)
    stored = sorted(_external(model.graph))
    new = {name: f"{target.name}.data" + (f".{i}" if i else "") for i, name in enumerate(stored)}
    for entry in _locations(model.graph):
        entry.value = new[entry.value]
    for name in stored:
        (path.parent / name).replace(target.parent / new[name])
    if stored:
        write_bytes(path, model.SerializeToString())
    path.replace(target)


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


def _copied(graph: Any) -> frozenset[str]:
    computed: set[str] = set()
    for node in graph.node:
        if node.op_type not in COPYING or not computed.isdisjoint(node.input):
            computed.update(node.output)
    return frozenset(value.name for value in graph.output) - computed


def _external(graph: Any) -> set[str]:
    return {entry.value for entry in _locations(graph)}


def _locations(graph: Any) -> Iterator[Any]:
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from (entry for entry in tensor.external_data if entry.key == "location")
