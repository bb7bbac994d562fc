"""Models of language, of images with text, and of speech, as transformers has them.

The originals run with `attn_implementation="sdpa"`, which is the function that the specs call.
They have the published widths, so that matrix products take the ways of large ones, but few
layers and a small vocabulary, so that a machine has room for both models; the largest are compared
in smaller widths too. The numbers of parameters are those of the published sizes.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch

from zoo.original import MissingLibraryError, Original, Tensors
from zoo.vision import torchvision_models

VOCABULARY = 1000
OPSETS = (20, 23)

Sizes = Mapping[str, Any]


@cache
def transformers() -> Any:
    """The module `transformers`; raises `MissingLibraryError` without it."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingLibraryError("transformers is not installed: pip install 'specc[zoo]'")
    if importlib.util.find_spec("torchvision") is not None:
        torchvision_models()  # transformers imports it, which needs the care taken there
    return importlib.import_module("transformers")


def sets(**values: Any) -> tuple[str, ...]:
    """Changes of parameters, as of `--set`."""
    return tuple(f"params.{name}={value}" for name, value in values.items())


def _make(model: str, config: str, settings: Sizes) -> torch.nn.Module:
    library = transformers()
    made = getattr(library, model)(getattr(library, config)(**settings))
    assert isinstance(made, torch.nn.Module)
    return made


def maker(model: str, config: str, **settings: Any) -> Callable[[], torch.nn.Module]:
    """Builds a model of a configuration, both by the names of their classes."""
    fixed = {"attn_implementation": "sdpa", "use_cache": False}
    return partial(_make, model, config, {**fixed, **settings})


