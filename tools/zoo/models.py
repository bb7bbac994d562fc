"""Well-known kinds of models that no library has under one name, and references for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from zoo import written, written_images
from zoo.original import Original, Tensors, call_by_position

CATEGORIES = (9, 16, 7, 15, 6, 5, 2, 42)


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    """Normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def counts(high: int, *shape: int, low: int = 0, seed: int = 2) -> torch.Tensor:
    """Integers from `low` to below `high`."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed))


def call_by_name(module: torch.nn.Module, inputs: Tensors) -> Tensors:
    """The call of a model that names its results itself."""
    made: Tensors = module(*inputs.values())
    return made


def _image(*shape: int) -> Callable[[], Tensors]:
    return lambda: {"image": normal(*shape)}


def _sentence() -> Tensors:
    return {"tokens": counts(5000, 3, 11)}


def _sentence_with_states() -> Tensors:
    return {
        "tokens": counts(10_000, 3, 7), "h_0": normal(2, 3, 200), "c_0": normal(2, 3, 200, seed=3),
    }  # fmt: skip


def _pairs() -> Tensors:
    query, document = counts(5000, 4, 6), counts(5000, 4, 13, seed=3)
    query[:, 4:] = document[1, 5:] = 0
    # Without a word the mean is zero, whatever the weights.
    document[2] = 0
    return {"query": query, "document": document}


def _diffusion() -> Tensors:
    return {
        "noisy": normal(2, 3, 16, 20), "timestep": torch.tensor([700, 19]),
        "previous": torch.tensor([650, -1]),
    }  # fmt: skip


def _table() -> Tensors:
    columns = [counts(size, 5, seed=i) for i, size in enumerate(CATEGORIES)]
    return {"category": torch.stack(columns, 1), "number": normal(5, 6)}


def _original(
    name: str, make: Callable[[], torch.nn.Module], inputs: Callable[[], Tensors], *small: str,
    call: Callable[[torch.nn.Module, Tensors], Tensors] = call_by_name,
    parameters: int | None = None, tolerance: float = 0.0, reason: str = "",
) -> Original:  # fmt: skip
    return Original(
        spec=f"models/{name}.json", library="", make=make, inputs=inputs, call=call, small=small,
        parameters=parameters, tolerance=tolerance, reason=reason,
    )  # fmt: skip


ORIGINALS = [
    _original(
        "unet", written_images.UNet, _image(1, 3, 32, 48), "params.width=4", "dims.height.max=48",
        "dims.breadth.max=48", "dims.height.example=32", "dims.breadth.example=16",
        call=call_by_position,
    ),
    _original(
        "lstm_language_model", written.LstmLanguageModel, _sentence_with_states,
        "params.words=60", "params.width=12",
    ),
    _original("gru_tagger", written.GruTagger, _sentence, "params.words=50", call=call_by_position),
    _original("two_tower", written.TwoTower, _pairs, "params.words=50"),
    _original(
        "variational_autoencoder", written.VariationalAutoencoder,
        lambda: {"image": normal(3, 64).abs() * 5},
    ),
    _original(
        "diffusion_unet", written_images.DiffusionUNet, _diffusion, "params.width=16",
        "dims.height.max=24", "dims.breadth.max=24",
    ),
    _original(
        "detector", written_images.Detector, _image(2, 3, 64, 96), "params.width=4",
        "params.classes=3", "dims.height.max=96", "dims.breadth.max=96",
    ),
    _original("mixture_of_experts", written.MixtureOfExperts, lambda: {"x": normal(2, 9, 64)}),
    _original(
        "mlp_mixer", written.MlpMixer, _image(1, 3, 224, 224), "params.size=32", "params.width=24",
        "params.depth=2", "params.classes=9", "params.tokens_width=8", "params.channels_width=48",
        call=call_by_position, parameters=59_880_472,
    ),
    _original(
        "tab_transformer", partial(written.TabTransformer, CATEGORIES, 6), _table, "params.depth=2",
        call=call_by_position,
    ),
    _original(
        "vit", partial(written.Vit, 384, 6), _image(1, 3, 224, 224), "params.size=32",
        "params.width=48", "params.depth=2", "params.classes=9", call=call_by_position,
        parameters=22_050_664,
    ),
    _original(
        "vit_tiny", partial(written.Vit, 192, 3), _image(1, 3, 224, 224), "params.size=32",
        "params.width=48", "params.depth=2", "params.classes=9", call=call_by_position,
        parameters=5_717_416,
    ),
    _original("conv_autoencoder", written_images.ConvAutoencoder, _image(2, 1, 24, 40)),
]  # fmt: skip
