"""Faults to plant in the ONNX models of `models`: each has to be caught."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from tests.parity.models import Edit, attribute, edit_weight, find, node


def half_precision(model: onnx.ModelProto) -> None:
    for name in [t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]:
        edit_weight(model, name, lambda w: w.astype(np.float16).astype(np.float32))


def nudge_bias(name: str) -> Edit:
    def change(bias: np.ndarray) -> np.ndarray:
        bias[0] += np.float32(1e-6)
        return bias

    return lambda model: edit_weight(model, name, change)


def transpose_kernel(name: str) -> Edit:
    return lambda model: edit_weight(model, name, lambda w: np.swapaxes(w, -1, -2).copy())


def tanh_gelu(model: onnx.ModelProto) -> None:
    find(model, "act").attribute.add(name="approximate", type=3, s=b"tanh")


def swap_inputs(model: onnx.ModelProto) -> None:
    swapped = {"a": "b", "b": "a"}
    for made in model.graph.node:
        made.input[:] = [swapped.get(name, name) for name in made.input]


def drop_output(model: onnx.ModelProto) -> None:
    del model.graph.output[0]


def rename_output(model: onnx.ModelProto) -> None:
    find(model, "logits").output[0] = "scores"
    next(o for o in model.graph.output if o.name == "logits").name = "scores"


def append(model: onnx.ModelProto, op: str, inputs: str, **attributes: object) -> None:
    """Let one more node make `logits`, out of what was `logits`."""
    find(model, "logits").output[0] = "before"
    model.graph.node.append(node(op, inputs, "logits", **attributes))


def constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))


def wrong_dtype(model: onnx.ModelProto) -> None:
    append(model, "Cast", "before", to=TensorProto.DOUBLE)
    model.graph.output[-1].type.tensor_type.elem_type = TensorProto.DOUBLE


def one_nan(model: onnx.ModelProto) -> None:
    width = model.graph.output[-1].type.tensor_type.shape.dim[1].dim_value
    value = np.zeros(width, np.float32)
    value[1] = np.nan
    constant(model, "poison", value)
    append(model, "Add", "before poison")


def extra_axis(model: onnx.ModelProto) -> None:
    constant(model, "axis", np.array([0]))
    append(model, "Unsqueeze", "before axis")
    shape = model.graph.output[-1].type.tensor_type.shape
    shape.dim.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))


def undeclared_axis(model: onnx.ModelProto) -> None:
    """As above, with an output that promises no shape at all."""
    extra_axis(model)
    model.graph.output[-1].type.tensor_type.ClearField("shape")


def fixed_batch(model: onnx.ModelProto) -> None:
    """Right at the example's batch of 2 and wrong at every other one."""
    constant(model, "sizes", np.array([2, -1]))
    append(model, "Reshape", "before sizes")


def ignored_input(model: onnx.ModelProto) -> None:
    find(model, "scaled").input[0] = "a"


CNN_FAULTS: dict[str, Edit] = {
    "batch norm epsilon": lambda m: attribute(m, "bn", "epsilon", 0.1),
    "layer norm epsilon": lambda m: attribute(m, "norm", "epsilon", 0.1),
    "tanh gelu": tanh_gelu,
    "bias off by 1e-6": nudge_bias("fc.bias"),
    "float16 weights": half_precision,
    "transposed kernel": transpose_kernel("conv.weight"),
    "output missing": drop_output,
    "output renamed": rename_output,
    "wrong dtype": wrong_dtype,
    "a NaN": one_nan,
    "an extra axis": extra_axis,
    "an undeclared axis": undeclared_axis,
    "fixed batch": fixed_batch,
}
MLP_FAULTS: dict[str, Edit] = {
    "bias off by 1e-6": nudge_bias("fc3.bias"),
    "float16 weights": half_precision,
    "inputs swapped": swap_inputs,
    "transposed weight": transpose_kernel("fc2.weight"),
    "output renamed": rename_output,
    "wrong dtype": wrong_dtype,
    "a NaN": one_nan,
    "an extra axis": extra_axis,
    "fixed batch": fixed_batch,
    "an input ignored": ignored_input,
}
