"""References for operators on shapes, positions and axes, and for tensors that are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from tests.ops.reference import TORCH_ONNX_CANNOT, custom

TORCH_ONNX_CANNOT |= {
    "chunk-2": "its exporter assumes that `chunk` gives as many parts as it is asked for",
    "permute-1": "it writes a negative axis into Transpose",
    "squeeze-1": "it takes one axis only",
    "squeeze-4": "it takes one axis only",
}


def worked_out(value: Any, inputs: tuple[torch.Tensor, ...]) -> Any:
    """A parameter with its `${…}` replaced by the number that it is for these inputs."""
    if isinstance(value, tuple | list):
        return type(value)(worked_out(item, inputs) for item in value)
    if isinstance(value, str) and value.startswith("${"):
        return eval(value[2:-1], {f"i{n}": x for n, x in enumerate(inputs)})
    return value


def method(name: str, *order: str) -> None:
    """Register `input.name(*parameters in order)`."""

    def call(*inputs: torch.Tensor, **params: Any) -> Any:
        found = {k: worked_out(v, inputs) for k, v in params.items()}
        arguments = [found.pop(key) for key in order if key in found]
        return getattr(torch.Tensor, name)(*inputs, *arguments, **found)

    custom(name)(call)


for _name, _order in {
    "reshape": ("shape",), "view": ("shape",), "unflatten": ("dim", "sizes"), "permute": ("dims",),
    "squeeze": ("dim",), "split": ("split_size_or_sections",),
}.items():  # fmt: skip
    method(_name, *_order)


def joined(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function of a list of tensors as one of any number of tensors."""
    return lambda *tensors, **params: function(tensors, **params)


custom("cat")(joined(torch.cat))
custom("stack")(joined(torch.stack))


@custom("Parameter")
def _parameter(*, state: Mapping[str, torch.Tensor], **_: Any) -> torch.Tensor:
    return state[""]


@custom("Buffer")
def _buffer(
    *,
    value: Any,
    shape: Any = None,
    dtype: str | None = None,
    persistent: bool = True,
    state: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    made = torch.tensor(value) if shape is None else torch.full(shape, value)
    made = made if dtype is None else made.to(getattr(torch, dtype))
    return state[""] if persistent else made


@custom("getitem")
def _getitem(*inputs: torch.Tensor, index: Any) -> torch.Tensor:
    def item(value: Any) -> Any:
        if isinstance(value, list):
            return slice(*value)
        words = {"...": ..., "tensor": inputs[-1]}
        return words[value] if isinstance(value, str) else value

    return inputs[0][tuple(item(worked_out(value, inputs)) for value in index)]
