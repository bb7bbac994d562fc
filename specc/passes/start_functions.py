"""The functions of `torch.nn.init`: their arguments, and the parameters that they can fill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from specc.spec.validate import fault_in

_Schema = Mapping[str, Any]
_NUMBER: _Schema = {"type": "number"}
_SPREAD: _Schema = {"type": "number", "minimum": 0}
_FAN: Mapping[str, _Schema] = {
    "a": _NUMBER,
    "mode": {"enum": ["fan_in", "fan_out"]},
    "nonlinearity": {
        "enum": [
            "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
            "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
        ]
    },
}  # fmt: skip


class Function(NamedTuple):
    """What one function takes beside the tensor, and how many axes that may have."""

    arguments: Mapping[str, _Schema]
    required: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None


FUNCTIONS: dict[str, Function] = {
    "uniform_": Function({"a": _NUMBER, "b": _NUMBER}),
    "normal_": Function({"mean": _NUMBER, "std": _SPREAD}),
    "constant_": Function({"val": _NUMBER}, ("val",)),
    "ones_": Function({}),
    "zeros_": Function({}),
    "eye_": Function({}, (), 2, 2),
    "dirac_": Function({"groups": {"type": "integer", "minimum": 1}}, (), 3, 5),
    "xavier_uniform_": Function({"gain": _NUMBER}, (), 2),
    "xavier_normal_": Function({"gain": _SPREAD}, (), 2),
    "kaiming_uniform_": Function(_FAN, (), 2),
    "kaiming_normal_": Function(_FAN, (), 2),
    "trunc_normal_": Function(
        {
            "mean": _NUMBER, "std": {"type": "number", "exclusiveMinimum": 0}, "a": _NUMBER,
            "b": _NUMBER,
        }
    ),
    "orthogonal_": Function({"gain": _NUMBER}, (), 2),
    "sparse_": Function(
        {"sparsity": {"type": "number", "minimum": 0, "maximum": 1}, "std": _SPREAD},
        ("sparsity",), 2, 2,
    ),
}  # fmt: skip

_EDGES = {"uniform_": (0.0, 1.0), "trunc_normal_": (-2.0, 2.0)}
"""PyTorch's defaults of `a` and `b`, which have an order."""


def argument_fault(function: str, given: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """Why a function does not take these values, with the argument that is to blame."""
    known = FUNCTIONS[function]
    for name, value in given.items():
        fault = fault_in(value, known.arguments[name])
        if fault:
            return f"`{name}` of `{function}` {fault}", name
    missing = next((name for name in known.required if name not in given), None)
    if missing:
        return f"`{function}` needs `{missing}`", None
    if function in _EDGES:
        a, b = (given.get(k, default) for k, default in zip("ab", _EDGES[function], strict=True))
        if a > b or (a == b and function == "trunc_normal_"):
            return f"`a` of `{function}` must be less than its `b` of {b}, got {a}", None
    return None


def rank_fault(function: str, rank: int) -> str | None:
    """Why a function cannot fill a tensor of this rank."""
    _, _, least, most = FUNCTIONS[function]
    if least <= rank <= (rank if most is None else most):
        return None
    wanted = f"{least}" if most == least else f"{least} to {most}" if most else f"{least} or more"
    return f"`{function}` fills tensors of {wanted} axes"
