from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from specc.training.batches import batches_of
from specc.training.data import Dataset
from tests.train.cases import failing, load

TEXT = "the quick brown fox jumps over the lazy dog\n" * 30


def text(
    folder: Path, content: str | bytes = TEXT, *, split: Any = None, window: int = 8, **source: Any
) -> Dataset:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "t.txt").write_bytes(data)
    return load(
        folder, {"targets": {"dtype": "int64"}}, path=source.pop("path", "t.txt"), kind="text",
        inputs={"tokens": (window,)}, dtype="int64", split=split or {"train": 0.8, "val": 0.2},
        source={"window": window, **source},
    )  # fmt: skip


def rows(data: Dataset, part: str, column: str = "tokens") -> np.ndarray:
    return np.asarray(data.parts[part][column][:])


def spelt(data: Dataset, codes: np.ndarray) -> str:
    return "".join(str(data.labels["tokens"][code]) for code in codes)


def test_windows_follow_each_other_and_targets_are_one_step_on(tmp_path: Path) -> None:
    data = text(tmp_path)
    cut = round(len(TEXT) * 0.8)
    assert data.labels["tokens"] == data.labels["targets"] == sorted(set(TEXT))
    train = "".join(spelt(data, row) for row in rows(data, "train"))
    assert train == TEXT[: len(train)]
    assert cut - 9 <= len(train) < cut
    for tokens, targets in zip(rows(data, "val"), rows(data, "val", "targets"), strict=True):
        assert spelt(data, tokens[1:]) == spelt(data, targets[:-1])
        assert spelt(data, tokens) + spelt(data, targets[-1:]) in TEXT[cut:]


@pytest.mark.parametrize("stride", [1, 3, 8, 20])
def test_windows_start_a_stride_apart(tmp_path: Path, stride: int) -> None:
    data = text(tmp_path, split={"train": 1.0}, stride=stride)
    found = [spelt(data, row) for row in rows(data, "train")]
    assert found == [TEXT[i : i + 8] for i in range(0, len(TEXT) - 8, stride)]


def test_no_character_is_in_two_parts_even_if_windows_overlap(tmp_path: Path) -> None:
    content = "".join(chr(33 + i) for i in range(90))
    data = text(tmp_path, content, stride=1, unknown="!", split={"train": 0.7, "val": 0.3})
    last = max(rows(data, "train", "targets").ravel())
    assert spelt(data, np.array([last])) == content[62]
    assert (rows(data, "val")[0] == data.labels["tokens"].index("!")).all()


def test_bytes_are_their_own_numbers(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4
    data = text(tmp_path, content, unit="byte", split={"train": 1.0})
    assert data.labels == {}
    np.testing.assert_array_equal(rows(data, "train")[40], np.frombuffer(content, "u1")[320:328])
    np.testing.assert_array_equal(rows(data, "train", "targets")[40], np.arange(65, 73))


def test_windows_do_not_cross_files(tmp_path: Path) -> None:
    for i, letter in enumerate("ab", 1):
        (tmp_path / f"part_{i}.txt").write_text(letter * 20)
    data = text(tmp_path, path="part_*.txt", split={"train": 1.0}, window=6, stride=1)
    found = {spelt(data, row) for row in rows(data, "train")}
    assert found == {"aaaaaa", "bbbbbb"}
    assert len(rows(data, "train")) == 2 * 14


def test_files_for_each_part(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("the fox")
    data = text(tmp_path, split={"train": "t.txt", "val": "v.txt"}, window=3)
    assert [spelt(data, row) for row in rows(data, "val")] == ["the", " fo"]
    assert len(rows(data, "train")) == -(-(len(TEXT) - 3) // 3)


def test_batches_hold_the_rows_of_one_window(tmp_path: Path) -> None:
    data = text(tmp_path, split={"train": 1.0})
    batches = batches_of(data.parts["train"], data.columns, 10)
    whole = list(batches.epoch(0, 1))
    assert sum(share.rows for share in whole) == len(rows(data, "train"))
    for batch, *_ in whole:
        assert batch["tokens"].dtype == torch.int64
        assert torch.equal(batch["tokens"][:, 1:], batch["targets"][:, :-1])
    tail = [batch for batch, *_ in batches.epoch(0, 1, first=4)]
    assert all(
        torch.equal(a["tokens"], b["tokens"]) for a, (b, *_) in zip(tail, whole[4:], strict=True)
    )


@pytest.mark.parametrize(
    ("content", "settings", "code", "message"),
    [
        ("a\nb\nc\nab\nbaé" * 1, {"split": {"train": 0.7, "val": 0.3}, "window": 2}, "D512",
         "`t.txt`, line 5, column 3: the character `é` does not occur in the training part"),
        (b"fine\nthen \xff not", {}, "D510", "`t.txt`, line 2: byte 11 is not UTF-8"),
        ("short", {"split": {"train": 1.0}}, "D506",
         "the `train` part is shorter than a window of 8 and one more"),
        (b"", {}, "D506", "`t.txt` is empty"),
        (TEXT, {"split": {"train": 0.9, "val": 0.2}}, "D509",
         "the parts add up to 1.1, more than 1"),
        (TEXT, {"split": {"train": 0.9, "val": 0.1, "shuffle": True}}, "D509",
         "a text can't be split with `shuffle`"),
        (TEXT, {"path": "u.txt"}, "D501", "there is no file `u.txt`"),
        (TEXT, {"path": "."}, None, None),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_text_is_reported(
    tmp_path: Path, content: str | bytes, settings: dict[str, Any], code: str | None,
    message: str | None,
) -> None:  # fmt: skip
    if code is None:
        assert text(tmp_path, content, **settings).rows["train"]
        return
    (found,) = failing(lambda: text(tmp_path, content, **settings))
    assert (found.code, found.message) == (code, message)


def test_a_window_of_another_length_than_the_input_is_reported(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    (found,) = failing(
        lambda: load(
            tmp_path, {}, path="t.txt", kind="text", inputs={"tokens": (9,)}, dtype="int64",
            source={"window": 8},
        )
    )  # fmt: skip
    assert found.message == "column `tokens` has 8 values a row, which shape (9,) can't hold"
