import torch
from torch import nn


class StochasticDepth(nn.Module):
    """Zeroes whole samples (or, in mode "batch", the batch) in training, and scales the rest."""

    def __init__(self, p, mode):
        super().__init__()
        self.p = p
        self.mode = mode

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        rows = x.shape[0] if self.mode == "row" else 1
        shape = (rows,) + (1,) * (x.ndim - 1)
        kept = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        if self.p < 1:
            kept = kept / (1 - self.p)
        return x * kept


class Permute(nn.Module):
    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.permute(self.dims)


class Stem(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 96, 4, stride=4), nn.LayerNorm(96, eps=1e-06))

    def forward(self, x):
        x = self[0](x)  # (batch, 96, height//4, width//4)
        x = x.permute(0, 2, 3, 1)  # (batch, height//4, width//4, 96)
        x = self[1](x)
        return x.permute(0, 3, 1, 2)  # (batch, 96, height//4, width//4)


class Downsample(nn.Sequential):
    def __init__(self, channels):
        super().__init__(
            nn.LayerNorm(channels // 2, eps=1e-06),
            nn.Conv2d(channels // 2, channels, 2, stride=2),
        )

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)  # (batch, *, *, channels // 2)
        x = self[0](x)
        x = x.permute(0, 3, 1, 2)  # (batch, channels // 2, *, *)
        return self[1](x)  # (batch, channels, *, *)


class CnBlock(nn.Module):
    def __init__(self, in_channels, drop):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 7, padding=3, groups=in_channels),
            Permute((0, 2, 3, 1)),
            nn.LayerNorm(in_channels, eps=1e-06),
            nn.Linear(in_channels, 4 * in_channels),
            nn.GELU(),
            nn.Linear(4 * in_channels, in_channels),
            Permute((0, 3, 1, 2)),
        )
        self.stochastic_depth = StochasticDepth(drop, "row")
        self.layer_scale = nn.Parameter(torch.zeros(in_channels, 1, 1))

    def forward(self, x):
        block = self.block(x)  # (batch, in_channels, *, *)
        out = self.layer_scale * block
        stochastic_depth = self.stochastic_depth(out)
        return stochastic_depth + x


class ConvnextTiny(nn.Module):
    """ConvNeXt-T (https://arxiv.org/abs/2201.03545), as in torchvision."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            Stem(),
            nn.Sequential(
                CnBlock(96, 0.0),
                CnBlock(96, 0.0058823529411764705),
                CnBlock(96, 0.011764705882352941),
            ),
            Downsample(192),
            nn.Sequential(
                CnBlock(192, 0.017647058823529415),
                CnBlock(192, 0.023529411764705882),
                CnBlock(192, 0.029411764705882353),
            ),
            Downsample(384),
            nn.Sequential(
                CnBlock(384, 0.03529411764705883),
                CnBlock(384, 0.0411764705882353),
                CnBlock(384, 0.047058823529411764),
                CnBlock(384, 0.052941176470588235),
                CnBlock(384, 0.058823529411764705),
                CnBlock(384, 0.06470588235294118),
                CnBlock(384, 0.07058823529411766),
                CnBlock(384, 0.07647058823529412),
                CnBlock(384, 0.0823529411764706),
            ),
            Downsample(768),
            nn.Sequential(
                CnBlock(768, 0.08823529411764706),
                CnBlock(768, 0.09411764705882353),
                CnBlock(768, 0.1),
            ),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.LayerNorm(768, eps=1e-06), nn.Flatten(), nn.Linear(768, 1000)
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if name.endswith(".layer_scale"):
                nn.init.constant_(parameter, val=1e-06)

    def forward(self, image):
        x = self.features(image)  # (batch, 768, height//32, width//32)
        x = self.avgpool(x)  # (batch, 768, 1, 1)
        x = torch.flatten(x, start_dim=1)  # (batch, 768)
        return self.classifier(x)  # (batch, 1000)
