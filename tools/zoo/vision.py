"""The vision models of torchvision, with the numbers of parameters that it publishes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from zoo.original import MissingLibraryError, Original, Tensors

# torchvision's operators, which a torch of another build than the one it was compiled for cannot
# load. None of the models here uses them, but importing torchvision wants to know them.
OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


@cache
def torchvision_models() -> Any:
    """The module `torchvision.models`; raises `MissingLibraryError` without it."""
    import importlib.util

    if importlib.util.find_spec("torchvision") is None:
        raise MissingLibraryError("torchvision is not installed: pip install 'specc[zoo]'")
    try:
        import torchvision.models as models
    except RuntimeError as fault:
        if "torchvision::nms" not in str(fault):
            raise MissingLibraryError(f"torchvision cannot be imported: {fault}") from fault
        models = _imported_without_operators()
    return models


def _imported_without_operators() -> Any:
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    _KEPT.append(library)
    for schema in OPERATORS:
        library.define(schema)
    import torchvision.models as models

    return models


# Definitions last as long as the library object does.
_KEPT: list[torch.library.Library] = []


def image(batch: int, height: int, width: int) -> Tensors:
    """A batch of random images."""
    generator = torch.Generator().manual_seed(1)
    return {"image": torch.randn(batch, 3, height, width, generator=generator)}


def _maker(name: str) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        made = getattr(torchvision_models(), name)(weights=None)
        assert isinstance(made, torch.nn.Module)
        return made

    return make


def _model(
    name: str,
    parameters: int,
    *,
    size: int = 64,
    small: tuple[str, ...] = (),
) -> Original:
    """A model at an image of nearly square `size`; `small` makes the proof of its export quick."""
    classes = ("params.num_classes=8", "dims.batch.example=2")
    symbolic = ("dims.height.example=48", "dims.width.example=40")
    fixed = size == FIXED
    return Original(
        spec=f"vision/{name}.json", library="torchvision", make=_maker(name),
        inputs=lambda: image(2, size, size if fixed else size + 8), parameters=parameters,
        small=classes + small if fixed else classes + symbolic + small,
    )  # fmt: skip


FIXED = 224
"""The only image size of models that do not pool to one pixel."""
SHALLOW = ("params.depths=[1, 2, 2, 1]",)
SMALL_EFFICIENT = ("params.depth_mult=1.0", "params.layers=[1, 2, 1, 2, 1, 1, 1]")
SMALL_ALEXNET = ("params.image_size=64", "params.hidden=64")
SMALL_VGG = (*SMALL_ALEXNET, "params.channels=[16, 24, 32, 48, 48]")
SMALL_VIT = (
    "params.image_size=64", "params.num_layers=2", "params.hidden_dim=64", "params.num_heads=4",
    "params.mlp_dim=128",
)  # fmt: skip

ORIGINALS = [
    _model("alexnet", 61_100_840, size=FIXED, small=SMALL_ALEXNET),
    _model("vgg11", 132_863_336, size=FIXED, small=SMALL_VGG),
    _model("vgg13", 133_047_848, size=FIXED, small=SMALL_VGG),
    _model("vgg16", 138_357_544, size=FIXED, small=SMALL_VGG),
    _model("vgg19", 143_667_240, size=FIXED, small=SMALL_VGG),
    _model("vgg11_bn", 132_868_840, size=FIXED, small=SMALL_VGG),
    _model("vgg13_bn", 133_053_736, size=FIXED, small=SMALL_VGG),
    _model("vgg16_bn", 138_365_992, size=FIXED, small=SMALL_VGG),
    _model("vgg19_bn", 143_678_248, size=FIXED, small=SMALL_VGG),
    _model("resnet18", 11_689_512),
    _model("resnet34", 21_797_672, small=SHALLOW),
    _model("resnet50", 25_557_032),
    _model("resnet101", 44_549_160, small=SHALLOW),
    _model("resnet152", 60_192_808, small=SHALLOW),
    _model("resnext50_32x4d", 25_028_904, small=SHALLOW),
    _model("resnext101_32x8d", 88_791_336, small=SHALLOW),
    _model("resnext101_64x4d", 83_455_272, small=SHALLOW),
    _model("wide_resnet50_2", 68_883_240, small=SHALLOW),
    _model("wide_resnet101_2", 126_886_696, small=SHALLOW),
    _model("squeezenet1_0", 1_248_424),
    _model("squeezenet1_1", 1_235_496),
    _model("mobilenet_v2", 3_504_872),
    _model("mobilenet_v3_small", 2_542_856),
    _model("mobilenet_v3_large", 5_483_032),
    _model("efficientnet_b0", 5_288_548),
    _model("efficientnet_b1", 7_794_184, small=SMALL_EFFICIENT),
    _model("efficientnet_b2", 9_109_994, small=SMALL_EFFICIENT),
    _model("efficientnet_b3", 12_233_232, small=SMALL_EFFICIENT),
    _model("efficientnet_b4", 19_341_616, small=SMALL_EFFICIENT),
    _model("efficientnet_b5", 30_389_784, small=SMALL_EFFICIENT),
    _model("efficientnet_b6", 43_040_704, small=SMALL_EFFICIENT),
    _model("efficientnet_b7", 66_347_960, small=SMALL_EFFICIENT),
    _model("convnext_tiny", 28_589_128),
    _model("convnext_small", 50_223_688, small=SHALLOW),
    _model("convnext_base", 88_591_464, small=SHALLOW),
    _model("convnext_large", 197_767_336, small=SHALLOW),
    _model("vit_b_16", 86_567_656, size=FIXED, small=SMALL_VIT),
    _model("vit_b_32", 88_224_232, size=FIXED, small=SMALL_VIT),
    _model("vit_l_16", 304_326_632, size=FIXED, small=SMALL_VIT),
    _model("vit_l_32", 306_535_400, size=FIXED, small=SMALL_VIT),
    _model("vit_h_14", 632_045_800, size=FIXED, small=(*SMALL_VIT, "params.image_size=56")),
]
