"""What the examples do not show: refusals, every window of `ceil_mode`, borders of `nearest`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from specc.ir.dims import evaluate, symbol
from specc.ir.types import DType, OpError, TensorType
from specc.ops import REGISTRY
from specc.ops.op import Example
from specc.passes.resolve import resolve
from specc.runtime.build import compile_graph
from specc.runtime.export import model_bytes, onnx_model
from specc.spec.load import load_spec
from specc.targets.onnx_graph import onnx_graph
from tests.ops.test_ops import _session, built

N = symbol("N")
L = symbol("L")

REFUSED: list[tuple[str, tuple[Any, ...], dict[str, Any], str, str | None]] = [
    ("Conv2d", (N, 3, 8, 8), {"out_channels": 4, "kernel_size": 9}, "T405", None),
    ("Conv2d", (N, 3, 8, 8, 8), {"out_channels": 4, "kernel_size": 3}, "T402", None),
    ("Conv2d", (N, 28, 28), {"out_channels": 4, "kernel_size": 3}, "T402", None),
    ("Conv2d", (N, L, 8, 8), {"out_channels": 4, "kernel_size": 3}, "T403", None),
    ("Conv2d", (N, 3, 8, 8), {"out_channels": 4, "kernel_size": 3, "groups": 2}, "T411", "groups"),
    ("Conv2d", (N, 4, 8, 8),
     {"out_channels": 3, "kernel_size": 3, "groups": 2}, "T411", "out_channels"),
    ("Conv1d", (N, 4, 8),
     {"out_channels": 4, "kernel_size": 3, "stride": 2, "padding": "same"}, "S113", "stride"),
    ("Conv1d", (N, 4, 3),
     {"out_channels": 4, "kernel_size": 3, "padding": 3, "padding_mode": "reflect"}, "T405", None),
    ("ConvTranspose1d", (N, 4, 8),
     {"out_channels": 4, "kernel_size": 3, "output_padding": 1}, "S113", "output_padding"),
    ("ConvTranspose1d", (N, 4, 1),
     {"out_channels": 4, "kernel_size": 3, "padding": 2}, "T405", None),
    ("MaxPool2d", (N, 4, 8, 8), {"kernel_size": 2, "padding": 2}, "S113", "padding"),
    ("MaxPool2d", (N, 4, 2, 2), {"kernel_size": 3}, "T405", None),
    ("AvgPool3d", (N, 4, 2, 5, 5), {"kernel_size": 3, "padding": 1}, "T405", "kernel_size"),
    ("AdaptiveAvgPool2d", (N, 4, L, 8), {"output_size": 3}, "T403", "output_size"),
    ("ReflectionPad1d", (N, 4, 3), {"padding": 3}, "T405", None),
    ("CircularPad1d", (N, 4, 3), {"padding": 4}, "T405", None),
    ("pad", (N, 4), {"pad": (1, 2, 3)}, "S113", "pad"),
    ("pad", (N, 4), {"pad": (-3, -2)}, "T405", None),
    ("pad", (N, 4), {"pad": (1, 1, 1, 1), "mode": "reflect"}, "T402", None),
    ("interpolate", (N, 4, 8, 8), {}, "S113", None),
    ("interpolate", (N, 4, 8, 8), {"size": 4, "scale_factor": 2}, "S113", None),
    ("interpolate", (N, 4, 8, 8), {"size": 4, "mode": "linear"}, "T402", None),
    ("interpolate", (N, 4, 8, 8), {"size": 4, "align_corners": True}, "S113", "align_corners"),
    ("interpolate", (N, 4, 8, 8), {"size": (4, 4, 4)}, "S113", "size"),
    ("interpolate", (N, 4, L), {"scale_factor": 0.3}, "T403", "scale_factor"),
    ("interpolate", (N, 4, L), {"size": 3, "mode": "area"}, "T403", "size"),
    ("PixelShuffle", (N, 6, 8, 8), {"upscale_factor": 2}, "T411", "upscale_factor"),
    ("PixelUnshuffle", (N, 6, L, 8), {"downscale_factor": 2}, "T411", "downscale_factor"),
    ("ChannelShuffle", (N, 6, L, 8), {"groups": 4}, "T411", "groups"),
    ("Fold", (N, 8, 14), {"output_size": (4, 6), "kernel_size": 2}, "T401", "output_size"),
    ("Unfold", (N, 8, 2, 2), {"kernel_size": 3}, "T405", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "shape", "params", "code", "blamed"), REFUSED, ids=[f"{r[0]}-{r[3]}" for r in REFUSED]
)
def test_refuses_what_pytorch_refuses_or_what_needs_fixed_sizes(
    name: str, shape: tuple[Any, ...], params: dict[str, Any], code: str, blamed: str | None
) -> None:
    with pytest.raises(OpError) as caught:
        REGISTRY[name](**params).infer(TensorType(DType.float32, shape))
    assert (caught.value.code, caught.value.param) == (code, blamed)


def test_int64_maxima_have_no_onnx_form() -> None:
    ex = Example(("int64: N 4 8 8",), {"kernel_size": 2})
    graph, _ = built("MaxPool2d", ex)
    with pytest.raises(OpError) as caught:
        onnx_graph(graph)
    assert caught.value.code == "T407"


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_unpooling_puts_the_maxima_back_where_pooling_found_them(axes: int) -> None:
    sizes = ["batch", 3, *([9, 8, 7][:axes])]
    made = {
        "specc": 1, "name": "there_and_back", "inputs": {"x": {"shape": sizes}},
        "layers": [
            {"name": "pool", "op": f"MaxPool{axes}d", "kernel_size": 2, "return_indices": True},
            {
                "op": f"MaxUnpool{axes}d", "kernel_size": 2, "from": ["pool.0", "pool.1"],
                "output_size": sizes[2:],
            },
        ],
    }  # fmt: skip
    spec, _ = load_spec(made)
    assert spec
    graph, found = resolve(spec)
    assert graph, found.items
    x = torch.randn(2, 3, *sizes[2:])
    pool = getattr(torch.nn, f"MaxPool{axes}d")(2, return_indices=True)
    wanted = getattr(torch.nn, f"MaxUnpool{axes}d")(2)(*pool(x), output_size=x.shape)
    module = compile_graph(graph)
    data = model_bytes(onnx_model(onnx_graph(graph, 17), module.state_dict()))
    (exported,) = _session(data).run(None, {"x": x.numpy()})
    assert torch.equal(module(x), wanted)
    assert torch.equal(torch.from_numpy(exported), wanted)


def test_unpooling_refuses_a_size_that_the_pooling_cannot_have_had() -> None:
    types = [TensorType(dtype, (2, 4, 4)) for dtype in (DType.float32, DType.int64)]
    with pytest.raises(OpError) as caught:
        REGISTRY["MaxUnpool1d"](kernel_size=2, output_size=(10,)).infer(*types)
    assert (caught.value.code, caught.value.param) == ("T405", "output_size")


@pytest.mark.parametrize("name", ["MaxPool1d", "AvgPool1d"])
def test_ceil_mode_gives_pytorchs_sizes_for_symbolic_inputs(name: str) -> None:
    tried = 0
    for k, s, p in itertools.product(range(1, 6), range(1, 7), range(3)):
        if p > k // 2:
            continue
        params = {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": True}
        found = REGISTRY[name](**params).infer(TensorType(DType.float32, (1, 4, L))).shape[-1]
        for size in range(k, 14):
            theirs = getattr(torch.nn, name)(**params)(torch.zeros(1, 4, size)).shape[-1]
            assert evaluate(found, {"L": size}) == theirs, (params, size)
            tried += 1
    assert tried > 500


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("text", ["1 1 {size}", "1 1 L"], ids=["static", "symbolic"])
def test_nearest_copies_the_same_elements_where_positions_fall_on_borders(
    mode: str, text: str
) -> None:
    for size, count in [(14, 2), (20, 12), (21, 3), (26, 4), (25, 60), (5, 205)]:
        ex = Example((text.format(size=size),), {"size": count, "mode": mode})
        graph, module = built("interpolate", ex)
        session = _session(model_bytes(onnx_model(onnx_graph(graph), module.state_dict())))
        x = torch.arange(float(size)).reshape(1, 1, size)
        (actual,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_array_equal(actual, F.interpolate(x, size=count, mode=mode).numpy())