def tokens(batch: int, length: int, vocabulary: int = VOCABULARY) -> torch.Tensor:
    """Random token numbers."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(vocabulary, (batch, length), generator=generator)


def padding(batch: int, length: int) -> torch.Tensor:
    """A mask under which the last sequence is three tokens shorter than the others."""
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[-1, -3:] = False
    return mask


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def outputs(model: torch.nn.Module, inputs: Tensors, names: tuple[str, ...]) -> Tensors:
    """Some results of an original, which has the same names for its inputs."""
    made = model(**inputs)
    return {name: made[name] for name in names}


def gpt2(name: str, parameters: int, width: int, heads: int) -> Original:
    """GPT-2 of one size."""
    few = {"n_embd": width, "n_head": heads, "n_layer": 2, "vocab_size": VOCABULARY}
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=maker("GPT2LMHeadModel", "GPT2Config", **few, bos_token_id=0, eos_token_id=0),
        inputs=lambda: {"input_ids": tokens(2, 19)}, call=partial(outputs, names=("logits",)),
        reduced=sets(**few), opsets=OPSETS,
        small=(*sets(n_layer=2, n_embd=32, n_head=4, vocab_size=50, n_positions=24),
               "dims.seq.example=7"),
    )  # fmt: skip


def bert(name: str, parameters: int, width: int, heads: int) -> Original:
    """BERT of one size."""
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=maker(
            "BertModel", "BertConfig", hidden_size=width, num_attention_heads=heads,
            num_hidden_layers=2, intermediate_size=4 * width, vocab_size=VOCABULARY,
        ),
        inputs=lambda: {
            "input_ids": tokens(2, 19), "attention_mask": padding(2, 19),
            "token_type_ids": tokens(2, 19, 2),
        },
        call=partial(outputs, names=("last_hidden_state", "pooler_output")),
        reduced=sets(num_layers=2, vocab_size=VOCABULARY), opsets=OPSETS,
        small=(*sets(num_layers=2, hidden_size=32, num_heads=4, vocab_size=50, max_positions=24),
               "dims.seq.example=7"),
    )  # fmt: skip


SMALL_LLAMA = sets(
    num_layers=2, hidden_size=32, intermediate_size=48, num_heads=4, num_kv_heads=2, vocab_size=50,
    max_positions=24,
)  # fmt: skip


def llama_maker(sizes: Sizes, **settings: Any) -> Callable[[], torch.nn.Module]:
    """Llama of the sizes that the spec calls so."""
    return maker(
        "LlamaForCausalLM", "LlamaConfig", hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"], num_hidden_layers=sizes["num_layers"],
        num_attention_heads=sizes["num_heads"], num_key_value_heads=sizes["num_kv_heads"],
        vocab_size=sizes["vocab_size"], rms_norm_eps=1e-5, **settings,
    )  # fmt: skip


def rope(theta: float, factor: int = 1) -> Sizes:
    """The settings of the rotary embedding; a factor is that of Llama 3.1."""
    if factor == 1:
        return {"rope_type": "default", "rope_theta": theta}
    return {
        "rope_type": "llama3", "rope_theta": theta, "factor": factor, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    }  # fmt: skip


def llama(
    name: str, parameters: int, width: int, inner: int, heads: int, kv_heads: int, *,
    theta: float = 500_000.0, factor: int = 1, positions: int = 8192, tied: bool = False,
) -> Original:  # fmt: skip
    """Llama of one size."""
    few = {
        "hidden_size": width, "intermediate_size": inner, "num_layers": 1, "num_heads": heads,
        "num_kv_heads": kv_heads, "vocab_size": VOCABULARY,
    }  # fmt: skip
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=llama_maker(
            few, rope_parameters=rope(theta, factor), tie_word_embeddings=tied,
            max_position_embeddings=positions,
        ),
        inputs=lambda: {"input_ids": tokens(2, 19)}, call=partial(outputs, names=("logits",)),
        reduced=sets(**few), small=(*SMALL_LLAMA, "dims.seq.example=7"), opsets=OPSETS,
    )  # fmt: skip


def with_cache(model: Any, inputs: Tensors) -> Tensors:
    """One decoding step from keys and values of (layers, batch, heads, positions, features)."""
    cache = transformers().DynamicCache()
    for number, past in enumerate(zip(inputs["past_keys"], inputs["past_values"], strict=True)):
        cache.update(*past, number)
    known = inspect.signature(type(model.model).forward).parameters
    name = "cache" if "cache" in known else "past_key_values"  # its name before 5.0
    logits = model(inputs["input_ids"], **{name: cache}, use_cache=True).logits
    keys, values = ([getattr(layer, n) for layer in cache.layers] for n in ("keys", "values"))
    return {"logits": logits, "keys": torch.stack(keys), "values": torch.stack(values)}


def llama_decode() -> Original:
    """A decoding step of Llama; several layers, to see which takes which keys."""
    few = {
        "hidden_size": 1024, "intermediate_size": 3584, "num_layers": 3, "num_heads": 16,
        "num_kv_heads": 4, "vocab_size": VOCABULARY,
    }  # fmt: skip
    past = 3, 2, 4, 11, 64
    return Original(
        spec="language/llama3_8b_decode.json", library="transformers", parameters=8_030_261_248,
        make=llama_maker(few, rope_parameters=rope(500_000.0)), call=with_cache,
        inputs=lambda: {
            "input_ids": tokens(2, 1), "past_keys": normal(*past),
            "past_values": normal(*past, seed=2),
        },
        reduced=sets(**few), small=(*SMALL_LLAMA, "dims.past.example=7"), opsets=OPSETS,
    )  # fmt: skip


def t5(name: str, parameters: int, width: int, inner: int, heads: int, head: int = 64) -> Original:
    """T5 of one size; the sequences are longer than the largest distance that it tells apart."""
    few = {
        "d_model": width, "d_ff": inner, "num_layers": 2, "num_heads": heads, "d_kv": head,
        "vocab_size": VOCABULARY,
    }  # fmt: skip
    longest = ("dims.source.max=140", "dims.target.max=140")
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=maker("T5ForConditionalGeneration", "T5Config", **few),
        inputs=lambda: {
            "input_ids": tokens(2, 150), "attention_mask": padding(2, 150),
            "decoder_input_ids": tokens(2, 140),
        },
        call=partial(outputs, names=("logits", "encoder_last_hidden_state")),
        reduced=sets(**few), opsets=OPSETS,
        small=(*sets(num_layers=2, d_model=32, d_ff=48, num_heads=4, d_kv=8, vocab_size=50),
               "dims.source.example=9", "dims.target.example=6", *longest),
    )  # fmt: skip


CLIP_OUTPUTS = ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds")
SMALL_CLIP = sets(
    text_layers=2, text_width=32, text_heads=4, vision_layers=2, vision_width=24, vision_heads=3,
    projection=16, vocab_size=50, max_positions=24, patch_size=4, image_size=12,
)  # fmt: skip


def clip(
    name: str, parameters: int, patch: int, vision: tuple[int, int], text: tuple[int, int]
) -> Original:
    """CLIP of one size, each tower as (width, heads)."""
    towers = {
        f"{tower}_config": {
            "hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads,
            "num_hidden_layers": 2, "projection_dim": text[0],
        }
        for tower, (width, heads) in (("vision", vision), ("text", text))
    }  # fmt: skip
    towers["vision_config"] |= {"patch_size": patch, "image_size": 4 * patch}
    # By 2, a text ends at its highest number, where the published checkpoints look for it.
    towers["text_config"] |= {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 2}
    return Original(
        spec=f"multimodal/{name}.json", library="transformers", parameters=parameters,
        make=maker("CLIPModel", "CLIPConfig", projection_dim=text[0], **towers),
        inputs=lambda: {
            "input_ids": tokens(3, 19), "pixel_values": normal(2, 3, 4 * patch, 4 * patch),
        },
        call=partial(outputs, names=CLIP_OUTPUTS),
        reduced=sets(
            text_layers=2, vision_layers=2, vocab_size=VOCABULARY, image_size=4 * patch
        ),
        small=(*SMALL_CLIP, "dims.length.example=7"), opsets=OPSETS,
    )  # fmt: skip


def _make_whisper_encoder(settings: Sizes) -> torch.nn.Module:
    config = transformers().WhisperConfig(**settings, attn_implementation="sdpa")
    module = importlib.import_module("transformers.models.whisper.modeling_whisper")
    made = module.WhisperEncoder(config)
    assert isinstance(made, torch.nn.Module)
    return made


def whisper_encoder(name: str, width: int, heads: int, mels: int = 80) -> Original:
    """Whisper's encoder of one size; its authors published no number for it alone."""
    settings = {
        "d_model": width, "encoder_attention_heads": heads, "encoder_layers": 2,
        "encoder_ffn_dim": 4 * width, "num_mel_bins": mels, "max_source_positions": 60,
    }  # fmt: skip
    return Original(
        spec=f"audio/{name}.json", library="transformers",
        make=partial(_make_whisper_encoder, settings),
        inputs=lambda: {"input_features": normal(2, mels, 120)},
        call=partial(outputs, names=("last_hidden_state",)),
        reduced=sets(num_layers=2, positions=60), opsets=OPSETS,
        small=sets(num_layers=2, d_model=32, num_heads=4, mels=6, positions=9),
    )  # fmt: skip


