"""PyTorch's own normalizations where the table's general way does not reach them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.ops.reference import EVALUATOR_IS_WRONG, TORCH_ONNX_CANNOT, custom


@custom("layer_norm")
def _layer_norm(x: torch.Tensor, dims: int = 1, **params: Any) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-dims:], **params)


@custom("rms_norm")
def _rms_norm(x: torch.Tensor, dims: int = 1, **params: Any) -> torch.Tensor:
    return F.rms_norm(x, x.shape[-dims:], **params)


def _instance_norm(axes: int) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor, *, state: Mapping[str, torch.Tensor], **params: Any) -> torch.Tensor:
        module = getattr(nn, f"InstanceNorm{axes}d")(x.shape[-1 - axes], **params).eval()
        module.load_state_dict(state)
        result: torch.Tensor = module(x)
        return result

    return run


for _axes in (1, 2, 3):
    custom(f"InstanceNorm{_axes}d")(_instance_norm(_axes))


TORCH_ONNX_CANNOT |= dict.fromkeys(
    ("RMSNorm", "rms_norm", "CrossMapLRN2d"), "the TorchScript exporter has no form of it"
)
EVALUATOR_IS_WRONG["LocalResponseNorm-0"] = "its LRN loops over as many channels as samples"
