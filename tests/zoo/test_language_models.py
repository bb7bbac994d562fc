"""Language, speech, and images with text: valid, as large as published, the same as originals."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from check_zoo import Result, prove_onnx
from check_zoo import check as compare
from zoo.language import ORIGINALS, transformers
from zoo.original import SPECS, MissingLibraryError, Original

import specc
from specc.api.checking import check
from specc.api.model import load
from specc.ir.dims import evaluate

NAMES = [original.name for original in ORIGINALS]
FOLDERS = ("language", "multimodal", "audio")
FAMILIES = [
    "gpt2", "bert", "llama3_8b", "llama3_8b_decode", "t5_small", "clip_vit_b_32",
    "whisper_tiny_encoder",
]  # fmt: skip
every = pytest.mark.parametrize("about", ORIGINALS, ids=NAMES)
every_family = pytest.mark.parametrize("name", FAMILIES)


def known(name: str) -> Original:
    return ORIGINALS[NAMES.index(name)]


@pytest.fixture(scope="session")
def library() -> Any:
    try:
        return transformers()
    except MissingLibraryError as fault:
        pytest.skip(str(fault))


def test_every_spec_has_its_original() -> None:
    found = [path.stem for folder in FOLDERS for path in (SPECS / folder).glob("*.json")]
    assert sorted(NAMES) == sorted(found)


@every
def test_valid(about: Original) -> None:
    assert check(about.path).items == []


@every
def test_parameters_are_as_many_as_published(about: Original) -> None:
    summary = load(about.path).summary()
    if about.parameters is None:
        assert about.spec.startswith("audio/")
    else:
        assert summary.parameters == about.parameters
    assert summary.example_flops > 0


@every
def test_a_variant_says_only_what_differs(about: Original) -> None:
    text = about.path.read_text("utf-8")
    assert ("layers" in json.loads(text)) == (about.name in FAMILIES)
    if about.name not in FAMILIES:
        assert len(text.splitlines()) <= 10


# -- against the originals -----------------------------------------------------------------------

DEFAULTS = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config"), "bert": ("BertModel", "BertConfig"),
    "llama2_7b": ("LlamaForCausalLM", "LlamaConfig"), "clip_vit_b_32": ("CLIPModel", "CLIPConfig"),
    "t5_small": ("T5ForConditionalGeneration", "T5Config"),
}  # fmt: skip
"""Specs of the sizes that an original has unless told otherwise."""


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFAULTS)
def test_weights_of_the_published_size_have_the_names_of_the_original(
    name: str, library: Any
) -> None:
    model, config = (getattr(library, n) for n in DEFAULTS[name])
    with torch.device("meta"):
        original, module = model(config()), load(known(name).path).compile()
    assert shapes(module) == shapes(original)
    count = sum(p.numel() for p in original.parameters())
    assert sum(p.numel() for p in module.parameters()) == count == known(name).parameters


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@every
def test_weights_have_the_names_of_the_original(about: Original) -> None:
    original = about.make()
    with torch.device("meta"):
        module = load(about.path, about.reduced).compile()
    assert shapes(module) == shapes(original)


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@every_family
def test_the_same_outputs_bit_for_bit(name: str) -> None:
    result = compare(known(name), onnx=False)
    assert result.problems == []
    assert result.difference == "0"


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("name", "change"),
    [("gpt2", "params.n_head=6"), ("tinyllama_1b", "params.rope_theta=10001"),
     ("tinyllama_1b", "params.eps=0.001"), ("llama3_2_1b", "params.rope_context=4096"),
     ("t5_small", "params.max_distance=120"), ("whisper_tiny_encoder", "params.num_heads=12")],
)  # fmt: skip
def test_another_model_is_told_apart(name: str, change: str) -> None:
    about = known(name)
    changed = Original(**{**vars(about), "reduced": (*about.reduced, change)})
    (problem,) = compare(changed, onnx=False).problems
    assert "differ by" in problem


STARTS = ["gpt2", "bert", "tinyllama_1b", "t5_small", "clip_vit_b_32", "whisper_tiny_encoder"]


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", STARTS)
def test_fresh_weights_are_drawn_as_the_original_draws_them(name: str) -> None:
    about = known(name)
    torch.manual_seed(0)
    wanted = about.make().state_dict()
    found = load(about.path, about.reduced).compile(seed=1).state_dict()
    for key, tensor in wanted.items():
        ours, theirs = found[key].double(), tensor.double()
        spread = float(theirs.std(correction=0))
        # Of n numbers the deviation is known to about 1 / sqrt(2n); five times that is certain.
        slack = 5 * spread * (2 / tensor.numel()) ** 0.5 + 1e-5
        assert abs(float(ours.std(correction=0)) - spread) <= slack, key
        assert abs(float(ours.mean() - theirs.mean())) <= 2 * slack, key


# -- by themselves -------------------------------------------------------------------------------


@pytest.mark.slow
@every_family
def test_the_export_is_proven(name: str) -> None:
    result = Result(name)
    prove_onnx(result, known(name))
    assert result.problems == []
    assert result.onnx == "pass"


def small(name: str, *sets: str) -> tuple[specc.Model, torch.nn.Module]:
    model = load(known(name).path, (*known(name).small, *sets))
    return model, model.compile(seed=0).eval()


def inputs(model: specc.Model, **sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for value in model.graph.inputs:
        shape = [evaluate(size, sizes) for size in value.type.shape]
        kind = str(value.type.dtype)
        if kind == "int64":
            made.append(torch.randint(2, shape, generator=generator))
        else:
            made.append(torch.ones(shape).bool() if kind == "bool" else torch.randn(shape))
    return made


SIZES = {"batch": 2, "seq": 5, "past": 4, "source": 6, "target": 5, "texts": 3, "length": 5,
         "images": 2}  # fmt: skip


@every_family
def test_gradients_reach_every_parameter(name: str) -> None:
    model, module = small(name)
    made = module.train()(*inputs(model, **SIZES))
    results = made.values() if isinstance(made, dict) else [made]
    sum(result.square().sum() for result in results).backward()
    without = [key for key, p in module.named_parameters() if p.grad is None]
    assert without == []


@every_family
def test_built_without_memory(name: str) -> None:
    model, module = small(name)
    with torch.device("meta"):
        other = type(module)().eval()
    assert {tensor.device.type for tensor in other.state_dict().values()} == {"meta"}
    other.load_state_dict(module.state_dict(), strict=True, assign=True)
    given = inputs(model, **SIZES)
    wanted, found = module(*given), other(*given)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.slow
@every_family
def test_compiled_as_one_graph(name: str) -> None:
    model, module = small(name)
    given = inputs(model, **SIZES)
    torch.compiler.reset()
    with torch.no_grad():
        wanted = module(*given)
        found = torch.compile(module, fullgraph=True, backend="eager")(*given)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["gpt2", "llama3_8b"])
def test_a_token_does_not_see_those_after_it(name: str) -> None:
    _, module = small(name)
    ids = torch.randint(50, (2, 9), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 50
    with torch.no_grad():
        first, second = module(ids), module(changed)
    assert torch.equal(first[:, :5], second[:, :5])
    assert not torch.equal(first[:, 5], second[:, 5])


def test_decoding_token_by_token_is_the_whole_at_once() -> None:
    _, whole = small("llama3_8b", "params.num_layers=1")
    _, step = small("llama3_8b_decode", "params.num_layers=1")
    step.load_state_dict(whole.state_dict(), strict=True)
    ids = torch.randint(50, (2, 6), generator=torch.Generator().manual_seed(0))
    body: Any = whole.model
    attention: Any = body.layers[0].self_attn
    with torch.no_grad():
        x = body.layers[0].input_layernorm(body.embed_tokens(ids[:, :1]))
        # At position 0 no feature is turned.
        keys = attention.k_proj(x).unflatten(-1, (2, -1)).transpose(1, 2)[None]
        values = attention.v_proj(x).unflatten(-1, (2, -1)).transpose(1, 2)[None]
        wanted = whole(ids)
        for position in range(1, 6):
            made = step(ids[:, position : position + 1], keys, values)
            keys, values = made["keys"], made["values"]
            torch.testing.assert_close(made["logits"][:, 0], wanted[:, position])
    assert keys.shape == (1, 2, 2, 6, 8)


def test_padding_changes_nothing_in_bert() -> None:
    _, module = small("bert")
    ids, types = torch.ones(1, 6, dtype=torch.int64), torch.ones(1, 6, dtype=torch.int64)
    mask = torch.ones(1, 6, dtype=torch.bool)
    longer = torch.cat([ids, 7 * torch.ones(1, 3, dtype=torch.int64)], 1)
    hidden = torch.cat([mask, torch.zeros(1, 3, dtype=torch.bool)], 1)
    with torch.no_grad():
        wanted = module(ids, mask, types)["last_hidden_state"]
        found = module(longer, hidden, torch.ones(1, 9, dtype=torch.int64))["last_hidden_state"]
    torch.testing.assert_close(found[:, :6], wanted)


def test_whispers_positions_are_sinusoids() -> None:
    module = load(known("whisper_tiny_encoder").path).compile()
    found = module.state_dict()["embed_positions.weight"].double().numpy()
    speeds = np.exp(-math.log(10_000) / 191 * np.arange(192))
    angles = np.arange(1500)[:, None] * speeds
    np.testing.assert_allclose(found, np.hstack([np.sin(angles), np.cos(angles)]), atol=2e-4)
    assert "embed_positions.weight" not in dict(module.named_parameters())


@pytest.mark.parametrize(("bidirectional", "buckets"), [(True, 16), (False, 32)])
def test_distances_are_numbered_as_in_the_paper(bidirectional: bool, buckets: int) -> None:
    _, module = small("t5_small")
    stack = module.encoder.near if bidirectional else module.decoder.number  # type: ignore[union-attr]
    found = stack(torch.arange(200)[None]).flatten().tolist()  # type: ignore[operator]
    near = buckets // 2
    # Exact arithmetic: steps begin at near * (128 / near) ** (k / near).
    steps = [math.ceil(near * (128 / near) ** (k / near) - 1e-9) for k in range(1, near)]
    assert found == [d if d < near else near + sum(d >= s for s in steps) for d in range(200)]
