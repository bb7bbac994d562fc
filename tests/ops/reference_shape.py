"""References for operators on shapes, positions and axes, and for tensors that are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import einops
import torch

from tests.ops.reference import EVALUATOR_IS_WRONG, TORCH_ONNX_CANNOT, custom

EVALUATOR_IS_WRONG |= {
    "gather-3": "it refuses positions for a part of the other axes, which the standard allows",
}
TORCH_ONNX_CANNOT |= {
    "chunk-2": "its exporter assumes that `chunk` gives as many parts as it is asked for",
    "permute-1": "it writes a negative axis into Transpose",
    "diagonal-2": "it gives float32 for every element type",
    "diagonal-3": "it gives float32 for every element type",
    "full_like": "the input is used for its shape alone, and it drops inputs without a use",
    "hstack-1": "it joins different element types without a conversion",
    "index_add": "it overwrites where positions repeat, and has no `alpha`",
    "masked_fill-2": "its tracer takes no bool as a number",
    "narrow-3": "it ends at 0 where the last positions are meant",
    "ones_like": "the input is used for its shape alone, and it drops inputs without a use",
    "reduce-3": "it writes ReduceMax of bool, which opset 17 does not have",
    "roll-2": "it needs axes",
    "roll-3": "it gives more elements where the shift is larger than the axis",
    "roll-4": "it gives more elements where the shift is larger than the axis",
    "scatter-2": "its tracer takes no bool as a number",
    "scatter-3": "it needs `src` of the size of `index`",
    "squeeze-1": "it takes one axis only",
    "squeeze-4": "it takes one axis only",
    "take_along_dim": "it does not know the operator",
    "tile-2": "it needs as many counts as axes",
    "vstack-1": "it joins different element types without a conversion",
    "zeros_like": "the input is used for its shape alone, and it drops inputs without a use",
}


def worked_out(value: Any, inputs: tuple[torch.Tensor, ...]) -> Any:
    """A parameter with its `${…}` replaced by the number that it is for these inputs."""
    if isinstance(value, tuple | list):
        return type(value)(worked_out(item, inputs) for item in value)
    if isinstance(value, dict):
        return {key: worked_out(item, inputs) for key, item in value.items()}
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
    "squeeze": ("dim",), "split": ("split_size_or_sections",), "expand": ("sizes",),
    "tile": ("dims",), "repeat_interleave": ("repeats", "dim"), "select": ("dim", "index"),
    "narrow": ("dim", "start", "length"), "flip": ("dims",), "roll": ("shifts", "dims"),
}.items():  # fmt: skip
    method(_name, *_order)


def joined(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A function of a list of tensors as one of any number of tensors."""
    return lambda *tensors, **params: function(tensors, **params)


for _function in (torch.cat, torch.stack, torch.hstack, torch.vstack):
    custom(_function.__name__)(joined(_function))


custom("meshgrid")(lambda *tensors, indexing="ij": torch.meshgrid(*tensors, indexing=indexing))


@custom("scatter")
def _scatter(
    x: torch.Tensor, index: torch.Tensor, *more: torch.Tensor, dim: int, src: Any = None
) -> torch.Tensor:
    return torch.scatter(x, dim, index, more[0] if more else src)


for _name in ("gather", "index_select"):
    custom(_name)(lambda x, index, *, dim, _name=_name: getattr(torch, _name)(x, dim, index))
for _name in ("scatter_add", "index_add"):
    custom(_name)(
        lambda x, index, src, *, dim, _name=_name, **k: getattr(torch, _name)(
            x, dim, index, src, **k
        )
    )


def made(name: str, *order: str) -> None:
    """Register `torch.name(*parameters in order)` of a tensor that is made from nothing."""

    def call(*_: torch.Tensor, dtype: str | None = None, **params: Any) -> torch.Tensor:
        arguments = [params[key] for key in order if key in params]
        return getattr(torch, name)(*arguments, dtype=dtype and getattr(torch, dtype))

    custom(name)(call)


for _name, _order in {
    "zeros": ("size",), "ones": ("size",), "full": ("size", "fill_value"), "eye": ("n", "m"),
    "linspace": ("start", "end", "steps"),
}.items():  # fmt: skip
    made(_name, *_order)


@custom("arange")
def _arange(*, dtype: str | None = None, **params: Any) -> torch.Tensor:
    named = {"start": 0} | params if "end" in params else {"end": params["start"]}
    return torch.arange(**named, dtype=dtype and getattr(torch, dtype))


for _name in ("zeros_like", "ones_like", "full_like"):
    custom(_name)(
        lambda x, *, dtype=None, _name=_name, **k: getattr(torch, _name)(
            x, dtype=dtype and getattr(torch, dtype), **k
        )
    )


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


def _patterned(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def call(
        x: torch.Tensor, *, pattern: str, axes: Mapping[str, Any] | None = None, **params: Any
    ) -> torch.Tensor:
        return function(x, pattern, **params, **worked_out(dict(axes or {}), (x,)))

    return call


for _name in ("rearrange", "reduce", "repeat"):
    custom(_name)(_patterned(getattr(einops, _name)))
