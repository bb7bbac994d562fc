"""The `pytorch-converted` cases of the onnx package as cases.

Each is a module that PyTorch once exported: a graph, its weights, one input and the output. The
spec is made from the directory's name and the attributes of the graph's nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from onnx import numpy_helper

from modules.case import Case, Expected, one_layer

Attributes = dict[str, Any]
Params = dict[str, Any]


class Graph(NamedTuple):
    """A stored graph: its nodes' attributes by operator, and its weights in the order of use."""

    attributes: Mapping[str, Attributes]
    weights: list[torch.Tensor]
    constants: list[torch.Tensor]


def folder() -> Path:
    """Where the onnx package keeps them."""
    return Path(onnx.__file__).parent / "backend" / "test" / "data" / "pytorch-converted"


def cases(only: frozenset[str] | None = None) -> Iterator[Case]:
    """All cases, or those of these operators."""
    for path in sorted(folder().iterdir()):
        name = path.name.removeprefix("test_")
        if only is None or operator(name) in only:
            yield _case(name, path)


def operator(name: str) -> str:
    """`Conv2d_dilated` is about `Conv2d`, `softmax_lastdim` about `softmax`."""
    if name.startswith("PoissonNLLLLoss"):  # so it is spelt there
        return "PoissonNLLLoss"
    found = re.match(r"log_softmax|[A-Za-z0-9]+", name)
    assert found
    return found[0]


def _case(name: str, path: Path) -> Case:
    op = operator(name)
    graph = _graph(onnx.load(path / "model.onnx").graph)
    (x,) = _tensors(path / "test_data_set_0", "input")
    output = _tensors(path / "test_data_set_0", "output")
    inputs = {"input": x}
    if op == "PoissonNLLLoss":
        (inputs["target"],) = graph.constants
    params = _PARAMS[op](graph)
    state = dict(zip(_weight_names(op), graph.weights, strict=False))
    return one_layer(name, op, params, inputs, state, partial(Expected, output))


def _tensors(folder: Path, kind: str) -> tuple[torch.Tensor, ...]:
    found = []
    for path in sorted(folder.glob(f"{kind}_*.pb")):
        held = onnx.TensorProto.FromString(path.read_bytes())
        found.append(torch.from_numpy(numpy_helper.to_array(held).copy()))
    return tuple(found)


def _graph(graph: onnx.GraphProto) -> Graph:
    held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    constants = [
        torch.from_numpy(numpy_helper.to_array(node.attribute[0].t).copy())
        for node in graph.node
        if node.op_type == "Constant"
    ]
    attributes = {
        node.op_type: {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for node in graph.node
    }
    return Graph(attributes, list(held.values()), constants)


def _weight_names(op: str) -> Sequence[str]:
    normed = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return normed if op.startswith("BatchNorm") else ("weight", "bias")


# -- parameters from the nodes' attributes ----------------------------------------------------


def _symmetric(pads: Sequence[int], axes: int) -> list[int]:
    """`pads` lists the starts and then the ends; PyTorch's modules pad both alike."""
    assert list(pads[:axes]) == list(pads[axes:])
    return list(pads[:axes])


def _window(found: Attributes, axes: int) -> Params:
    made: Params = {"kernel_size": list(found["kernel_shape"][:axes])}
    made["stride"] = list(found["strides"][:axes])
    made["padding"] = _symmetric(found["pads"], len(found["pads"]) // 2)[:axes]
    if "dilations" in found:
        made["dilation"] = list(found["dilations"][:axes])
    return made


def _pool(axes: int, kind: str, graph: Graph) -> Params:
    return _window(graph.attributes[kind], axes)


def _conv(axes: int, graph: Graph) -> Params:
    found = graph.attributes.get("Conv") or graph.attributes["ConvTranspose"]
    weight, transposed = graph.weights[0], "Conv" not in graph.attributes
    made = _window(found, axes) | {"groups": found["group"], "bias": len(graph.weights) > 1}
    if "output_padding" in found:
        made["output_padding"] = list(found["output_padding"])
    return made | {"out_channels": weight.shape[1 if transposed else 0]}


def _batch_norm(graph: Graph) -> Params:
    graph.weights.append(torch.tensor(0))  # `num_batches_tracked`, which no result depends on
    found = graph.attributes["BatchNormalization"]
    # ONNX's momentum is the share that is kept; attributes are float32.
    return {"eps": _short(found["epsilon"]), "momentum": _short(1 - found["momentum"])}


def _pad(graph: Graph) -> Params:
    pads = graph.attributes["Pad"]["pads"]
    height, width = (2, 3) if len(pads) == 8 else (0, 1)
    half = len(pads) // 2
    return {"padding": [pads[width], pads[half + width], pads[height], pads[half + height]]}


def _constant_pad(graph: Graph) -> Params:
    return _pad(graph) | {"value": graph.attributes["Pad"]["value"]}


def _linear(graph: Graph) -> Params:
    return {"out_features": graph.weights[0].shape[0], "bias": len(graph.weights) > 1}


def _embedding(graph: Graph) -> Params:
    rows, width = graph.weights[0].shape
    return {"num_embeddings": rows, "embedding_dim": width}


def _shuffle(graph: Graph) -> Params:
    return {"upscale_factor": int(graph.constants[0][2])}


def _axis(kind: str, name: str, graph: Graph) -> Params:
    return {name: graph.attributes[kind]["axis"]}


def _number(kind: str, name: str, ours: str, graph: Graph) -> Params:
    return {ours: _short(graph.attributes[kind][name])}


def _prelu(graph: Graph) -> Params:
    return {"num_parameters": graph.weights[0].numel()}


def _poisson(graph: Graph) -> Params:
    return {"log_input": "Exp" in graph.attributes, "full": False, "reduction": "none"}


def _none(_: Graph) -> Params:
    return {}


def _short(value: float) -> float:
    """The decimal number that was rounded to this float32."""
    return float(f"{value:.6g}")


_PARAMS: dict[str, Callable[[Graph], Params]] = {
    **{f"AvgPool{n}d": partial(_pool, n, "AveragePool") for n in (1, 2, 3)},
    **{f"MaxPool{n}d": partial(_pool, n, "MaxPool") for n in (1, 2, 3)},
    **{f"Conv{n}d": partial(_conv, n) for n in (1, 2, 3)},
    **{f"BatchNorm{n}d": _batch_norm for n in (1, 2, 3)},
    "ConvTranspose2d": partial(_conv, 2), "ConstantPad2d": _constant_pad,
    "ReflectionPad2d": _pad, "ReplicationPad2d": _pad, "ZeroPad2d": _pad,
    "Linear": _linear, "Embedding": _embedding, "PixelShuffle": _shuffle, "PReLU": _prelu,
    "ELU": partial(_number, "Elu", "alpha", "alpha"),
    "LeakyReLU": partial(_number, "LeakyRelu", "alpha", "negative_slope"),
    "GLU": partial(_axis, "Split", "dim"), "Softmin": partial(_axis, "Softmax", "dim"),
    "Softmax": partial(_axis, "Softmax", "dim"), "LogSoftmax": partial(_axis, "LogSoftmax", "dim"),
    "softmax": partial(_axis, "Softmax", "dim"),
    "log_softmax": partial(_axis, "LogSoftmax", "dim"),
    "PoissonNLLLoss": _poisson,
    **dict.fromkeys(("ReLU", "SELU", "Sigmoid", "Softplus", "Softsign", "Tanh"), _none),
}  # fmt: skip
