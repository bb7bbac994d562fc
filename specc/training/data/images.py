"""Images in a folder for each class, decoded in threads when a batch asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from specc.training.data.augment import augmented
from specc.training.data.columns import ColumnSpec, show
from specc.training.data.files import missing, natural_key
from specc.training.data.lazy import Draw, Lazy
from specc.training.data.numbers import Cells
from specc.training.data.splitting import mix
from specc.training.data.table import Array, Table
from specc.training.problems import TrainError

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
MOST_THREADS = 16


class Images(Lazy):
    """Image files as `(channels, height, width)` with values from 0 to 255.

    An image is resized until it covers the model's size, and the middle is cut out.
    """

    slow = True

    def __init__(
        self, files: Sequence[tuple[Path, str]], augment: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        _pillow()
        self.files, self.augment = list(files), list(augment)
        self.numbers = np.arange(len(self.files))
        self.dtype, self.shape = np.dtype(np.uint8), (len(self.files),)
        self.name = "image"

    def fitted(self, column: ColumnSpec, rows: Array, cells: Cells) -> Images:  # noqa: ARG002
        new = copy(self)
        new.name, new.numbers = column.name, self.numbers[rows]
        new.shape = (len(rows), *_image_shape(column))
        return new

    def take(self, at: Array, draw: Draw | None = None) -> Array:
        numbers = self.numbers[at].tolist()
        out = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        made = _threads().map(lambda number: self._pixels(number, draw), numbers)
        for place, pixels in enumerate(made):
            out[place] = pixels
        return out

    def _pixels(self, number: int, draw: Draw | None) -> Array:
        channels, *size = (1, *self.shape[1:])[-3:]
        height, width = size
        image = self._decoded(number, MODES[channels])
        steps = self.augment if draw else ()
        if draw and steps:
            if not any(step["op"] == "RandomResizedCrop" for step in steps):
                image = covering(image, height, width)
            seed = int(mix(int(mix(draw[0], draw[1])[0]), number)[0])
            image = augmented(image, steps, (height, width), np.random.default_rng(seed))
        pixels = np.asarray(covering(image, height, width))
        channels_last = pixels.reshape(height, width, channels)
        return channels_last.transpose(2, 0, 1).reshape(self.shape[1:])

    def _decoded(self, number: int, mode: str) -> Image:
        from PIL import Image as Pil
        from PIL import UnidentifiedImageError

        path, name = self.files[number]
        try:
            with Pil.open(path) as image:
                return image.convert(mode)
        except (OSError, ValueError, SyntaxError, Pil.DecompressionBombError) as error:
            unknown = isinstance(error, UnidentifiedImageError)
            reason = "its format is unknown" if unknown else str(error).splitlines()[0].rstrip(".")
            message = f"`{name}` can't be read as an image: {reason.replace(str(path), name)}"
            raise TrainError("D510", message, "data", "source", "path").rooted() from error


def covering(image: Image, height: int, width: int) -> Image:
    """The image at a size that covers `height` and `width`, its middle cut out."""
    from PIL import Image as Pil

    if image.size == (width, height):
        return image
    factor = min(image.width / width, image.height / height)
    w, h = width * factor, height * factor
    left, top = (image.width - w) / 2, (image.height - h) / 2
    box = (left, top, min(left + w, image.width), min(top + h, image.height))
    return image.resize((width, height), Pil.Resampling.BILINEAR, box)


def _image_shape(column: ColumnSpec) -> tuple[int, ...]:
    shape = column.shape
    if shape is None or None in shape:
        raise TrainError(
            "D507", f"column `{column.name}` needs one size for all images", "shape",
            hint='say which: `"shape": [3, 224, 224]`',
        )  # fmt: skip
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) not in (2, 3) or (len(sizes) == 3 and sizes[0] not in MODES):
        raise TrainError(
            "D507", f"column `{column.name}` has shape {show(shape)}, which no image has", "shape",
            hint="an image is (channels, height, width) with 1, 3 or 4 channels",
        )  # fmt: skip
    return sizes


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(MOST_THREADS, cpu_count() or 1), "images")


def _pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise TrainError(
            "U806", "images are read with Pillow, which is not installed",
            hint="pip install 'specc[images]'",
        ) from error  # fmt: skip


def read_class_folders(
    paths: Sequence[str], base: Path, augment: Sequence[Mapping[str, Any]] = ()
) -> Table:
    """A table of `image` and `label` from folders that have a folder for each class.

    Raises `TrainError` D501, D506 or D510.
    """
    files: list[tuple[Path, str]] = []
    labels: list[str] = []
    for path in paths:
        for label in _classes(base / path, path):
            found = image_files(base / path / label, str(Path(path) / label))
            files += found
            labels += [label] * len(found)
    return _table(", ".join(paths), files, {"label": labels}, augment)


def _classes(folder: Path, name: str) -> list[str]:
    if not folder.is_dir():
        raise missing(folder, name, "folder")
    found = [p.name for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._"]
    if not found:
        raise TrainError("D506", f"`{name}` has no folder for any class", "path")
    return sorted(found)


def image_files(folder: Path, name: str) -> list[tuple[Path, str]]:
    """All images below a folder with their names; raises `TrainError` D506 if there are none."""
    found = [p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and p.name[0] not in "._"]
    if not found:
        raise TrainError("D506", f"the folder `{name}` holds no image", "path")
    named = [(path, str(Path(name) / path.relative_to(folder))) for path in found]
    return sorted(named, key=lambda file: natural_key(file[1]))


def read_images(path: Path) -> Table:
    """A table of `image` and `file` from one image, or from all below a folder."""
    files = image_files(path, path.name) if path.is_dir() else [(path, path.name)]
    return _table(path.name, files, {}, ())


def _table(
    name: str, files: list[tuple[Path, str]], columns: Mapping[str, Sequence[str]],
    augment: Sequence[Mapping[str, Any]],
) -> Table:  # fmt: skip
    names = [file for _, file in files]
    texts = {"file": names, **columns}
    arrays = {
        key: pa.chunked_array([pa.array(column, pa.string())]) for key, column in texts.items()
    }
    return Table(name, {"image": Images(files, augment), **arrays})
