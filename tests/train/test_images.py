from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from specc.spec.sources import AUGMENTATIONS
from specc.training.batches import Batches, batches_of
from specc.training.data import Dataset
from specc.training.data.augment import CHANGES, augmented
from specc.training.data.images import Images
from specc.training.problems import TrainError
from tests.train.cases import failing, load

SPLIT = {"train": 1.0, "shuffle": False}
FLIP = [{"op": "RandomHorizontalFlip"}]


def write_images(folder: Path, count: int = 12, size: tuple[int, int] = (8, 6)) -> np.ndarray:
    """Images of two classes, left to right brighter, each of a colour of its own."""
    made = []
    for i in range(count):
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[..., 0] = i * 10 % 250
        pixels[..., 1] = np.arange(size[1]) * 20
        pixels[..., 2] = np.arange(size[0])[:, None] * 20
        place = folder / "pets" / ("cat" if i < count // 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{i}.png")
        made.append(pixels.transpose(2, 0, 1))
    return np.stack(made)


def images(
    folder: Path, shape: tuple[int, ...] = (3, 8, 6), augment: Any = None, **rest: Any
) -> Dataset:
    source = {"augment": augment} if augment else {}
    memory = rest.pop("memory", None)
    return load(
        folder, {}, path="pets", kind="image_folder", inputs={"image": shape}, targets=["label"],
        source={**source, "memory": memory}, **{"split": SPLIT, **rest},
    )  # fmt: skip


def test_folders_are_classes_and_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    pixels = write_images(tmp_path)
    data = images(tmp_path)
    assert data.labels == {"label": ["cat", "dog"]}
    np.testing.assert_array_equal(data.parts["train"]["image"], pixels)
    np.testing.assert_array_equal(data.parts["train"]["label"], [0] * 6 + [1] * 6)
    lazy = images(tmp_path, memory=False).parts["train"]["image"]
    assert isinstance(lazy, Images)
    np.testing.assert_array_equal(lazy[:], pixels)


def test_images_are_split_and_stratified_like_rows(tmp_path: Path) -> None:
    write_images(tmp_path, 40)
    data = images(tmp_path, split={"train": 0.8, "val": 0.2, "stratify": "label"})
    assert np.bincount(data.parts["val"]["label"]).tolist() == [4, 4]


def test_folders_for_each_part(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "pets").rename(tmp_path / "a")
    write_images(tmp_path, 4)
    data = images(tmp_path, split={"train": "a", "val": "pets"})
    assert data.rows == {"train": 12, "val": 4}


def test_an_image_covers_the_size_and_its_middle_is_kept(tmp_path: Path) -> None:
    pixels = write_images(tmp_path)
    cropped = images(tmp_path, (3, 8, 4)).parts["train"]["image"]
    np.testing.assert_array_equal(cropped, pixels[..., 1:5])
    half = images(tmp_path, (3, 4, 3)).parts["train"]["image"][3]
    expected = Image.fromarray(pixels[3].transpose(1, 2, 0)).resize(
        (3, 4), Image.Resampling.BILINEAR
    )
    np.testing.assert_array_equal(half, np.asarray(expected).transpose(2, 0, 1))


@pytest.mark.parametrize(("shape", "mode"), [((1, 8, 6), "L"), ((8, 6), "L"), ((4, 8, 6), "RGBA")])
def test_the_number_of_channels_is_the_input_s(
    tmp_path: Path, shape: tuple[int, ...], mode: str
) -> None:
    pixels = write_images(tmp_path)
    array = images(tmp_path, shape).parts["train"]["image"]
    expected = np.asarray(Image.fromarray(pixels[5].transpose(1, 2, 0)).convert(mode))
    np.testing.assert_array_equal(
        array[5], np.moveaxis(expected.reshape(8, 6, -1), 2, 0).reshape(shape)
    )


def batch_images(data: Dataset, epoch: int, seed: int = 0, first: int = 0) -> torch.Tensor:
    batches = batches_of(data.parts["train"], data.columns, 3)
    return torch.cat([batch["image"] for batch, *_ in batches.epoch(seed, epoch, first)])


def test_augmented_images_depend_on_seed_epoch_and_row_alone(tmp_path: Path) -> None:
    pixels = write_images(tmp_path)
    data = images(tmp_path, augment=FLIP)
    whole = batch_images(data, 2)
    assert torch.equal(whole, batch_images(images(tmp_path, augment=FLIP), 2))
    assert torch.equal(whole[6:], batch_images(data, 2, first=2))
    flipped: dict[int, list[bool]] = {}
    for epoch in range(8):
        for image in batch_images(data, epoch):
            number = int(image[0, 0, 0]) // 10
            is_flipped = bool(image[1, 0, 0] > image[1, 0, 5])
            flipped.setdefault(number, []).append(is_flipped)
            expected = pixels[number][..., ::-1] if is_flipped else pixels[number]
            np.testing.assert_array_equal(image.numpy(), expected.astype(np.float32))
    assert all(0 < sum(times) < 8 for times in flipped.values())
    assert all(0 < sum(row) < 12 for row in zip(*flipped.values(), strict=True))


def test_only_training_batches_are_augmented(tmp_path: Path) -> None:
    pixels = write_images(tmp_path)
    data = images(tmp_path, augment=[{"op": "RandomHorizontalFlip", "p": 1}])
    batches = batches_of(data.parts["train"], data.columns, 5)
    seen = torch.cat([batch["image"] for batch, *_ in batches.ordered()])
    np.testing.assert_array_equal(seen.numpy(), pixels.astype(np.float32))
    (batch, *_) = next(batches.epoch(0, 0))
    assert (batch["image"][:, 1, :, 0] > batch["image"][:, 1, :, -1]).all()


# ── each augmentation ───────────────────────────────────────────────────────────────────────


def changed(op: str, image: Image.Image, seed: int = 0, **arguments: Any) -> np.ndarray:
    step = {"op": op, **arguments}
    size = (image.height, image.width)
    return np.asarray(augmented(image, [step], size, np.random.default_rng(seed)))


@pytest.fixture
def photo() -> Image.Image:
    rng = np.random.default_rng(1)
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return small.resize((16, 12), Image.Resampling.BILINEAR)


def test_every_augmentation_of_the_language_is_there() -> None:
    assert CHANGES.keys() == AUGMENTATIONS.keys()


@pytest.mark.parametrize("op", [op for op in AUGMENTATIONS if "p" in AUGMENTATIONS[op]])
def test_p_is_the_share_of_images_that_change(op: str, photo: Image.Image) -> None:
    before = np.asarray(photo)
    changes = [not np.array_equal(changed(op, photo, seed, p=0.25), before) for seed in range(400)]
    assert 70 < sum(changes) < 130
    assert np.array_equal(changed(op, photo, p=0), before)
    assert not np.array_equal(changed(op, photo, p=1), before)


def test_flips_turn_rows_and_columns(photo: Image.Image) -> None:
    pixels = np.asarray(photo)
    np.testing.assert_array_equal(changed("RandomVerticalFlip", photo, p=1), pixels[::-1])
    np.testing.assert_array_equal(changed("RandomHorizontalFlip", photo, p=1), pixels[:, ::-1])


def test_a_crop_is_a_piece_of_the_padded_image(photo: Image.Image) -> None:
    padded = np.pad(np.asarray(photo), [(2, 2), (2, 2), (0, 0)], constant_values=7)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (12, 16, 3))[:, :, 0]
    found = set()
    for seed in range(200):
        crop = changed("RandomCrop", photo, seed, padding=2, fill=7)
        at = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
        found.add(tuple(at[0].tolist()))
    assert found == {(i, j) for i in range(5) for j in range(5)}


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
def test_a_crop_may_be_padded_with_the_image(photo: Image.Image, mode: str) -> None:
    crop = changed("RandomCrop", photo, padding=3, padding_mode=mode)
    assert crop.shape == (12, 16, 3)
    colours = {tuple(pixel) for pixel in np.asarray(photo).reshape(-1, 3).tolist()}
    assert {tuple(pixel) for pixel in crop.reshape(-1, 3).tolist()} <= colours


