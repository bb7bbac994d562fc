"""Sizes of axes by keyword, as einops takes them, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from specc.api.checking import check
from specc.api.model import load


def spec(layer: dict[str, Any]) -> dict[str, Any]:
    return {"specc": 1, "name": "m", "inputs": {"x": {"shape": ["n", 8]}}, "layers": [layer]}


@pytest.mark.parametrize(
    ("formula", "same"),
    [
        ('rearrange(x, "n (h d) -> h n d", h=2)', lambda x: x.reshape(-1, 2, 4).permute(1, 0, 2)),
        ('reduce(x, "n (h d) -> n h", "max", d=4)', lambda x: x.reshape(-1, 2, 4).amax(2)),
        ('repeat(x, "n d -> n a d b", a=2, b=3)',
         lambda x: x[:, None, :, None].expand(-1, 2, -1, 3)),
        ('repeat(x, "n d -> n a d", a=x.shape[1] // 4)', lambda x: x[:, None].expand(-1, 2, -1)),
    ],
)  # fmt: skip
def test_a_formula_gives_sizes_of_axes_by_keyword(formula: str, same: Any) -> None:
    x = torch.randn(3, 8)
    assert torch.equal(load(spec({"formula": formula})).compile()(x), same(x))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"op": "rearrange", "pattern": "n (h d) -> n h d", "axes": {"h": 0}},
         "`h` must be at least 1, got `0`"),
        ({"op": "rearrange", "pattern": "n (h d) -> n h d", "axes": {"h": "${1 - 1}"}},
         "`h` must be at least 1, got `0`"),
        ({"op": "rearrange", "pattern": "n (h d) -> n h d", "axes": {"h": "two"}},
         '`h` must be an integer, at least 1, got `"two"`'),
        ({"op": "rearrange", "pattern": "n (h d) -> n h d", "axes": 2},
         "`axes` must be an object, got `2`"),
        ({"formula": 'rearrange(x, "n (h d) -> n h d", h=0)'},
         "`axes` of `rearrange` has a wrong `h`: it must be at least 1, got `0`"),
        ({"formula": 'rearrange(x, "n (h d) -> n h d", q=2)'}, "`q` is not in the pattern"),
        ({"formula": "softmax(x, dimm=1)"}, "`softmax` has no parameter `dimm`"),
    ],
)  # fmt: skip
def test_a_wrong_size_is_told_by_its_own_name(layer: dict[str, Any], message: str) -> None:
    assert [d.message for d in check(spec(layer)).items] == [message]


def test_a_wrong_parameter_says_nothing_of_inputs_given_by_name() -> None:
    layer = {"op": "Conv1d", "out_channels": "many", "kernel_size": 1, "from": {"input": "x"}}
    assert len(check(spec(layer)).items) == 1