ORIGINALS = [
    gpt2("gpt2", 124_439_808, 768, 12),
    gpt2("gpt2_medium", 354_823_168, 1024, 16),
    gpt2("gpt2_large", 774_030_080, 1280, 20),
    gpt2("gpt2_xl", 1_557_611_200, 1600, 25),
    gpt2("distilgpt2", 81_912_576, 768, 12),
    bert("bert", 109_482_240, 768, 12),
    bert("bert_base_cased", 108_310_272, 768, 12),
    bert("bert_large", 335_141_888, 1024, 16),
    llama("llama3_8b", 8_030_261_248, 4096, 14336, 32, 8),
    llama("llama3_70b", 70_553_706_496, 2048, 7168, 16, 2),
    llama("llama3_2_1b", 1_235_814_400, 2048, 8192, 32, 8, factor=32, positions=131_072, tied=True),
    llama("llama2_7b", 6_738_415_616, 4096, 11008, 32, 32, theta=10_000.0),
    llama("tinyllama_1b", 1_100_048_384, 2048, 5632, 32, 4, theta=10_000.0),
    llama_decode(),
    t5("t5_small", 60_506_624, 512, 2048, 8),
    t5("t5_base", 222_903_552, 768, 3072, 12),
    t5("t5_large", 737_668_096, 1024, 4096, 16),
    t5("t5_3b", 2_851_598_336, 1024, 4096, 32, 128),
    t5("t5_11b", 11_307_321_344, 1024, 8192, 32, 128),
    clip("clip_vit_b_32", 151_277_313, 32, (768, 12), (512, 8)),
    clip("clip_vit_b_16", 149_620_737, 16, (768, 12), (512, 8)),
    clip("clip_vit_l_14", 427_616_513, 14, (1024, 16), (768, 12)),
    clip("clip_vit_l_14_336", 427_944_193, 14, (1024, 16), (768, 12)),
    whisper_encoder("whisper_tiny_encoder", 384, 6),
    whisper_encoder("whisper_base_encoder", 512, 8),
    whisper_encoder("whisper_small_encoder", 768, 12),
    whisper_encoder("whisper_medium_encoder", 1024, 16),
    whisper_encoder("whisper_large_v3_encoder", 1280, 20, mels=128),
]
