from collections import OrderedDict

import torch
from torch import nn


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(768, 1000)

    def forward(self, x):
        return self.head(x)  # (batch, 1000)


class EncoderBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1 = nn.LayerNorm(768, eps=1e-06)
        self.self_attention = nn.MultiheadAttention(768, 12, batch_first=True)
        self.dropout = nn.Dropout(p=0.0)
        self.ln_2 = nn.LayerNorm(768, eps=1e-06)
        self.mlp = nn.Sequential(
            nn.Linear(768, 3072),
            nn.GELU(),
            nn.Dropout(p=0.0),
            nn.Linear(3072, 768),
            nn.Dropout(p=0.0),
        )

    def forward(self, x):
        out = self.ln_1(x)  # (batch, 197, 768)
        out = self.self_attention(out, out, out, need_weights=False)[0]
        dropout = self.dropout(out)
        attended = dropout + x
        x = self.ln_2(attended)
        mlp = self.mlp(x)
        return attended + mlp


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(p=0.0)
        self.layers = nn.Sequential(
            OrderedDict((f"encoder_layer_{i}", EncoderBlock()) for i in range(12))
        )
        self.ln = nn.LayerNorm(768, eps=1e-06)
        self.pos_embedding = nn.Parameter(torch.zeros(1, 197, 768))

    def forward(self, x):
        x = x + self.pos_embedding  # (batch, 197, 768)
        x = self.dropout(x)
        x = self.layers(x)
        return self.ln(x)


class VitB16(nn.Module):
    """Vision transformer ViT-B/16 (https://arxiv.org/abs/2010.11929), as in
    torchvision.
    """

    def __init__(self):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, 768, 16, stride=16)
        self.encoder = Encoder()
        self.heads = Heads()
        self.class_token = nn.Parameter(torch.zeros(1, 1, 768))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.036084391824351615)
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if name.endswith(".pos_embedding"):
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith(".0.weight") or name.endswith(".3.weight"):
                nn.init.xavier_uniform_(parameter)
            elif name.endswith(".0.bias") or name.endswith(".3.bias"):
                nn.init.normal_(parameter, std=1e-06)
            elif name.endswith(".head.weight") or name.endswith(".head.bias"):
                nn.init.zeros_(parameter)

    def forward(self, image):
        batch = image.shape[0]
        x = self.conv_proj(image)  # (batch, 768, 14, 14)
        patches = x.flatten(2).transpose(1, 2)  # (batch, 196, 768)
        x = torch.cat([self.class_token.expand(batch, -1, -1), patches], dim=1)
        x = self.encoder(x)  # (batch, 197, 768)
        x = x[:, 0]  # (batch, 768)
        return self.heads(x)  # (batch, 1000)
