import torch
import torch.nn.functional as F
from torch import nn


def rotary_embedding(x, cos, sin):
    """Turns each pair of features (one of the first half, one of the second) by an angle."""
    size = cos.shape[-1]
    cos, sin = cos.unsqueeze(-3), sin.unsqueeze(-3)  # the same for all heads
    a, b, rest = x[..., :size], x[..., size : 2 * size], x[..., 2 * size :]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(4096, 4096, bias=False)
        self.k_proj = nn.Linear(4096, 1024, bias=False)
        self.v_proj = nn.Linear(4096, 1024, bias=False)
        self.o_proj = nn.Linear(4096, 4096, bias=False)

    def forward(self, x, cos, sin, past_key, past_value):
        q_proj = self.q_proj(x)  # (batch, 1, 4096)
        k_proj = self.k_proj(x)  # (batch, 1, 1024)
        v_proj = self.v_proj(x)
        q = rotary_embedding(q_proj.unflatten(-1, (32, -1)).transpose(1, 2), cos, sin)
        k = rotary_embedding(k_proj.unflatten(-1, (8, -1)).transpose(1, 2), cos, sin)
        v = v_proj.unflatten(-1, (8, -1)).transpose(1, 2)  # (batch, 8, 1, 128)
        key = torch.cat([past_key, k], dim=2)  # (batch, 8, past + 1, 128)
        value = torch.cat([past_value, v], dim=2)
        x = F.scaled_dot_product_attention(q, key, value, enable_gqa=True)
        x = x.transpose(1, 2).flatten(2)  # (batch, 1, 4096)
        o_proj = self.o_proj(x)
        return o_proj, key, value


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(4096, 14336, bias=False)
        self.up_proj = nn.Linear(4096, 14336, bias=False)
        self.down_proj = nn.Linear(14336, 4096, bias=False)

    def forward(self, x):
        gate_proj = self.gate_proj(x)  # (batch, 1, 14336)
        up_proj = self.up_proj(x)
        x = F.silu(gate_proj) * up_proj
        return self.down_proj(x)  # (batch, 1, 4096)


class Layer(nn.Module):
    def __init__(self, index):
        super().__init__()
        self.index = index
        self.input_layernorm = nn.RMSNorm(4096, eps=1e-05)
        self.self_attn = Attention()
        self.post_attention_layernorm = nn.RMSNorm(4096, eps=1e-05)
        self.mlp = Mlp()

    def forward(self, x, cos, sin, past_keys, past_values):
        input_layernorm = self.input_layernorm(x)  # (batch, 1, 4096)
        past_key = past_keys[self.index]  # (batch, 8, past, 128)
        past_value = past_values[self.index]
        o_proj, key, value = self.self_attn(
            input_layernorm, cos, sin, past_key, past_value
        )
        mid = x + o_proj  # (batch, 1, 4096)
        x = self.post_attention_layernorm(mid)
        mlp = self.mlp(x)
        out = mid + mlp
        return out, key, value


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(128256, 4096)
        self.layers = nn.ModuleList(Layer(i) for i in range(32))
        self.norm = nn.RMSNorm(4096, eps=1e-05)

    def forward(self, ids, past_keys, past_values):
        past = past_keys.shape[3]
        x = 1.0 / 500000.0 ** (torch.arange(0, 128, 2, device=ids.device) / 128)
        angles = torch.arange(past, past + 1, device=ids.device)[:, None] * x  # (1, 64)
        cos = torch.cos(angles)
        sin = torch.sin(angles)
        embed_tokens = self.embed_tokens(ids)  # (batch, 1, 4096)
        keys, values = [], []
        x = embed_tokens
        for layer in self.layers:
            x, key, value = layer(x, cos, sin, past_keys, past_values)
            keys.append(key)
            values.append(value)
        norm = self.norm(x)  # (batch, 1, 4096)
        keys = torch.stack(keys)  # (32, batch, 8, past + 1, 128)
        values = torch.stack(values)
        return norm, keys, values


class Llama3_8bDecode(nn.Module):
    """A decoding step of Llama 3, with the keys and values of the tokens before it."""

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.lm_head = nn.Linear(4096, 128256, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Embedding, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, input_ids, past_keys, past_values):
        norm, keys, values = self.model(input_ids, past_keys, past_values)
        lm_head = self.lm_head(norm)  # (batch, 1, 128256)
        return {"logits": lm_head, "keys": keys, "values": values}
