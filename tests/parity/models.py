"""Small modules and the ONNX models of them, written by hand, with faults to plant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from specc.ir.dims import symbol
from specc.ir.graph import DimInfo, InputInfo, Interface
from specc.ir.types import DType, TensorType

BATCH = symbol("batch", max=64)
DIMS = (DimInfo("batch", 1, 64, 1, 2),)


def tensor(*shape: object, dtype: DType = DType.float32) -> TensorType:
    return TensorType(dtype, tuple(shape))  # type: ignore[arg-type]


class Cnn(nn.Module):
    """Two inputs through a convolution, BatchNorm and GELU, LayerNorm and a head each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.GELU()
        self.norm = nn.LayerNorm(8)
        self.fc = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, image: torch.Tensor, other: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.act(self.bn(self.conv(image))).mean((2, 3))
        y = self.fc(self.norm(x) * other)
        return {"hidden": y, "logits": self.head(F.relu(y))}


CNN = Interface(
    (InputInfo("image", tensor(BATCH, 3, 8, 8)), InputInfo("other", tensor(BATCH, 8))),
    (("hidden", tensor(BATCH, 8)), ("logits", tensor(BATCH, 4))),
    DIMS,
)


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.fc3(torch.tanh(self.fc2(F.relu(self.fc1(a - 0.5 * b)))))


MLP = Interface(
    (InputInfo("a", tensor(BATCH, 8)), InputInfo("b", tensor(BATCH, 8))),
    (("logits", tensor(BATCH, 3)),),
    DIMS,
)

State = Mapping[str, torch.Tensor]
Node = onnx.NodeProto


def node(op: str, inputs: str, output: str, line: int = 0, **attributes: object) -> Node:
    made = helper.make_node(op, inputs.split(), [output], name=f"{output}/{op}", **attributes)
    for key, value in (("specc.pointer", f"/layers/{line}"), ("specc.source", f"m.json:{line}:1")):
        made.metadata_props.add(key=key, value=value)
    return made


def cnn_nodes() -> list[Node]:
    return [
        node("Conv", "image conv.weight conv.bias", "conv", 1, pads=[1, 1, 1, 1]),
        node("BatchNormalization", "conv bn.weight bn.bias bn.running_mean bn.running_var", "bn",
             2, epsilon=1e-5),
        node("Gelu", "bn", "act", 3),
        node("ReduceMean", "act spatial", "pooled", 4, keepdims=0),
        node("LayerNormalization", "pooled norm.weight norm.bias", "norm", 5, epsilon=1e-5),
        node("Mul", "norm other", "scaled", 6),
        node("Gemm", "scaled fc.weight fc.bias", "hidden", 7, transB=1),
        node("Relu", "hidden", "relu", 8),
        node("Gemm", "relu head.weight head.bias", "logits", 9, transB=1),
    ]  # fmt: skip


def mlp_nodes() -> list[Node]:
    return [
        node("Mul", "b half", "scaled"),
        node("Sub", "a scaled", "difference"),
        node("Gemm", "difference fc1.weight fc1.bias", "fc1", transB=1),
        node("Relu", "fc1", "relu"),
        node("Gemm", "relu fc2.weight fc2.bias", "fc2", transB=1),
        node("Tanh", "fc2", "tanh"),
        node("Gemm", "tanh fc3.weight fc3.bias", "logits", transB=1),
    ]


def axes(kind: TensorType) -> list[int | str]:
    return [size if isinstance(size, int) else str(size) for size in kind.shape]


CONSTANTS = {"spatial": np.array([2, 3]), "half": np.array(0.5, np.float32)}
Edit = Callable[[onnx.ModelProto], None]


def onnx_model(
    interface: Interface, nodes: list[Node], state: State, edit: Edit | None = None
) -> onnx.ModelProto:
    """The model with the weights of `state`, changed by `edit`."""
    types = {DType.float32: TensorProto.FLOAT, DType.int64: TensorProto.INT64, DType.bool: 9}
    inputs = [(i.name, i.type) for i in interface.inputs]
    declared = [
        [helper.make_tensor_value_info(n, types[t.dtype], axes(t)) for n, t in values]
        for values in (inputs, interface.outputs)
    ]
    read = {name for made in nodes for name in made.input}
    weights = {n: t.detach().numpy() for n, t in state.items()} | CONSTANTS
    initializers = [numpy_helper.from_array(v, n) for n, v in weights.items() if n in read]
    graph = helper.make_graph(nodes, "model", *declared, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if edit:
        edit(model)
    return model


def find(model: onnx.ModelProto, output: str) -> Node:
    return next(n for n in model.graph.node if output in n.output)


def attribute(model: onnx.ModelProto, output: str, name: str, factor: float) -> None:
    (found,) = [a for a in find(model, output).attribute if a.name == name]
    found.f *= factor


def edit_weight(
    model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    (found,) = [t for t in model.graph.initializer if t.name == name]
    found.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(found).copy()), name))


def trained(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights like trained ones: biases, norms and statistics that are not 0 or 1."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.3, 2.0)
            elif value.is_floating_point():
                value.add_(torch.randn(value.shape) * 0.1)
    return module.eval()
