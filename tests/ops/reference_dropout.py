"""What dropouts do in eval mode: nothing. Their training behaviour has tests of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from tests.ops.reference import TORCH_ONNX_CANNOT, custom


@custom("StochasticDepth")
def _stochastic_depth(x: torch.Tensor, **_: Any) -> torch.Tensor:
    return x


def _function(name: str) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor, **params: Any) -> torch.Tensor:
        result: torch.Tensor = getattr(F, name)(x, **params, training=False)
        return result

    return run


for _name in (
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
):  # fmt: skip
    custom(_name)(_function(_name))


@custom("normal_sample")
def _normal_sample(mean: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return mean


TORCH_ONNX_CANNOT |= dict.fromkeys(
    ("normal_sample-0", "normal_sample-1"), "it drops an input that only training reads"
)
