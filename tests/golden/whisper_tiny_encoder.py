import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.k_proj = nn.Linear(384, 384, bias=False)
        self.v_proj = nn.Linear(384, 384)
        self.q_proj = nn.Linear(384, 384)
        self.out_proj = nn.Linear(384, 384)

    def forward(self, x):
        k_proj = self.k_proj(x)  # (batch, 1500, 384)
        v_proj = self.v_proj(x)
        x = self.q_proj(x)
        q = (x * 0.125).unflatten(-1, (6, 64)).transpose(1, 2)  # (batch, 6, 1500, 64)
        k = k_proj.unflatten(-1, (6, 64)).transpose(1, 2)
        v = v_proj.unflatten(-1, (6, 64)).transpose(1, 2)
        x = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        x = x.transpose(1, 2).flatten(2)  # (batch, 1500, 384)
        return self.out_proj(x)


class Sinusoids(nn.Module):
    def __init__(self):
        super().__init__()
        x = torch.exp(-0.048221677340189444 * torch.arange(192))
        x = torch.arange(1500)[:, None] * x
        x = torch.cat([torch.sin(x), torch.cos(x)], dim=1)
        self.register_buffer("weight", x)

    def forward(self):
        return self.weight  # (1500, 384)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn_layer_norm = nn.LayerNorm(384)
        self.self_attn = Attention()
        self.final_layer_norm = nn.LayerNorm(384)
        self.fc1 = nn.Linear(384, 1536)
        self.fc2 = nn.Linear(1536, 384)

    def forward(self, x):
        out = self.self_attn_layer_norm(x)  # (batch, 1500, 384)
        self_attn = self.self_attn(out)
        mid = x + self_attn
        x = self.final_layer_norm(mid)
        x = self.fc1(x)  # (batch, 1500, 1536)
        x = F.gelu(x)
        fc2 = self.fc2(x)  # (batch, 1500, 384)
        return mid + fc2


class WhisperTinyEncoder(nn.Module):
    """The encoder of Whisper (https://arxiv.org/abs/2212.04356), transformers'
    WhisperEncoder.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(80, 384, 3, padding=1)
        self.conv2 = nn.Conv1d(384, 384, 3, stride=2, padding=1)
        self.embed_positions = Sinusoids()
        self.layers = nn.Sequential(*(Layer() for _ in range(4)))
        self.layer_norm = nn.LayerNorm(384)
        for module in self.modules():
            if isinstance(module, (nn.Conv1d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, input_features):
        x = self.conv1(input_features)  # (batch, 384, 3000)
        x = F.gelu(x)
        x = self.conv2(x)  # (batch, 384, 1500)
        x = F.gelu(x)
        frames = x.permute(0, 2, 1)  # (batch, 1500, 384)
        embed_positions = self.embed_positions()  # (1500, 384)
        x = frames + embed_positions  # (batch, 1500, 384)
        x = self.layers(x)
        return self.layer_norm(x)
