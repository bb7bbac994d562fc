import torch
import torch.nn.functional as F
from torch import nn


class Projection(nn.Sequential):
    def __init__(self, in_channels, channels, stride=2):
        super().__init__(
            nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
            nn.BatchNorm2d(channels),
        )


class Bottleneck(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(4 * channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)

    def forward(self, x):
        out = self.conv1(x)  # (batch, channels, *, *)
        out = self.bn1(out)
        out = F.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        out = F.relu(out)
        out = self.conv3(out)  # (batch, 4 * channels, *, *)
        bn3 = self.bn3(out)
        x = bn3 + x
        return F.relu(x)


class BottleneckDownsample(nn.Module):
    def __init__(self, in_channels, channels, stride=2):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride=stride, padding=1, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample = Projection(in_channels, 4 * channels, stride=stride)

    def forward(self, x):
        out = self.conv1(x)  # (batch, channels, *, *)
        out = self.bn1(out)
        out = F.relu(out)
        out = self.conv2(out)  # (batch, channels, *, *)
        out = self.bn2(out)
        out = F.relu(out)
        out = self.conv3(out)  # (batch, 4 * channels, *, *)
        bn3 = self.bn3(out)
        downsample = self.downsample(x)
        x = bn3 + downsample
        return F.relu(x)


class Resnet50(nn.Module):
    """ResNet-50, stride in the 3x3 convolution (https://arxiv.org/abs/1512.03385), as
    in torchvision.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(
            BottleneckDownsample(64, 64, stride=1), Bottleneck(64), Bottleneck(64)
        )
        self.layer2 = nn.Sequential(
            BottleneckDownsample(256, 128), *(Bottleneck(128) for _ in range(3))
        )
        self.layer3 = nn.Sequential(
            BottleneckDownsample(512, 256), *(Bottleneck(256) for _ in range(5))
        )
        self.layer4 = nn.Sequential(
            BottleneckDownsample(1024, 512), Bottleneck(512), Bottleneck(512)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, 1000)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu"
                )

    def forward(self, image):
        x = self.conv1(image)  # (batch, 64, (height - 1)//2 + 1, (width - 1)//2 + 1)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)  # (batch, 64, (height - 1)//4 + 1, (width - 1)//4 + 1)
        x = self.layer1(x)  # (batch, 256, (height - 1)//4 + 1, (width - 1)//4 + 1)
        x = self.layer2(x)  # (batch, 512, (height - 1)//8 + 1, (width - 1)//8 + 1)
        x = self.layer3(x)  # (batch, 1024, (height - 1)//16 + 1, (width - 1)//16 + 1)
        x = self.layer4(x)  # (batch, 2048, (height - 1)//32 + 1, (width - 1)//32 + 1)
        x = self.avgpool(x)  # (batch, 2048, 1, 1)
        x = torch.flatten(x, start_dim=1)  # (batch, 2048)
        return self.fc(x)  # (batch, 1000)
