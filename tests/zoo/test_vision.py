"""The vision models: valid, as large as published, and the same as torchvision's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from check_zoo import check as compare
from zoo.original import SPECS, MissingLibraryError, Original
from zoo.vision import ORIGINALS, torchvision_models

from specc.api.checking import check
from specc.api.model import load

NAMES = [original.name for original in ORIGINALS]
FAMILIES = {
    "alexnet", "vgg16", "resnet50", "squeezenet1_0", "mobilenet_v2", "mobilenet_v3_large",
    "efficientnet_b0", "convnext_tiny", "vit_b_16",
}  # fmt: skip
every = pytest.mark.parametrize("about", ORIGINALS, ids=NAMES)


@pytest.fixture(scope="session")
def models() -> Any:
    try:
        return torchvision_models()
    except MissingLibraryError as fault:
        pytest.skip(str(fault))


def test_every_spec_has_its_original() -> None:
    assert sorted(NAMES) == sorted(path.stem for path in (SPECS / "vision").glob("*.json"))


@every
def test_valid(about: Original) -> None:
    assert check(about.path).items == []


@every
def test_parameters_are_as_many_as_published(about: Original) -> None:
    assert load(about.path).summary().parameters == about.parameters


@every
def test_a_variant_says_only_what_differs(about: Original) -> None:
    spec = json.loads(about.path.read_text("utf-8"))
    assert ("extends" not in spec) == (about.name in FAMILIES)
    if "extends" in spec:
        assert "layers" not in spec
        assert len(about.path.read_text("utf-8").splitlines()) <= 26


SETTINGS = ("eps", "momentum", "p", "mode", "kernel_size", "stride", "padding", "ceil_mode")
"""What a layer may say that its weights do not show; some of it counts in training only."""


def settings(module: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """The settings of every layer by its path and class."""
    found = {
        f"{path} {type(part).__name__}": {k: getattr(part, k) for k in SETTINGS if hasattr(part, k)}
        for path, part in module.named_modules()
        if type(part).__module__.startswith("torch.nn.") or "Stochastic" in type(part).__name__
    }
    return {name: values for name, values in found.items() if values}


@every
def test_layers_and_weights_are_those_of_torchvision(about: Original, models: Any) -> None:
    with torch.device("meta"):
        original = getattr(models, about.name)(weights=None)
        module = load(about.path).compile()
    wanted = [(name, tuple(tensor.shape)) for name, tensor in original.state_dict().items()]
    assert [(name, tuple(t.shape)) for name, t in module.state_dict().items()] == wanted
    theirs, ours = settings(original), settings(module)
    # torchvision has a stochastic depth also where there is nothing to skip.
    missing = {name for name in theirs if name not in ours}
    assert {name.split()[1] for name in missing} <= {"StochasticDepth"}
    assert {name: ours[name] for name in ours if name in theirs} == {
        name: theirs[name] for name in ours if name in theirs
    }
    assert len(missing) < len(theirs) / 4


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_small_models_compute_the_same(name: str) -> None:
    about = ORIGINALS[NAMES.index(name)]
    assert compare(about, onnx=False).problems == []


@pytest.mark.usefixtures("models")
def test_a_setting_that_is_wrong_is_found() -> None:
    about = ORIGINALS[NAMES.index("mobilenet_v3_small")]

    def altered() -> torch.nn.Module:
        made = about.make()
        norm = made.get_submodule("features.3.block.1.1")
        assert isinstance(norm, torch.nn.BatchNorm2d)
        norm.eps *= 1.01
        return made

    problems = compare(replace(about, make=altered), onnx=False).problems
    assert [text.split(" by ")[0] for text in problems] == ["outputs differ"]
    problems = compare(replace(about, parameters=1), onnx=False).problems
    assert problems == ["parameters: published are 1"]


MOST = 150_000_000
"""Models of more parameters are left to tools/check_zoo.py."""
SIZED = [o for o in ORIGINALS if (o.parameters or 0) <= MOST]


@pytest.mark.slow
@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("about", SIZED, ids=[o.name for o in SIZED])
def test_the_same_outputs_bit_for_bit(about: Original) -> None:
    result = compare(about, onnx=False)
    assert result.problems == []
    assert result.difference == "0"


STARTS = ["resnet18", "vgg11_bn", "squeezenet1_0", "mobilenet_v2", "efficientnet_b0",
          "convnext_tiny", "vit_b_32"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", STARTS)
def test_fresh_weights_are_drawn_as_torchvision_draws_them(name: str, models: Any) -> None:
    torch.manual_seed(0)
    wanted = getattr(models, name)(weights=None).state_dict()
    found = load(SPECS / f"vision/{name}.json").compile(seed=1).state_dict()
    for key, tensor in wanted.items():
        ours, theirs = found[key].double(), tensor.double()
        spread = float(theirs.std(correction=0))
        # Of n numbers the deviation is known to about 1 / sqrt(2n); five times that is certain.
        slack = 5 * spread * (2 / tensor.numel()) ** 0.5 + 1e-12
        assert abs(float(ours.std(correction=0)) - spread) <= slack, key
        assert abs(float(ours.mean() - theirs.mean())) <= 2 * slack, key
