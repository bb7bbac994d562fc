"""The printed form of a graph, as goldens show it."""

from __future__ import annotations

from specc.api.model import load
from specc.ir.text import graph_text

SPEC = {
    "specc": 1,
    "name": "net",
    "dims": {"h": {"multiple_of": 2}},
    "inputs": {"x": {"shape": ["batch", 3, "h", 8]}},
    "blocks": {
        "conv": {
            "params": {"channels": None},
            "layers": [{"op": "Conv2d", "out_channels": "${channels}", "kernel_size": 1}, "ReLU"],
        }
    },
    "layers": [
        {"name": "body", "block": "conv", "channels": 3, "repeat": 2},
        {"name": "again", "share": "body.1"},
        {"name": "pool", "op": "MaxPool2d", "kernel_size": 2},
        {"name": "scaled", "formula": "pool * 2"},
    ],
    "outputs": {"small": "scaled", "extra": {"from": "again", "train_only": True}},
}

GOLDEN = """\
graph net(x: float32(batch, 3, h, 8))
  body.0: float32(batch, 3, h, 8) = call conv(channels=3) of (x)
    graph conv(x: float32(batch, 3, h, 8))
      0: float32(batch, 3, h, 8) = Conv2d(out_channels=3, kernel_size=1) of (x)
          weight: float32(3, 3, 1, 1)
          bias: float32(3,)
      1: float32(batch, 3, h, 8) = ReLU() of (0)
      return it = 1
  body.1: float32(batch, 3, h, 8) = call conv(channels=3) of (body.0)
    graph conv(x: float32(batch, 3, h, 8))
      0: float32(batch, 3, h, 8) = Conv2d(out_channels=3, kernel_size=1) of (x)
          weight: float32(3, 3, 1, 1)
          bias: float32(3,)
      1: float32(batch, 3, h, 8) = ReLU() of (0)
      return it = 1
  again: float32(batch, 3, h, 8) = call conv(channels=3) of (body.1) sharing body.1
    graph conv(x: float32(batch, 3, h, 8))
      0: float32(batch, 3, h, 8) = Conv2d(out_channels=3, kernel_size=1) of (x)
          weight: float32(3, 3, 1, 1)
          bias: float32(3,)
      1: float32(batch, 3, h, 8) = ReLU() of (0)
      return it = 1
  pool: float32(batch, 3, h//2, 4) = MaxPool2d(kernel_size=2) of (again)
  scaled/scalar_1: int64() = scalar(value=2) of ()
  scaled: float32(batch, 3, h//2, 4) = mul() of (pool, scaled/scalar_1)
  return small = scaled
  return extra = again (training only)
"""


def test_a_graph_as_text() -> None:
    assert graph_text(load(SPEC).graph) == GOLDEN
