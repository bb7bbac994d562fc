"""PyTorch's own losses, whose tensor arguments may come from a list, or from an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tests.ops.reference import TORCH_ONNX_CANNOT, custom

TENSORS = {
    "CrossEntropyLoss": ("weight",),
    "NLLLoss": ("weight",),
    "MultiMarginLoss": ("weight",),
    "MultiLabelSoftMarginLoss": ("weight",),
    "BCELoss": ("weight",),
    "BCEWithLogitsLoss": ("weight", "pos_weight"),
}
"""Tensor arguments after `input` and `target`."""


def _module(name: str, tensors: tuple[str, ...]) -> Callable[..., torch.Tensor]:
    def run(
        *inputs: torch.Tensor, state: Mapping[str, torch.Tensor], **params: Any
    ) -> torch.Tensor:
        given = dict(zip(tensors, inputs[2:], strict=False))
        plain = {k: v for k, v in params.items() if k not in tensors}
        return getattr(nn, name)(**{**given, **state}, **plain)(*inputs[:2])

    return run


for _name, _tensors in TENSORS.items():
    custom(_name)(_module(_name, _tensors))


TORCH_ONNX_CANNOT |= dict.fromkeys(
    (
        "L1Loss",
        "HuberLoss",
        "SmoothL1Loss",
        "BCELoss",
        "SoftMarginLoss",
        "CTCLoss",
        "CosineEmbeddingLoss",
        "HingeEmbeddingLoss",
        "MarginRankingLoss",
        "MultiLabelMarginLoss",
        "MultiMarginLoss",
        "PoissonNLLLoss",
        "TripletMarginLoss",
    ),
    "the TorchScript exporter has no form of this loss",
)
TORCH_ONNX_CANNOT |= {
    f"CrossEntropyLoss-{i}": "the TorchScript exporter knows neither label smoothing nor "
    "probabilities as target"
    for i in range(5, 15)
}
TORCH_ONNX_CANNOT["KLDivLoss-4"] = "gives 0 for negative targets, of which PyTorch makes NaN"
TORCH_ONNX_CANNOT["NLLLoss-3"] = "the TorchScript exporter needs a batch axis"
TORCH_ONNX_CANNOT["TripletMarginWithDistanceLoss"] = (
    "the TorchScript exporter's distance rounds more than the bound allows"
)
TORCH_ONNX_CANNOT |= dict.fromkeys(
    ("AdaptiveLogSoftmaxWithLoss-0", "AdaptiveLogSoftmaxWithLoss-2"),
    "the TorchScript exporter fixes how many targets fall into each cluster",
)
