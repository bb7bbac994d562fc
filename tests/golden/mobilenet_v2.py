import torch
import torch.nn.functional as F
from torch import nn


class ConvBnRelu6(nn.Sequential):
    def __init__(self, in_channels, channels, groups, kernel_size=3, stride=1):
        super().__init__(
            nn.Conv2d(
                in_channels,
                channels,
                kernel_size,
                stride=stride,
                padding=kernel_size // 2,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU6(),
        )


class InvertedResidual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            ConvBnRelu6(32, 32, 32),
            nn.Conv2d(32, 16, 1, bias=False),
            nn.BatchNorm2d(16),
        )

    def forward(self, x):
        return self.conv(x)  # (batch, 16, (height - 1)//2 + 1, (width - 1)//2 + 1)


class InvertedResidual2(nn.Module):
    def __init__(self, in_channels, channels, stride=2):
        super().__init__()
        self.conv = nn.Sequential(
            ConvBnRelu6(in_channels, 6 * in_channels, 1, kernel_size=1),
            ConvBnRelu6(
                6 * in_channels, 6 * in_channels, 6 * in_channels, stride=stride
            ),
            nn.Conv2d(6 * in_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return self.conv(x)  # (batch, channels, *, *)


class InvertedResidual3(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Sequential(
            ConvBnRelu6(channels, 6 * channels, 1, kernel_size=1),
            ConvBnRelu6(6 * channels, 6 * channels, 6 * channels),
            nn.Conv2d(6 * channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        conv = self.conv(x)  # (batch, channels, *, *)
        return x + conv


class MobilenetV2(nn.Module):
    """MobileNetV2 (https://arxiv.org/abs/1801.04381), as in torchvision."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            ConvBnRelu6(3, 32, 1, stride=2),
            InvertedResidual(),
            InvertedResidual2(16, 24),
            InvertedResidual3(24),
            InvertedResidual2(24, 32),
            InvertedResidual3(32),
            InvertedResidual3(32),
            InvertedResidual2(32, 64),
            *(InvertedResidual3(64) for _ in range(3)),
            InvertedResidual2(64, 96, stride=1),
            InvertedResidual3(96),
            InvertedResidual3(96),
            InvertedResidual2(96, 160),
            InvertedResidual3(160),
            InvertedResidual3(160),
            InvertedResidual2(160, 320, stride=1),
            ConvBnRelu6(320, 1280, 1, kernel_size=1),
        )
        self.classifier = nn.Sequential(nn.Dropout(p=0.2), nn.Linear(1280, 1000))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, image):
        x = self.features(image)
        x = F.adaptive_avg_pool2d(x, output_size=1)  # (batch, 1280, 1, 1)
        x = torch.flatten(x, start_dim=1)  # (batch, 1280)
        return self.classifier(x)  # (batch, 1000)
