"""Models of images written by hand in plain PyTorch, to compare the specs of the same name with."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

# -- U-Net -------------------------------------------------------------------------------------


def double_conv(inside: int, outside: int) -> nn.Sequential:
    """Twice a convolution, normalization and activation."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
        nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
    )  # fmt: skip


class Contraction(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = double_conv(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.max_pool2d(x, 2))


class Expansion(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(channels, channels // 2, 2, stride=2)
        self.conv = double_conv(channels, channels // 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat([skip, self.up(x)], 1))


class UNet(nn.Module):
    def __init__(self, width: int = 64, classes: int = 2) -> None:
        super().__init__()
        self.inc = double_conv(3, width)
        self.down1, self.down2 = Contraction(width), Contraction(2 * width)
        self.down3, self.down4 = Contraction(4 * width), Contraction(8 * width)
        self.up1, self.up2 = Expansion(16 * width), Expansion(8 * width)
        self.up3, self.up4 = Expansion(4 * width), Expansion(2 * width)
        self.outc = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        skips = [self.inc(image)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, skips.pop())
        return self.outc(x)


# -- convolutional autoencoder -----------------------------------------------------------------


class ConvAutoencoder(nn.Module):
    def __init__(self, width: int = 16, code: int = 8) -> None:
        super().__init__()

        def grow(inside: int, outside: int) -> nn.ConvTranspose2d:
            return nn.ConvTranspose2d(inside, outside, 3, stride=2, padding=1, output_padding=1)

        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, width, 3, stride=2, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU()),
            nn.Conv2d(2 * width, code, 3, stride=2, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Sequential(grow(code, 2 * width), nn.ReLU()),
            nn.Sequential(grow(2 * width, width), nn.ReLU()),
            grow(width, 1),
            nn.Sigmoid(),
        )

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        code = self.encoder(image)
        return {"code": code, "reconstruction": self.decoder(code)}


# -- diffusion ---------------------------------------------------------------------------------


class TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pairs = width // 2
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, 4 * width)

    def forward(self, timestep: Tensor) -> Tensor:
        wavelengths = 10000.0 ** (torch.arange(self.pairs) / -self.pairs)
        angles = timestep[:, None] * wavelengths[None]
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        return F.silu(self.fc2(F.silu(self.fc1(waves))))


class ResidualBlock(nn.Module):
    def __init__(self, inside: int, outside: int, time: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.shift = nn.Linear(time, outside)
        self.norm2 = nn.GroupNorm(8, outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        if inside != outside:
            self.shortcut = nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x))) + self.shift(time).unsqueeze(-1).unsqueeze(-1)
        inner = self.conv2(F.silu(self.norm2(inner)))
        return (self.shortcut(x) if hasattr(self, "shortcut") else x) + inner


class ImageAttention(nn.Module):
    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = self.qkv(self.norm(x)).view(n, 3, self.heads, c // self.heads, h * w)
        query, key, value = (parts[:, i].transpose(-1, -2) for i in range(3))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.proj(mixed.transpose(-1, -2).reshape(n, c, h, w))


class Merge(nn.Module):
    def __init__(self, inside: int, skip: int, time: int) -> None:
        super().__init__()
        self.resnet = ResidualBlock(inside + skip, skip, time)

    def forward(self, x: Tensor, skip: Tensor, time: Tensor) -> Tensor:
        return self.resnet(torch.cat([x, skip], 1), time)


class DiffusionUNet(nn.Module):
    def __init__(self, width: int = 64, steps: int = 1000) -> None:
        super().__init__()
        self.steps = steps
        time = 4 * width
        self.time = TimeEmbedding(width)
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        self.res1 = ResidualBlock(width, width, time)
        self.down1 = nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1))
        self.res2 = ResidualBlock(width, 2 * width, time)
        self.down2 = nn.Sequential(nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1))
        self.res3 = ResidualBlock(2 * width, 4 * width, time)
        self.attn = ImageAttention(4 * width)
        self.mid = ResidualBlock(4 * width, 4 * width, time)
        self.up3 = Merge(4 * width, 4 * width, time)
        self.grow3 = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(4 * width, 4 * width, 3, padding=1)
        )
        self.up2 = Merge(4 * width, 2 * width, time)
        self.grow2 = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        )
        self.up1 = Merge(2 * width, width, time)
        self.norm_out = nn.GroupNorm(8, width)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def noise(self, noisy: Tensor, timestep: Tensor) -> Tensor:
        time = self.time(timestep)
        first = self.res1(self.conv_in(noisy), time)
        second = self.res2(self.down1(first), time)
        third = self.res3(self.down2(second), time)
        x = self.mid(self.attn(third), time)
        x = self.grow3(self.up3(x, third, time))
        x = self.grow2(self.up2(x, second, time))
        x = self.up1(x, first, time)
        return self.conv_out(F.silu(self.norm_out(x)))

    def forward(self, noisy: Tensor, timestep: Tensor, previous: Tensor) -> dict[str, Tensor]:
        noise = self.noise(noisy, timestep)
        betas = torch.linspace(0.0001, 0.02, self.steps, dtype=torch.float64)
        kept = (1 - betas).cumprod(0).float()
        # Step -1, the clean image, is the entry behind the last.
        kept = torch.cat([kept, torch.ones(1)])
        now, then = (kept[step].reshape(-1, 1, 1, 1) for step in (timestep, previous))
        clean = (noisy - (1 - now).sqrt() * noise) / now.sqrt()
        return {"noise": noise, "denoised": then.sqrt() * clean + (1 - then).sqrt() * noise}


