"""What generated modules live through: compiling, exporting, copying, other layouts, no memory."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from zoo.original import SPECS
from zoo.settling import settle

from specc.api.model import Model, load
from specc.parity.perturb import perturbed

Checked = Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]

SMALL = {
    "resnet50": ["params.depths=[1, 1, 1, 1]", "params.width_per_group=8"],
    "squeezenet1_1": [],
    "mobilenet_v3_small": [],
    "vit_b_16": [
        "params.image_size=64", "params.num_layers=2", "params.hidden_dim=32",
        "params.num_heads=2", "params.mlp_dim=64",
    ],
}  # fmt: skip


@cache
def small_model(name: str) -> Model:
    return load(SPECS / f"vision/{name}.json", [*SMALL[name], "params.num_classes=5"])


@pytest.fixture(autouse=True)
def _one_way_to_attend() -> Iterator[None]:
    """Called directly, `nn.MultiheadAttention` runs a fused kernel that tracing does not see."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def module_of(name: str) -> torch.nn.Module:
    """The module with weights that make a difference: a fresh head may be all zeros."""
    module = perturbed(small_model(name).compile(seed=0).eval(), seed=0)
    settle(module, lambda: module(image(8)))
    return module


def image(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def compiled(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    torch.compiler.reset()
    made = torch.compile(module, fullgraph=True, backend="eager")(x)
    assert isinstance(made, torch.Tensor)
    return made


def exported(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
    assert program.module()(torch.cat([x, x])).shape == (2 * len(x), 5)
    made = program.module()(x)
    assert isinstance(made, torch.Tensor)
    return made


def copied(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    made = other(x)
    assert isinstance(made, torch.Tensor)
    return made


def pickled(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    state = pickle.loads(pickle.dumps(module.state_dict()))
    return _with_state(module, state, x)


def saved(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    return _with_state(module, torch.load(file, weights_only=True), x)


def _with_state(
    module: torch.nn.Module, state: dict[str, torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    other = type(module)().eval()
    other.load_state_dict(state, strict=True)
    made = other(x)
    assert isinstance(made, torch.Tensor)
    return made


def built_without_memory(module: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.device("meta"):
        other = type(module)().eval()
    assert {tensor.device.type for tensor in other.state_dict().values()} == {"meta"}
    assert other(x.to("meta")).shape == (len(x), 5)
    other.load_state_dict(module.state_dict(), strict=True, assign=True)
    made = other(x)
    assert isinstance(made, torch.Tensor)
    return made


EXACT: list[Checked] = [compiled, exported, copied, pickled, saved, built_without_memory]
each_model = pytest.mark.parametrize("name", SMALL)


@pytest.mark.slow
@each_model
@pytest.mark.parametrize("way", EXACT)
def test_the_same_outputs_after(way: Checked, name: str) -> None:
    module = module_of(name)
    with torch.no_grad():
        wanted = module(image())
        found = way(module, image())
    assert not torch.allclose(wanted[0], wanted[1], rtol=1e-2)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@each_model
def test_channels_last(name: str) -> None:
    module = module_of(name)
    with torch.no_grad():
        wanted = module(image())
        module.to(memory_format=torch.channels_last)
        found = module(image().to(memory_format=torch.channels_last))
    # The convolutions of this layout add in another order.
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@each_model
def test_gradients_reach_every_parameter(name: str) -> None:
    module = module_of(name).train()
    module(image()).square().sum().backward()
    without = [key for key, p in module.named_parameters() if p.grad is None]
    assert without == []
