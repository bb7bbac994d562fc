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
    _LIBRARY.extend([torch.library.Library("torchvision", "DEF")])
    for schema in OPERATORS:
        _LIBRARY[0].define(schema)
    import torchvision.models as models

    return models


# Definitions last as long as the library object does.
_LIBRARY: list[torch.library.Library] = []


def image(batch: int, height: int, width: int) -> Tensors:
    """A batch of random images."""
    generator = torch.Generator().manual_seed(1)
    return {"image": torch.randn(batch, 3, height, width, generator=generator)}


def _maker(name: str, settings: dict[str, Any]) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        made = getattr(torchvision_models(), name)(weights=None, **settings)
        assert isinstance(made, torch.nn.Module)
        return made

    return make


SMALL_IMAGE = ("dims.height.example=40", "dims.width.example=40", "params.num_classes=8")


def _model(
    name: str, parameters: int, *, size: tuple[int, int] = (64, 72),
    small: tuple[str, ...] = SMALL_IMAGE, settings: dict[str, Any] | None = None,
) -> Original:  # fmt: skip
    return Original(
        spec=f"vision/{name}.json", library="torchvision", make=_maker(name, settings or {}),
        inputs=lambda: image(2, *size), parameters=parameters, small=small,
    )  # fmt: skip


ORIGINALS = [
    _model("resnet18", 11_689_512),
    _model("resnet34", 21_797_672),
    _model("resnet50", 25_557_032),
    _model("resnet101", 44_549_160),
    _model("resnet152", 60_192_808),
    _model("resnext50_32x4d", 25_028_904),
    _model("resnext101_32x8d", 88_791_336),
    _model("resnext101_64x4d", 83_455_272),
    _model("wide_resnet50_2", 68_883_240),
    _model("wide_resnet101_2", 126_886_696),
]
