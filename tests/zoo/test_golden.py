"""The generated source of known models, word for word.

`SPECC_REWRITE=1` writes it anew; the difference is then for a person to read.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
from zoo.original import SPECS, MissingLibraryError
from zoo.vision import torchvision_models

from specc.api.model import load

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = [
    "vision/resnet50", "vision/squeezenet1_1", "vision/mobilenet_v2", "vision/convnext_tiny",
    "vision/vit_b_16", "language/gpt2", "language/bert", "language/llama3_8b_decode",
    "language/t5_small", "audio/whisper_tiny_encoder",
]  # fmt: skip


def golden(name: str) -> Path:
    return GOLDEN / f"{Path(name).name}.py"


@pytest.mark.parametrize("name", MODELS)
def test_generated_source(name: str) -> None:
    source = load(SPECS / f"{name}.json").source()
    if os.environ.get("SPECC_REWRITE"):
        GOLDEN.mkdir(exist_ok=True)
        golden(name).write_text(source, "utf-8")
    assert source == golden(name).read_text("utf-8")


def test_resnet_is_shorter_than_the_classes_of_torchvision() -> None:
    try:
        resnet = inspect.getmodule(torchvision_models().resnet50)
    except MissingLibraryError as fault:
        pytest.skip(str(fault))
    parts = [resnet.conv3x3, resnet.conv1x1, resnet.BasicBlock, resnet.Bottleneck, resnet.ResNet]  # type: ignore[union-attr]
    theirs = sum(len(inspect.getsource(part).splitlines()) for part in parts)
    sources = [load(SPECS / f"vision/{name}.json").source() for name in ("resnet50", "resnet152")]
    assert max(len(source.splitlines()) for source in sources) < theirs / 2
