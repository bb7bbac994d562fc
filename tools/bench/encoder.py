"""A transformer encoder of six layers on token ids in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.task import Parts, Task

SPEC = Path(__file__).parents[2] / "specs" / "transformer_encoder.json"
VOCAB, SEQ, WIDTH, HEADS, DEPTH, CLASSES, VAL_ROWS = 1000, 32, 64, 4, 6, 10, 160


def sentences(rows: int, seed: int) -> tuple[Any, Any]:
    """Random tokens, of which the first tells the class."""
    import numpy as np

    tokens = np.random.default_rng(seed).integers(0, VOCAB, (rows, SEQ))
    return tokens, tokens[:, 0] * CLASSES // VOCAB


def torch_encoder() -> Any:
    """Pre-norm layers, learned positions, the mean over all tokens."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as f

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def attention(self, x: Tensor) -> Tensor:
            parts = self.qkv(x).chunk(3, -1)
            q, k, v = (t.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2) for t in parts)
            mixed = f.scaled_dot_product_attention(q, k, v)
            return self.proj(mixed.transpose(1, 2).flatten(2))

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.attention(self.norm1(x))
            return x + self.down(f.gelu(self.up(self.norm2(x))))

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(VOCAB, WIDTH)
            self.position = nn.Parameter(torch.randn(SEQ, WIDTH))
            self.layers = nn.ModuleList(Layer() for _ in range(DEPTH))
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embed(tokens) + self.position[: tokens.shape[1]]
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x).mean(1))

    return Encoder()


def keras_encoder() -> Any:
    """The same of Keras's own layers."""
    import keras
    from keras import layers as k

    class Positions(k.Layer):
        def build(self, shape: Any) -> None:
            self.weight = self.add_weight(shape=shape[1:], initializer="random_normal")

        def call(self, x: Any) -> Any:
            return x + self.weight

    def norm() -> Any:
        return k.LayerNormalization(epsilon=1e-5)

    tokens = keras.Input((SEQ,), dtype="int64")
    x = Positions()(k.Embedding(VOCAB, WIDTH)(tokens))
    for _ in range(DEPTH):
        y = norm()(x)
        x = x + k.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)
        x = x + k.Dense(WIDTH)(k.Dense(4 * WIDTH, "gelu")(norm()(x)))
    pooled = k.GlobalAveragePooling1D(data_format="channels_last")(norm()(x))
    return keras.Model(tokens, k.Dense(CLASSES)(pooled))


class Encoder(Task):
    """The zoo's encoder, six layers deep."""

    name, rows, batch, epochs = "encoder", 1_600, 32, 10
    title = "encoder of 6 layers, width 64, 4 heads, 32 tokens, batch 32, 1,600 rows in memory"
    dtype = "int64"

    def parts(self, folder: Path) -> Parts:  # noqa: ARG002
        return {"train": sentences(self.rows, 0), "val": sentences(VAL_ROWS, 1)}

    def network(self) -> Any:
        return torch_encoder()

    def model(self) -> dict[str, Any]:
        spec = json.loads(SPEC.read_text("utf-8"))
        sizes = {"vocab": VOCAB, "width": WIDTH, "heads": HEADS, "depth": DEPTH, "positions": SEQ}
        spec["params"] = {**sizes, "classes": CLASSES}
        spec["dims"]["seq"] = {"min": 1, "max": SEQ, "example": SEQ}
        spec["inputs"] = {"x": spec["inputs"]["tokens"]}
        return {
            key: spec[key] for key in ("params", "dims", "inputs", "blocks", "layers", "outputs")
        }

    def keras_model(self) -> Any:
        return keras_encoder()