def test_a_resized_crop_takes_the_area_that_it_is_told_to(photo: Image.Image) -> None:
    ramp = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (200, 1)))
    for seed in range(50):
        crop = np.asarray(augmented(
            ramp, [{"op": "RandomResizedCrop", "scale": [0.25, 0.25], "ratio": [1, 1]}], (50, 50),
            np.random.default_rng(seed),
        ))  # fmt: skip
        assert crop.shape == (50, 50)
        # A square of a quarter of the area is 100 wide, so neighbours differ by 2.
        assert abs(int(crop[0, -2]) - int(crop[0, 1]) - 2 * 47) <= 2
    whole = changed("RandomResizedCrop", photo, scale=[1, 1], ratio=[16 / 12, 16 / 12])
    np.testing.assert_array_equal(whole, np.asarray(photo))


def test_a_rotation_by_a_right_angle(photo: Image.Image) -> None:
    square = photo.resize((12, 12))
    turned = changed("RandomRotation", square, degrees=[90, 90])
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(square)))
    corners = changed("RandomRotation", square, degrees=[45, 45], fill=9)
    assert (corners[0, 0] == 9).all()


def test_brightness_multiplies(photo: Image.Image) -> None:
    grey = Image.fromarray(np.full((4, 4, 3), 100, np.uint8))
    levels = {
        int(changed("ColorJitter", grey, seed, brightness=0.5)[0, 0, 0]) for seed in range(200)
    }
    assert min(levels) >= 50
    assert max(levels) <= 150
    assert len(levels) > 50
    coloured = changed("ColorJitter", photo, saturation=0.9)
    lightness = [
        np.asarray(Image.fromarray(p).convert("L")).astype(int)
        for p in (coloured, np.asarray(photo))
    ]
    assert np.abs(lightness[0] - lightness[1]).max() <= 3
    red = Image.fromarray(np.tile(np.array([200, 40, 40], np.uint8), (4, 4, 1)))
    hues = {tuple(changed("ColorJitter", red, seed, hue=0.5)[0, 0].tolist()) for seed in range(60)}
    assert any(green > 150 for _, green, _ in hues)
    assert all(max(pixel) - min(pixel) > 140 for pixel in hues)


