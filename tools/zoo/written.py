"""Models of sequences, tables and patches written by hand in plain PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

# -- recurrent ---------------------------------------------------------------------------------


class LstmLanguageModel(nn.Module):
    def __init__(self, words: int = 10_000, width: int = 200) -> None:
        super().__init__()
        self.encoder = nn.Embedding(words, width)
        self.rnn = nn.LSTM(width, width, 2, dropout=0.2, batch_first=True)
        self.decoder = nn.Linear(width, words)
        self.decoder.weight = self.encoder.weight

    def forward(self, tokens: Tensor, h_0: Tensor, c_0: Tensor) -> dict[str, Tensor]:
        hidden, (h_n, c_n) = self.rnn(self.encoder(tokens), (h_0, c_0))
        return {"logits": self.decoder(hidden), "h_n": h_n, "c_n": c_n}


class GruTagger(nn.Module):
    def __init__(self, words: int = 5000, tags: int = 17) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, 64, padding_idx=0)
        self.gru = nn.GRU(64, 64, 2, dropout=0.3, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * 64, tags)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.gru(self.embed(tokens))[0])


# -- two towers --------------------------------------------------------------------------------


class Tower(nn.Module):
    def __init__(self, words: int, width: int, out: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, width, padding_idx=0)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, out)

    def forward(self, tokens: Tensor) -> Tensor:
        known = tokens.ne(0).float()
        total = (self.embed(tokens) * known.unsqueeze(-1)).sum(1)
        mean = total / known.sum(1, keepdim=True).clamp(min=1)
        return self.fc2(F.gelu(self.fc1(mean)))


class TwoTower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Tower(5000, 128, 64)

    def forward(self, query: Tensor, document: Tensor) -> dict[str, Tensor]:
        q, d = self.encoder(query), self.encoder(document)
        scores = F.normalize(q, dim=1) @ F.normalize(d, dim=1).T / 0.05
        return {
            "similarity": F.cosine_similarity(q, d), "query_vector": q, "document_vector": d,
            "scores": scores,
        }  # fmt: skip


# -- variational autoencoder -------------------------------------------------------------------


class VariationalAutoencoder(nn.Module):
    def __init__(self, pixels: int = 64, hidden: int = 128, code: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU())
        self.mean, self.logvar = nn.Linear(hidden, code), nn.Linear(hidden, code)
        self.decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, pixels))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        hidden = self.encoder(image / 16)
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        code = mean
        if self.training:
            code = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        logits = self.decoder(code)
        return {
            "code": mean, "reconstruction": 16 * logits.sigmoid(), "logits": logits, "mean": mean,
            "logvar": logvar,
        }  # fmt: skip


# -- mixture of experts ------------------------------------------------------------------------


class Experts(nn.Module):
    def __init__(self, count: int, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.b1 = parameter(count, width, hidden), parameter(count, hidden)
        self.w2, self.b2 = parameter(count, hidden, width), parameter(count, width)

    def forward(self, x: Tensor, gates: Tensor) -> Tensor:
        outputs = []
        for w1, b1, w2, b2 in zip(self.w1, self.b1, self.w2, self.b2, strict=True):
            outputs.append(F.gelu(x @ w1 + b1) @ w2 + b2)
        return (torch.stack(outputs, 2) * gates.unsqueeze(-1)).sum(2)


def parameter(*shape: int) -> nn.Parameter:
    """A learned tensor of normal numbers."""
    return nn.Parameter(torch.randn(shape) * 0.1)


class MixtureOfExperts(nn.Module):
    def __init__(self, count: int = 8, width: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.router = nn.Linear(width, count, bias=False)
        self.experts = Experts(count, width, hidden)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        shares = self.router(x).softmax(-1)
        values, chosen = shares.topk(2, -1)
        gates = torch.zeros_like(shares).scatter_(-1, chosen, values)
        gates = gates / gates.sum(-1, keepdim=True)
        count = shares.shape[-1]
        taken = F.one_hot(chosen, count).sum(-2).float().mean((0, 1)) / 2
        balance = count * (taken * shares.mean((0, 1))).sum()
        return {"y": self.experts(x, gates), "gates": gates, "balance": balance}


# -- patches -----------------------------------------------------------------------------------


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Patches(nn.Module):
    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, size, stride=size)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).flatten(2).mT


class MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.mlp_tokens = Mlp(tokens, width // 2)
        self.mlp_channels = Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mlp_tokens(self.norm1(x).mT).mT
        return x + self.mlp_channels(self.norm2(x))


class MlpMixer(nn.Module):
    def __init__(self, width: int = 768, depth: int = 12, classes: int = 1000) -> None:
        super().__init__()
        self.stem = Patches(width, 16)
        self.blocks = nn.Sequential(*[MixerBlock(14 * 14, width) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.stem(image))).mean(1))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).chunk(3, -1)
        query, key, value = (p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class VitBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.mlp = Attention(width, heads), Mlp(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    def __init__(self, width: int, heads: int, depth: int = 12, classes: int = 1000) -> None:
        super().__init__()
        self.cls_token = parameter(1, 1, width)
        self.pos_embed = parameter(1, 14 * 14 + 1, width)
        self.patch_embed = Patches(width, 16)
        self.blocks = nn.Sequential(*[VitBlock(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


# -- table -------------------------------------------------------------------------------------


class TableBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.self_attn(x, x, x, need_weights=False)[0])
        return self.norm2(x + self.linear2(F.gelu(self.linear1(x))))


class TabTransformer(nn.Module):
    def __init__(self, categories: tuple[int, ...], numbers: int, width: int = 32) -> None:
        super().__init__()
        self.starts = [sum(categories[:i]) for i in range(len(categories))]
        self.register_buffer("sizes", torch.tensor(categories))
        self.embed = nn.Embedding(sum(categories), width)
        self.column = parameter(len(categories), width)
        self.layers = nn.Sequential(*[TableBlock(width, 8) for _ in range(6)])
        self.norm = nn.LayerNorm(numbers)
        features = len(categories) * width + numbers
        self.mlp = nn.Sequential(
            nn.Linear(features, 4 * features), nn.SELU(), nn.Linear(4 * features, 2 * width),
            nn.SELU(), nn.Linear(2 * width, 2),
        )  # fmt: skip

    def forward(self, category: Tensor, number: Tensor) -> Tensor:
        columns = [self.embed(category[:, i] + start) for i, start in enumerate(self.starts)]
        x = self.layers(torch.stack(columns, 1) + self.column)
        return self.mlp(torch.cat([x.flatten(1), self.norm(number)], 1))
