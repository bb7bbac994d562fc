"""Plain data -> ONNX file: the weights are put in by name, and the file is written atomically."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from ml_dtypes import bfloat16

from specc.ir.types import DType, TensorType
from specc.runtime.fold import folded
from specc.targets.onnx_graph import Constant, OnnxGraph, OnnxNode, Packed, Stored

IR_VERSION = 10
EXTERNAL_BYTES = 1_500_000_000
"""Above this many bytes of weights they go into a file beside the model."""

_NUMPY: dict[DType, Any] = {DType.bool: np.bool_, DType.bfloat16: bfloat16}


def onnx_model(
    graph: OnnxGraph, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> ir.Model:
    """The complete model, its constant parts folded; `weights` is a `state_dict`."""
    return _model(folded(graph, _evaluated), weights, metadata or {})


def _evaluated(graph: OnnxGraph) -> dict[str, Any]:
    from onnx.reference import ReferenceEvaluator

    model = ir.serde.serialize_model(_model(graph, {}, {}))
    names = [name for name, _ in graph.outputs]
    values = ReferenceEvaluator(model).run(names, {})
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def _model(
    graph: OnnxGraph, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> ir.Model:
    values = {name: _value(name, kind) for name, kind in graph.inputs}
    initializers = []
    read = {name for node in graph.nodes for name in node.inputs}
    for name, held in graph.initializers.items():
        if name not in read:
            continue
        tensor = _tensor(name, held, weights)
        value = ir.Value(
            name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=tensor.shape
        )
        values[name] = value
        initializers.append(value)
    nodes = [_node(node, values, graph) for node in graph.nodes]
    outputs = []
    for name, kind in graph.outputs:
        value = values[name]
        value.type, value.shape = ir.TensorType(_onnx_type(kind.dtype)), _shape(kind)
        outputs.append(value)
    made = ir.Graph(
        [values[name] for name, _ in graph.inputs], outputs, nodes=nodes,
        initializers=initializers, opset_imports={"": graph.opset}, name=graph.name,
    )  # fmt: skip
    return ir.Model(
        made, ir_version=IR_VERSION, producer_name="specc", producer_version=version("specc"),
        metadata_props=dict(metadata),
    )  # fmt: skip


def save_model(model: ir.Model, path: Path, *, external_bytes: int = EXTERNAL_BYTES) -> None:
    """Write the model under a temporary name and rename it; large weights go beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value)
    try:
        if size > external_bytes:
            data = f"{path.name}.data"
            ir.save(model, partial, external_data=data)
        else:
            ir.save(model, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def model_bytes(model: ir.Model) -> bytes:
    """The serialized model."""
    return bytes(ir.serde.serialize_model(model).SerializeToString())


def _onnx_type(dtype: DType) -> ir.DataType:
    return ir.DataType[
        {"float32": "FLOAT", "float64": "DOUBLE"}.get(dtype.value, dtype.value.upper())
    ]


def _shape(kind: TensorType) -> ir.Shape:
    return ir.Shape([size if isinstance(size, int) else str(size) for size in kind.shape])


def _value(name: str, kind: TensorType) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(_onnx_type(kind.dtype)), shape=_shape(kind))


def _tensor(
    name: str, held: Stored | Packed | Constant, weights: Mapping[str, torch.Tensor]
) -> ir.Tensor[Any]:
    if isinstance(held, Constant):
        return ir.Tensor(
            np.array(held.value, dtype=_NUMPY.get(held.dtype, held.dtype.value)), name=name
        )
    tensor = _weight(held, weights)
    array = tensor.contiguous()
    if array.dtype is torch.bfloat16:
        return ir.Tensor(array.view(torch.int16).numpy().view(bfloat16), name=name)
    return ir.Tensor(array.numpy(), name=name)


def _weight(held: Stored | Packed, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    if isinstance(held, Packed):
        parts = [weights[name].detach().cpu().chunk(len(held.order)) for name in held.weights]
        rows = torch.cat([part[i] for part in parts for i in held.order])
        return rows.reshape([int(str(size)) for size in held.type.shape])
    tensor = weights[held.weight].detach().cpu()
    return tensor if held.perm is None else tensor.permute(*held.perm)


def _node(node: OnnxNode, values: dict[str, ir.Value], graph: OnnxGraph) -> ir.Node:
    inputs = [values[name] if name is not None else None for name in node.inputs]
    outputs = []
    for name in node.outputs:
        kind = graph.types.get(name)
        values[name] = _value(name, kind) if kind else ir.Value(name=name)
        outputs.append(values[name])
    attributes = ir.convenience.convert_attributes(
        {key: _attribute(value) for key, value in node.attributes.items()}
    )
    return ir.Node(
        "", node.op_type, inputs, attributes, outputs=outputs, name=node.name,
        metadata_props=dict(node.metadata),
    )  # fmt: skip


def _attribute(value: Any) -> Any:
    if isinstance(value, DType):
        return int(_onnx_type(value))
    if isinstance(value, bool):
        return int(value)
    return list(value) if isinstance(value, tuple) else value
