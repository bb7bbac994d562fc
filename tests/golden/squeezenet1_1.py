from fnmatch import fnmatch

import torch
import torch.nn.functional as F
from torch import nn


class Fire(nn.Module):
    def __init__(self, in_channels, squeeze_channels, expand_channels):
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeeze_channels, 1)
        self.squeezed = nn.ReLU()
        self.expand1x1 = nn.Conv2d(squeeze_channels, expand_channels, 1)
        self.expand3x3 = nn.Conv2d(squeeze_channels, expand_channels, 3, padding=1)

    def forward(self, x):
        x = self.squeeze(x)  # (batch, squeeze_channels, *, *)
        squeezed = self.squeezed(x)
        expand1x1 = self.expand1x1(squeezed)  # (batch, expand_channels, *, *)
        expand3x3 = self.expand3x3(squeezed)
        return torch.cat([F.relu(expand1x1), F.relu(expand3x3)], dim=1)


class Squeezenet1_1(nn.Module):
    """SqueezeNet 1.1, which pools earlier (https://arxiv.org/abs/1602.07360), as in
    torchvision.
    """

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if fnmatch(name, "features.*.weight"):
                nn.init.kaiming_uniform_(parameter)
            elif name.endswith(".1.weight"):
                nn.init.normal_(parameter, std=0.01)

    def forward(self, image):
        x = self.features(image)  # (batch, 512, (height - 1)//16, (width - 1)//16)
        x = self.classifier(x)  # (batch, 1000, 1, 1)
        return torch.flatten(x, start_dim=1)  # (batch, 1000)