# -- detector ----------------------------------------------------------------------------------


class ConvUnit(nn.Module):
    def __init__(self, inside: int, outside: int, size: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, size, stride, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, channels: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.cv1, self.cv2 = ConvUnit(channels, channels), ConvUnit(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.cv2(self.cv1(x))
        return x + inner if self.residual else inner


class CrossStage(nn.Module):
    def __init__(self, inside: int, outside: int, depth: int, residual: bool = True) -> None:
        super().__init__()
        half = outside // 2
        self.cv1, self.cv2 = ConvUnit(inside, half), ConvUnit(inside, half)
        self.m = nn.Sequential(*[Bottleneck(half, residual) for _ in range(depth)])
        self.cv3 = ConvUnit(outside, outside)

    def forward(self, x: Tensor) -> Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], 1))


class PyramidPool(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cv1, self.cv2 = ConvUnit(channels, channels // 2), ConvUnit(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.cv1(x)]
        for _ in range(3):
            levels.append(F.max_pool2d(levels[-1], 5, stride=1, padding=2))
        return self.cv2(torch.cat(levels, 1))


class Stage(nn.Module):
    def __init__(self, inside: int, depth: int) -> None:
        super().__init__()
        self.down = ConvUnit(inside, 2 * inside, 3, 2)
        self.csp = CrossStage(2 * inside, 2 * inside, depth)

    def forward(self, x: Tensor) -> Tensor:
        return self.csp(self.down(x))


class Backbone(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = ConvUnit(3, width, 3, 2)
        self.stage2, self.stage3 = Stage(width, 1), Stage(2 * width, 2)
        self.stage4, self.stage5 = Stage(4 * width, 3), Stage(8 * width, 1)
        self.pool = PyramidPool(16 * width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        third = self.stage3(self.stage2(self.stem(image)))
        fourth = self.stage4(third)
        return third, fourth, self.pool(self.stage5(fourth))


class Neck(nn.Module):
    def __init__(self, c3: int, c4: int, c5: int) -> None:
        super().__init__()
        self.lateral5, self.down4 = ConvUnit(c5, c4), CrossStage(2 * c4, c4, 1, residual=False)
        self.lateral4, self.n3 = ConvUnit(c4, c3), CrossStage(2 * c3, c3, 1, residual=False)
        self.shrink3, self.n4 = ConvUnit(c3, c3, 3, 2), CrossStage(2 * c3, c4, 1, residual=False)
        self.shrink4, self.n5 = ConvUnit(c4, c4, 3, 2), CrossStage(2 * c4, c5, 1, residual=False)

    def forward(self, p3: Tensor, p4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        top = self.lateral5(p5)
        middle = self.down4(torch.cat([F.interpolate(top, scale_factor=2.0), p4], 1))
        middle = self.lateral4(middle)
        n3 = self.n3(torch.cat([F.interpolate(middle, scale_factor=2.0), p3], 1))
        n4 = self.n4(torch.cat([self.shrink3(n3), middle], 1))
        return n3, n4, self.n5(torch.cat([self.shrink4(n4), top], 1))


class Head(nn.Module):
    def __init__(self, inside: int, width: int, classes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.box_conv, self.box_out = ConvUnit(inside, width, 3), nn.Conv2d(width, 4, 1)
        self.class_conv, self.class_out = ConvUnit(inside, width, 3), nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        reach = F.softplus(self.box_out(self.box_conv(x))) * self.stride
        rows, columns = (torch.arange(size) + 0.5 for size in x.shape[2:])
        y, x0 = torch.meshgrid(rows * self.stride, columns * self.stride, indexing="ij")
        left, top, right, bottom = reach.permute(1, 0, 2, 3)
        boxes = torch.stack([x0 - left, y - top, x0 + right, y + bottom], -1)
        logits = self.class_out(self.class_conv(x))
        return boxes.flatten(1, 2), logits.flatten(2).transpose(1, 2)


class Detector(nn.Module):
    def __init__(self, width: int = 16, classes: int = 80) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        self.neck = Neck(4 * width, 8 * width, 16 * width)
        self.head3 = Head(4 * width, 4 * width, classes, 8)
        self.head4 = Head(8 * width, 4 * width, classes, 16)
        self.head5 = Head(16 * width, 4 * width, classes, 32)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        levels = self.neck(*self.backbone(image))
        heads = (self.head3, self.head4, self.head5)
        found = [head(level) for head, level in zip(heads, levels, strict=True)]
        boxes, logits = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        return {"boxes": boxes, "scores": logits.sigmoid(), "logits": logits}
