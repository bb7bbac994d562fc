"""References for convolutions, pooling, padding and resizing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.ops.reference import EVALUATOR_IS_WRONG, TORCH_ONNX_CANNOT, custom
from tests.ops.reference_shape import worked_out


def convolution(name: str, axes: int) -> None:
    """Register PyTorch's own module; the channels stand before the spatial axes."""

    def call(x: torch.Tensor, *, state: Mapping[str, torch.Tensor], **params: Any) -> Any:
        module = getattr(nn, name)(x.shape[-axes - 1], **params).eval()
        module.load_state_dict(state)
        return module(x)

    custom(name)(call)


for _axes in (1, 2, 3):
    convolution(f"Conv{_axes}d", _axes)
    convolution(f"ConvTranspose{_axes}d", _axes)

TORCH_ONNX_CANNOT.update(
    {
        "Conv2d-3": "writes auto_pad SAME with dilations, which ONNX Runtime refuses",
        **{
            f"CircularPad{n}d-1": "slices past the last axis of an unbatched input"
            for n in (1, 2, 3)
        },
        **{
            f"CircularPad{n}d-2": "drops the axis's middle where a pad is negative"
            for n in (1, 2, 3)
        },
        "pad-7": "drops the axis's middle where a pad is negative",
        "pad-3": "leaves int16 to Pad, which ONNX Runtime has no kernel for",
        "pad-9": "leaves int16 to Pad, which ONNX Runtime has no kernel for",
    }
)

_UNBATCHED = "leaves out the batch axis, without which ONNX's pooling has no form"
_INTEGERS = "leaves integers to MaxPool, which ONNX does not define for them"
_DIVISOR = "ignores divisor_override"
for _n in (1, 2, 3):
    for _name in (f"MaxPool{_n}d", f"max_pool{_n}d", f"AvgPool{_n}d", f"avg_pool{_n}d"):
        TORCH_ONNX_CANNOT[f"{_name}-2"] = _UNBATCHED
    TORCH_ONNX_CANNOT.update({f"LPPool{_n}d-2": _UNBATCHED, f"lp_pool{_n}d-2": _UNBATCHED})
    if _n > 1:
        TORCH_ONNX_CANNOT.update({f"MaxPool{_n}d-6": _INTEGERS, f"max_pool{_n}d-6": _INTEGERS})
        TORCH_ONNX_CANNOT.update({f"AvgPool{_n}d-5": _DIVISOR, f"avg_pool{_n}d-5": _DIVISOR})
    for _name in (f"Adaptive{{}}Pool{_n}d", f"adaptive_{{}}_pool{_n}d"):
        for _kind in ("Avg", "Max") if _name[0] == "A" else ("avg", "max"):
            _full = _name.format(_kind)
            TORCH_ONNX_CANNOT[f"{_full}-1"] = _UNBATCHED
            TORCH_ONNX_CANNOT[f"{_full}-3"] = "needs an output size that divides the input's"
            if _n > 1:
                TORCH_ONNX_CANNOT[f"{_full}-4"] = "needs an output size that divides the input's"

    TORCH_ONNX_CANNOT[f"MaxPool{_n}d-{8 if _n == 1 else 9}"] = _UNBATCHED
    _first = 5 if _n == 1 else 6
    TORCH_ONNX_CANNOT[f"AdaptiveMaxPool{_n}d-{_first}"] = "needs a size that divides the input's"
    TORCH_ONNX_CANNOT[f"AdaptiveMaxPool{_n}d-{_first + 1}"] = _UNBATCHED
    TORCH_ONNX_CANNOT[f"MaxUnpool{_n}d"] = "has no max_unpool"


def _unpooled(name: str) -> None:
    @custom(name)
    def _unpool(x: torch.Tensor, indices: torch.Tensor, **params: Any) -> torch.Tensor:
        size = params.pop("output_size", None)
        return getattr(torch.nn, name)(**params)(x, indices, output_size=size)


for _n in (1, 2, 3):
    _unpooled(f"MaxUnpool{_n}d")

for _case in ("ConvTranspose1d-1", "ConvTranspose2d-1", "ConvTranspose2d-2", "ConvTranspose3d-1"):
    EVALUATOR_IS_WRONG[_case] = "cannot broadcast its own arrays where there are groups"
TORCH_ONNX_CANNOT["ConvTranspose2d-2"] = (
    "writes output_padding that is not less than the stride, which ONNX Runtime refuses"
)


@custom("interpolate")
def _interpolate(x: torch.Tensor, **params: Any) -> torch.Tensor:
    return F.interpolate(x, **{k: worked_out(v, (x,)) for k, v in params.items()})


TORCH_ONNX_CANNOT["interpolate-2"] = "has no nearest-exact at opset 17"
TORCH_ONNX_CANNOT["interpolate-3"] = "has no nearest-exact at opset 17"
TORCH_ONNX_CANNOT["interpolate-5"] = "leaves to Resize what it rounds to another element"
TORCH_ONNX_CANNOT["interpolate-6"] = "has no nearest-exact at opset 17"
TORCH_ONNX_CANNOT["interpolate-17"] = "needs an output size that divides the input's"
for _index in range(18, 22):
    TORCH_ONNX_CANNOT[f"interpolate-{_index}"] = "has no antialias at opset 17"

for _name in ("ChannelShuffle", "channel_shuffle"):
    TORCH_ONNX_CANNOT[_name] = "has no channel_shuffle"
for _name in ("Fold", "fold"):
    TORCH_ONNX_CANNOT[_name] = "has no col2im at opset 17"
for _name in ("Unfold-3", "unfold-3"):
    TORCH_ONNX_CANNOT[_name] = "pads an unbatched input as if it had a batch axis"
for _name in ("PixelShuffle", "PixelUnshuffle", "pixel_shuffle", "pixel_unshuffle"):
    TORCH_ONNX_CANNOT.update({f"{_name}-{_n}": "takes batches of images only" for _n in (1, 2)})
for _name in ("PixelShuffle-3", "pixel_shuffle-3"):
    TORCH_ONNX_CANNOT[_name] = "leaves bool to DepthToSpace, which ONNX Runtime has no kernel for"