def test_erasing_sets_a_rectangle(photo: Image.Image) -> None:
    erased = changed("RandomErasing", photo, p=1, scale=[0.25, 0.25], ratio=[1, 1], value=3)
    rows, columns = np.nonzero((erased == 3).all(axis=2))
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert abs(len(rows) - 12 * 16 / 4) <= 5
    made = [
        changed("RandomErasing", photo, seed, p=1, scale=[0.25, 0.25], ratio=[1, 1], value=3)
        for seed in range(150)
    ]
    corners = {tuple(np.argwhere((image == 3).all(axis=2))[0].tolist()) for image in made}
    assert {top for top, _ in corners} == set(range(6))
    assert {left for _, left in corners} == set(range(10))


# ── what is wrong ───────────────────────────────────────────────────────────────────────────


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "pets/dog/3.png").write_bytes(b"not an image")
    (found,) = failing(lambda: images(tmp_path))
    assert found.code == "D510"
    assert found.message.startswith("`pets/dog/3.png` can't be read as an image: ")
    assert str(tmp_path) not in found.message
    data = images(tmp_path, augment=FLIP)
    with pytest.raises(TrainError, match=r"pets/dog/3\.png") as caught:
        batch_images(data, 0)
    assert caught.value.under("train").at == ("data", "source", "path")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 8, 6), "column `image` has shape (2, 8, 6), which no image has"),
        ((48,), "column `image` has shape (48,), which no image has"),
    ],
)
def test_a_shape_that_no_image_has_is_reported(
    tmp_path: Path, shape: tuple[int, ...], message: str
) -> None:
    write_images(tmp_path)
    (found,) = failing(lambda: images(tmp_path, shape))
    assert (found.code, found.message) == ("D507", message)


def test_a_folder_without_images_is_reported(tmp_path: Path) -> None:
    (found,) = failing(lambda: images(tmp_path))
    assert found.message == "there is no folder `pets`"
    (tmp_path / "pets").mkdir()
    (found,) = failing(lambda: images(tmp_path))
    assert found.message == "`pets` has no folder for any class"
    (tmp_path / "pets/cat").mkdir()
    (found,) = failing(lambda: images(tmp_path))
    assert found.message == "the folder `pets/cat` holds no image"


def test_a_batch_that_is_left_early_ends_its_thread(tmp_path: Path) -> None:
    write_images(tmp_path)
    data = images(tmp_path, memory=False)
    batches = Batches(data.parts["train"], data.columns, 2)
    running = batches.epoch(0, 0)
    next(running)
    running.close()
    assert not any(thread.name == "prefetch" for thread in threading.enumerate())
