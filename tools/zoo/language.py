"""Models of language, of images with text, and of speech, as transformers has them."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from zoo.original import MissingLibraryError, Original, Tensors
from zoo.vision import torchvision_models


@cache
def transformers() -> Any:
    """The module `transformers`; raises `MissingLibraryError` without it."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingLibraryError("transformers is not installed: pip install 'specc[zoo]'")
    if importlib.util.find_spec("torchvision") is not None:
        torchvision_models()  # transformers imports it, which needs the care taken there
    import transformers as library

    return library


def tokens(batch: int, length: int, vocabulary: int) -> torch.Tensor:
    """Random token numbers."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(vocabulary, (batch, length), generator=generator)


def padding(batch: int, length: int) -> torch.Tensor:
    """A mask under which the last sequence is three tokens shorter than the others."""
    mask = torch.ones(batch, length, dtype=torch.bool)
    mask[-1, -3:] = False
    return mask


def _maker(model: str, config: str, **settings: Any) -> Callable[[], torch.nn.Module]:
    """Builds a model of a configuration, both by the names of their classes."""

    def make() -> torch.nn.Module:
        library = transformers()
        made = getattr(library, model)(getattr(library, config)(**settings))
        assert isinstance(made, torch.nn.Module)
        return made

    return make


# Layers keep the published widths, so that matrix products take the ways of large ones; there are
# fewer of them and fewer tokens, so that a machine has room for both models.
VOCABULARY = 1000


def gpt2(name: str, parameters: int, width: int, heads: int) -> Original:
    """GPT-2 of one size. The attention of both is `scaled_dot_product_attention`, causal."""
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=_maker(
            "GPT2LMHeadModel", "GPT2Config", n_embd=width, n_head=heads, n_layer=2,
            vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, attn_implementation="sdpa",
        ),
        inputs=lambda: {"input_ids": tokens(2, 19, VOCABULARY)},
        call=lambda model, inputs: {"logits": model(**inputs).logits},
        reduced=("params.n_layer=2", f"params.vocab_size={VOCABULARY}"),
        small=(
            "params.n_layer=2", "params.n_embd=32", "params.n_head=4", "params.vocab_size=50",
            "params.n_positions=24", "dims.seq.example=7",
        ),
        opsets=(20, 23),
    )  # fmt: skip


def bert(name: str, parameters: int, width: int, heads: int) -> Original:
    """BERT of one size. The attention of both is `scaled_dot_product_attention`."""
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=_maker(
            "BertModel", "BertConfig", hidden_size=width, num_attention_heads=heads,
            num_hidden_layers=2, intermediate_size=4 * width, vocab_size=VOCABULARY,
            attn_implementation="sdpa",
        ),
        inputs=lambda: {
            "input_ids": tokens(2, 19, VOCABULARY), "attention_mask": padding(2, 19),
            "token_type_ids": tokens(2, 19, 2),
        },
        call=lambda model, inputs: dict(model(**inputs)),
        reduced=("params.num_layers=2", f"params.vocab_size={VOCABULARY}"),
        small=(
            "params.num_layers=2", "params.hidden_size=32", "params.num_heads=4",
            "params.vocab_size=50", "params.max_positions=24", "dims.seq.example=7",
        ),
        opsets=(20, 23),
    )  # fmt: skip


def llama(
    name: str, parameters: int, width: int, inner: int, heads: int, kv_heads: int, *,
    theta: float = 500_000.0, factor: int = 1, tied: bool = False, eps: float = 1e-5,
) -> Original:  # fmt: skip
    """Llama of one size. The attention of both is `scaled_dot_product_attention`, causal."""
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if factor != 1:
        rope |= {
            "rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        }  # fmt: skip
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=_maker(
            "LlamaForCausalLM", "LlamaConfig", hidden_size=width, intermediate_size=inner,
            num_hidden_layers=1, num_attention_heads=heads, num_key_value_heads=kv_heads,
            vocab_size=VOCABULARY, rms_norm_eps=eps, rope_parameters=rope,
            tie_word_embeddings=tied, attn_implementation="sdpa",
        ),
        inputs=lambda: {"input_ids": tokens(2, 19, VOCABULARY)},
        call=lambda model, inputs: {"logits": model(**inputs).logits},
        reduced=("params.num_layers=1", f"params.vocab_size={VOCABULARY}"),
        small=SMALL_LLAMA, opsets=(20, 23),
    )  # fmt: skip


SMALL_LLAMA = (
    "params.num_layers=2", "params.hidden_size=32", "params.intermediate_size=48",
    "params.num_heads=4", "params.num_kv_heads=2", "params.vocab_size=50",
    "params.max_positions=24", "dims.seq.example=7",
)  # fmt: skip


def with_cache(model: Any, inputs: Tensors) -> Tensors:
    """One decoding step from keys and values of (layers, batch, heads, positions, features)."""
    cache = transformers().DynamicCache()
    for number, past in enumerate(zip(inputs["past_keys"], inputs["past_values"], strict=True)):
        cache.update(*past, number)
    known = inspect.signature(type(model.model).forward).parameters
    name = "cache" if "cache" in known else "past_key_values"  # as it was called before 5.0
    logits = model(inputs["input_ids"], **{name: cache}, use_cache=True).logits
    keys, values = ([getattr(layer, n) for layer in cache.layers] for n in ("keys", "values"))
    return {"logits": logits, "keys": torch.stack(keys), "values": torch.stack(values)}


def past(layers: int, heads: int, width: int) -> Tensors:
    """A token for each of two sequences, and what was computed for the eleven before it."""
    generator = torch.Generator().manual_seed(2)
    shape = layers, 2, heads, 11, width
    keys, values = (torch.randn(shape, generator=generator) for _ in range(2))
    return {"input_ids": tokens(2, 1, VOCABULARY), "past_keys": keys, "past_values": values}


# Fewer layers would not show which layer takes which keys.
DECODE = Original(
    spec="language/llama3_8b_decode.json", library="transformers", parameters=8_030_261_248,
    make=_maker(
        "LlamaForCausalLM", "LlamaConfig", hidden_size=1024, intermediate_size=3584,
        num_hidden_layers=3, num_attention_heads=16, num_key_value_heads=4,
        vocab_size=VOCABULARY, rms_norm_eps=1e-5, attn_implementation="sdpa",
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    ),
    inputs=lambda: past(3, 4, 64), call=with_cache,
    reduced=(
        "params.num_layers=3", "params.hidden_size=1024", "params.intermediate_size=3584",
        "params.num_heads=16", "params.num_kv_heads=4", f"params.vocab_size={VOCABULARY}",
    ),
    small=(*SMALL_LLAMA[:-1], "dims.past.example=7"), opsets=(20, 23),
)  # fmt: skip


def t5(
    name: str, parameters: int, width: int, inner: int, heads: int, head: int = 64
) -> Original:
    """T5 of one size. The attention of both is `scaled_dot_product_attention`."""
    return Original(
        spec=f"language/{name}.json", library="transformers", parameters=parameters,
        make=_maker(
            "T5ForConditionalGeneration", "T5Config", d_model=width, d_ff=inner, num_layers=3,
            num_heads=heads, d_kv=head, vocab_size=VOCABULARY, attn_implementation="sdpa",
        ),
        inputs=lambda: {
            "input_ids": tokens(2, 150, VOCABULARY), "attention_mask": padding(2, 150),
            "decoder_input_ids": tokens(2, 140, VOCABULARY),
        },
        call=lambda model, inputs: {
            n: model(**inputs)[n] for n in ("logits", "encoder_last_hidden_state")
        },
        reduced=("params.num_layers=3", f"params.vocab_size={VOCABULARY}"),
        small=(
            "params.num_layers=2", "params.d_model=32", "params.d_ff=48", "params.num_heads=4",
            "params.d_kv=8", "params.vocab_size=50", "dims.source.example=9",
            "dims.source.max=140", "dims.target.example=6", "dims.target.max=140",
        ),
        opsets=(20, 23),
    )  # fmt: skip


CLIP_OUTPUTS = ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds")


def clip(
    name: str, parameters: int, patch: int, vision: tuple[int, int], text: tuple[int, int],
    projection: int,
) -> Original:  # fmt: skip
    """CLIP of one size, each tower as (width, heads). The attention of both is
    `scaled_dot_product_attention`, causal in the text.
    """
    towers = {
        f"{tower}_config": {
            "hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads,
            "num_hidden_layers": 2, "projection_dim": projection,
        }
        for tower, (width, heads) in (("vision", vision), ("text", text))
    }  # fmt: skip
    towers["vision_config"] |= {"patch_size": patch, "image_size": 4 * patch}
    # With 2, the end of a text is where the published checkpoints look for it: at its highest
    # number.
    towers["text_config"] |= {"vocab_size": VOCABULARY, "eos_token_id": 2}
    return Original(
        spec=f"multimodal/{name}.json", library="transformers", parameters=parameters,
        make=_maker(
            "CLIPModel", "CLIPConfig", projection_dim=projection, attn_implementation="sdpa",
            **towers,
        ),
        inputs=lambda: {
            "input_ids": tokens(3, 19, VOCABULARY), "pixel_values": pixels(2, 4 * patch),
        },
        call=lambda model, inputs: {n: model(**inputs)[n] for n in CLIP_OUTPUTS},
        reduced=(
            "params.text_layers=2", "params.vision_layers=2", f"params.vocab_size={VOCABULARY}",
            f"params.image_size={4 * patch}",
        ),
        small=(
            "params.text_layers=2", "params.vision_layers=2", "params.text_width=32",
            "params.text_heads=4", "params.vision_width=24", "params.vision_heads=3",
            "params.projection=16", "params.vocab_size=50", "params.max_positions=24",
            "params.patch_size=4", "params.image_size=12", "dims.length.example=7",
        ),
        opsets=(20, 23),
    )  # fmt: skip


def pixels(batch: int, size: int) -> torch.Tensor:
    """Random square images."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


ORIGINALS = [
    gpt2("gpt2", 124_439_808, 768, 12),
    bert("bert", 109_482_240, 768, 12),
    llama("llama3_8b", 8_030_261_248, 4096, 14336, 32, 8),
    llama("llama3_2_1b", 1_235_814_400, 2048, 8192, 32, 8, factor=32, tied=True),
    llama("llama2_7b", 6_738_415_616, 4096, 11008, 32, 32, theta=10_000.0),
    llama("tinyllama_1b", 1_100_048_384, 2048, 5632, 32, 4, theta=10_000.0),
    DECODE,
    t5("t5_small", 60_506_624, 512, 2048, 8),
    clip("clip_vit_b_32", 151_277_313, 32, (768, 12), (512, 8), 512),
]
