"""In training mode the generated dropouts draw what PyTorch's own modules draw."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from specc.ops.op import Example
from tests.ops.test_ops import SIZES, built, tensors

MODULES = {
    "Dropout": ("N T 8", nn.Dropout(0.3)),
    "Dropout1d": ("N 8 T", nn.Dropout1d(0.3)),
    "Dropout2d": ("N 8 H W", nn.Dropout2d(0.3)),
    "Dropout3d": ("N 8 2 H W", nn.Dropout3d(0.3)),
    "AlphaDropout": ("N T 8", nn.AlphaDropout(0.3)),
    "FeatureAlphaDropout": ("N 8 T", nn.FeatureAlphaDropout(0.3)),
}
FUNCTIONS = {
    "dropout": "Dropout", "dropout1d": "Dropout1d", "dropout2d": "Dropout2d",
    "dropout3d": "Dropout3d", "alpha_dropout": "AlphaDropout",
    "feature_alpha_dropout": "FeatureAlphaDropout",
}  # fmt: skip


@pytest.mark.parametrize("name", [*MODULES, *FUNCTIONS])
def test_draws_what_pytorch_draws(name: str) -> None:
    shape, module = MODULES[FUNCTIONS.get(name, name)]
    ex = Example((shape,), {"p": 0.3})
    (x,) = tensors(ex, SIZES)
    ours = built(name, ex)[1].train()
    torch.manual_seed(5)
    actual = ours(x)
    torch.manual_seed(5)
    wanted = module.train()(x)
    assert not torch.equal(actual, x)
    torch.testing.assert_close(actual, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["row", "batch"])
def test_stochastic_depth_drops_rows_and_scales_the_rest(mode: str) -> None:
    ours = built("StochasticDepth", Example(("N 8",), {"p": 0.25, "mode": mode}))[1].train()
    torch.manual_seed(0)
    scales = [ours(torch.ones(64, 8)) for _ in range(64)]
    for scale in scales:
        assert torch.equal(scale, scale[:, :1].expand(64, 8))
        assert set(scale.unique().tolist()) <= {0.0, torch.tensor(1 / 0.75).item()}
    varies = [len(scale.unique()) > 1 for scale in scales]
    assert all(varies) if mode == "row" else not any(varies)
    kept = torch.stack(scales).count_nonzero() / (64 * 64 * 8)
    assert abs(kept - 0.75) < (0.03 if mode == "row" else 0.2)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_stochastic_depth_at_its_ends(p: float) -> None:
    ours = built("StochasticDepth", Example(("N 8",), {"p": p, "mode": "row"}))[1].train()
    x = torch.randn(5, 8)
    torch.testing.assert_close(ours(x), x * (1 - p), rtol=0, atol=0)


@pytest.mark.parametrize("std", [0.5, None])
def test_normal_sample_draws_and_lets_gradients_through(std: float | None) -> None:
    ex = Example(("N 8", "N 8"), {}) if std is None else Example(("N 8",), {"std": std})
    ours = built("normal_sample", ex)[1].train()
    mean = torch.full((3, 8), 2.0, requires_grad=True)
    spread = [] if std else [torch.full((3, 8), 0.25, requires_grad=True)]
    torch.manual_seed(5)
    actual = ours(mean, *spread)
    torch.manual_seed(5)
    noise = torch.randn(3, 8)
    torch.testing.assert_close(actual, 2.0 + (std or 0.25) * noise, rtol=0, atol=0)
    actual.sum().backward()
    assert mean.grad is not None
    assert torch.equal(mean.grad, torch.ones(3, 8))
    assert all(torch.equal(s.grad, noise) for s in spread)
    assert torch.equal(ours.eval()(mean, *spread), mean)
