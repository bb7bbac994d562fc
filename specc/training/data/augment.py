"""Random changes of training images, under the names and with the meaning of torchvision's.

Each draws from the generator that it is given and from nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

Size = tuple[int, int]
"""Height and width that the model takes."""
Change = Callable[..., "Image"]

CHANGES: dict[str, Change] = {}
TRIES = 10


def change(function: Change) -> Change:
    """Register an augmentation under its function's name."""
    CHANGES[function.__name__] = function
    return function


def augmented(
    image: Image, steps: Sequence[Mapping[str, Any]], size: Size, rng: np.random.Generator
) -> Image:
    """The image after all steps, one after the other."""
    for step in steps:
        arguments = {k: v for k, v in step.items() if k not in ("op", "doc")}
        image = CHANGES[step["op"]](image, size, rng, **arguments)
    return image


@change
def RandomHorizontalFlip(image: Image, _: Size, rng: np.random.Generator, p: float = 0.5) -> Image:  # noqa: N802
    """Left and right exchanged with probability `p`."""
    from PIL import Image as Pil

    return image.transpose(Pil.Transpose.FLIP_LEFT_RIGHT) if rng.random() < p else image


@change
def RandomVerticalFlip(image: Image, _: Size, rng: np.random.Generator, p: float = 0.5) -> Image:  # noqa: N802
    """Top and bottom exchanged with probability `p`."""
    from PIL import Image as Pil

    return image.transpose(Pil.Transpose.FLIP_TOP_BOTTOM) if rng.random() < p else image


@change
def RandomCrop(  # noqa: N802
    image: Image, size: Size, rng: np.random.Generator, padding: int = 0, fill: int = 0,
    padding_mode: str = "constant",
) -> Image:  # fmt: skip
    """A piece of the model's size from anywhere in the padded image."""
    from PIL import Image as Pil

    pixels = np.asarray(image)
    widths = [(padding, padding)] * 2 + [(0, 0)] * (pixels.ndim - 2)
    options: dict[str, Any] = {"constant_values": fill} if padding_mode == "constant" else {}
    padded = np.pad(pixels, widths, padding_mode, **options)  # type: ignore[call-overload]
    height, width = size
    top = int(rng.integers(max(1, padded.shape[0] - height + 1)))
    left = int(rng.integers(max(1, padded.shape[1] - width + 1)))
    return Pil.fromarray(np.ascontiguousarray(padded[top : top + height, left : left + width]))


@change
def RandomResizedCrop(  # noqa: N802
    image: Image, size: Size, rng: np.random.Generator, scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
) -> Image:  # fmt: skip
    """A piece of random area and aspect ratio, resized to the model's size."""
    box = _random_box(image.width, image.height, rng, scale, ratio)
    if box is None:
        # Torchvision's fallback: the largest piece in the middle whose ratio is allowed.
        width, height = image.size
        wanted = min(max(width / height, min(ratio)), max(ratio))
        w, h = min(width, round(height * wanted)), min(height, round(width / wanted))
        box = ((width - w) // 2, (height - h) // 2, w, h)
    left, top, w, h = box
    return _resized(image, size, (left, top, left + w, top + h))


def _random_box(
    width: int, height: int, rng: np.random.Generator, scale: Sequence[float],
    ratio: Sequence[float],
) -> tuple[int, int, int, int] | None:  # fmt: skip
    """Left, top, width and height of a piece inside the image, if one is found."""
    for _ in range(TRIES):
        area = width * height * rng.uniform(scale[0], scale[1])
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    return None


def _resized(image: Image, size: Size, box: tuple[float, float, float, float]) -> Image:
    from PIL import Image as Pil

    return image.resize((size[1], size[0]), Pil.Resampling.BILINEAR, box)


@change
def RandomRotation(  # noqa: N802
    image: Image, _: Size, rng: np.random.Generator, degrees: float | Sequence[float],
    fill: int = 0,
) -> Image:  # fmt: skip
    """Turned by an angle between `-degrees` and `degrees`, or between two given ones."""
    low, high = (-degrees, degrees) if isinstance(degrees, int | float) else degrees
    bands = len(image.getbands())
    return image.rotate(rng.uniform(low, high), fillcolor=fill if bands == 1 else (fill,) * bands)


@change
def ColorJitter(  # noqa: N802
    image: Image, _: Size, rng: np.random.Generator, brightness: float = 0, contrast: float = 0,
    saturation: float = 0, hue: float = 0,
) -> Image:  # fmt: skip
    """Brightness, contrast, saturation and hue changed by random factors in random order."""
    from PIL import ImageEnhance

    kinds = {"Brightness": brightness, "Contrast": contrast, "Color": saturation}
    for step in rng.permutation(4):
        if step == 3:
            image = _hue_shifted(image, rng.uniform(-hue, hue)) if hue else image
            continue
        name, amount = list(kinds.items())[step]
        if amount:
            factor = rng.uniform(max(0.0, 1 - amount), 1 + amount)
            image = getattr(ImageEnhance, name)(image).enhance(factor)
    return image


def _hue_shifted(image: Image, turn: float) -> Image:
    from PIL import Image as Pil

    if image.mode != "RGB":
        return image
    hue, *rest = image.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(round(turn * 255) % 256)
    return Pil.merge("HSV", (Pil.fromarray(turned), *rest)).convert("RGB")


@change
def RandomGrayscale(image: Image, _: Size, rng: np.random.Generator, p: float = 0.1) -> Image:  # noqa: N802
    """Without colour with probability `p`."""
    return image.convert("L").convert(image.mode) if rng.random() < p else image


@change
def RandomErasing(  # noqa: N802
    image: Image, _: Size, rng: np.random.Generator, p: float = 0.5,
    scale: Sequence[float] = (0.02, 0.33), ratio: Sequence[float] = (0.3, 3.3), value: int = 0,
) -> Image:  # fmt: skip
    """A random rectangle set to `value` with probability `p`."""
    if rng.random() >= p:
        return image
    box = _random_box(image.width, image.height, rng, scale, ratio)
    if box is None:
        return image
    left, top, w, h = box
    image = image.copy()
    bands = len(image.getbands())
    image.paste(value if bands == 1 else (value,) * bands, (left, top, left + w, top + h))
    return image
