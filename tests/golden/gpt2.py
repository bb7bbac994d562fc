import math

import torch
import torch.nn.functional as F
from torch import nn


class Conv1d(nn.Module):
    def __init__(self, features, size=768):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        batch, seq = x.shape[:2]
        return torch.addmm(self.bias, x.flatten(end_dim=1), self.weight).unflatten(
            0, (batch, seq)
        )


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_attn = Conv1d(2304)
        self.c_proj = Conv1d(768)

    def forward(self, x):
        x = self.c_attn(x)  # (batch, seq, 2304)
        x = x.unflatten(2, (3, 12, 64)).permute(2, 0, 3, 1, 4)
        qkv_0, qkv_1, qkv_2 = x.unbind()  # (batch, 12, seq, 64)
        x = F.scaled_dot_product_attention(
            qkv_0, qkv_1, qkv_2, dropout_p=0.1 if self.training else 0.0, is_causal=True
        )
        x = x.permute(0, 2, 1, 3).flatten(2, 3)  # (batch, seq, 768)
        x = self.c_proj(x)
        return F.dropout(x, p=0.1, training=self.training)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.c_fc = Conv1d(3072)
        self.c_proj = Conv1d(768, size=3072)

    def forward(self, x):
        x = self.c_fc(x)  # (batch, seq, 3072)
        x = 0.5 * x * (1.0 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        x = self.c_proj(x)  # (batch, seq, 768)
        return F.dropout(x, p=0.1, training=self.training)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(768)
        self.attn = Attention()
        self.ln_2 = nn.LayerNorm(768)
        self.mlp = Mlp()

    def forward(self, x):
        out = self.ln_1(x)  # (batch, seq, 768)
        attn = self.attn(out)
        mid = attn + x
        x = self.ln_2(mid)
        mlp = self.mlp(x)
        return mid + mlp


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(50257, 768)
        self.wpe = nn.Embedding(1024, 768)
        self.drop = nn.Dropout(p=0.1)
        self.h = nn.Sequential(*(Layer() for _ in range(12)))
        self.ln_f = nn.LayerNorm(768)

    def forward(self, ids):
        seq = ids.shape[1]
        wte = self.wte(ids)  # (batch, seq, 768)
        x = torch.arange(seq, device=ids.device)  # (seq,)
        wpe = self.wpe(x)  # (seq, 768)
        x = wte + wpe  # (batch, seq, 768)
        x = self.drop(x)
        x = self.h(x)
        return self.ln_f(x)


class Gpt2(nn.Module):
    """GPT-2 (Radford et al. 2019), as transformers' GPT2LMHeadModel."""

    def __init__(self):
        super().__init__()
        self.transformer = Transformer()
        self.lm_head = nn.Linear(768, 50257, bias=False)
        self.lm_head.weight = self.transformer.wte.weight
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if name.endswith(".c_attn.weight") or name.endswith(".c_fc.weight"):
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith(".c_proj.weight"):
                nn.init.normal_(parameter, std=0.004082482904638631)

    def forward(self, input_ids):
        x = self.transformer(input_ids)  # (batch, seq, 768)
        return self.lm_head(x)  # (batch, seq, 50257)
