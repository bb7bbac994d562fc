from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from specc.training.data.splitting import mix, split_rows
from specc.training.problems import TrainError
from tests.train.cases import SPECS_DATA, failing, load, write_csv

FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}


@given(st.integers(3, 400), st.integers(0, 5), st.booleans(), st.integers(2, 6), st.booleans())
def test_no_row_is_in_two_parts_and_none_is_lost(
    rows: int, seed: int, shuffle: bool, kinds: int, stratified: bool
) -> None:
    strata = np.arange(rows) % kinds if stratified and kinds * 2 <= rows else None
    fractions = {"train": 0.5, "val": 0.5}
    parts = split_rows(rows, fractions, seed=seed, shuffle=shuffle, strata=strata)
    together = np.concatenate(list(parts.values()))
    np.testing.assert_array_equal(np.sort(together), np.arange(rows))
    assert abs(len(parts["train"]) - rows / 2) <= 1


@pytest.mark.parametrize(("rows", "sizes"), [(10, (8, 1, 1)), (30, (24, 3, 3)), (16, (13, 2, 1))])
def test_sizes_are_by_largest_remainder(rows: int, sizes: tuple[int, ...]) -> None:
    parts = split_rows(rows, FRACTIONS)
    assert tuple(len(part) for part in parts.values()) == sizes


def test_strata_are_as_even_as_sklearn_s() -> None:
    strata = np.random.default_rng(0).choice(5, 1000, p=[0.5, 0.3, 0.15, 0.04, 0.01])
    parts = split_rows(1000, {"train": 0.7, "val": 0.3}, strata=strata)
    counts = np.bincount(strata)
    ours = np.abs(np.bincount(strata[parts["val"]], minlength=5) - 0.3 * counts)
    split = StratifiedShuffleSplit(1, test_size=0.3, random_state=0)
    _, theirs = next(split.split(strata, strata))
    reference = np.abs(np.bincount(strata[theirs], minlength=5) - 0.3 * counts)
    assert ours.max() <= max(1.0, reference.max())
    assert len(parts["val"]) == len(theirs)


def test_the_seed_decides_and_rows_are_spread() -> None:
    one, again = (split_rows(1000, FRACTIONS, seed=1)["val"] for _ in range(2))
    other = split_rows(1000, FRACTIONS, seed=2)["val"]
    np.testing.assert_array_equal(one, again)
    assert len(np.intersect1d(one, other)) < 30
    assert 400 < one.mean() < 600


def test_the_hash_is_splitmix64() -> None:
    # The first outputs of the reference implementation for the state that seed 0 gives.
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def finish(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & mask
        return z ^ (z >> 31)

    # Published test vector: SplitMix64 with state 0 starts with this number.
    assert finish(golden) == 0xE220A8397B1DCDAF
    start = finish(golden)
    expected = [finish(((i + 1) * golden + start) & mask) for i in range(4)]
    assert mix(0, np.arange(4)).tolist() == expected


def test_groups_stay_together_and_no_part_is_empty() -> None:
    groups = np.random.default_rng(0).integers(0, 12, 300)
    parts = split_rows(300, FRACTIONS, groups=groups)
    kinds = [set(groups[part]) for part in parts.values()]
    assert set.union(*kinds) == set(groups.tolist())
    assert sum(map(len, kinds)) == 12
    assert 0.6 < len(parts["train"]) / 300 < 0.9
    few = split_rows(9, FRACTIONS, groups=np.arange(9) // 3)
    assert [len(part) for part in few.values()] == [3, 3, 3]
    with pytest.raises(TrainError, match="2 groups can't be shared out among 3 parts"):
        split_rows(20, FRACTIONS, groups=np.arange(20) // 10)


def test_the_order_of_the_file_is_kept_without_shuffle() -> None:
    parts = split_rows(10, FRACTIONS, shuffle=False)
    assert [part.tolist() for part in parts.values()] == [list(range(8)), [8], [9]]


def test_a_spec_can_stratify_by_a_column_s_name_or_the_table_s() -> None:
    columns = {"label": {"from": "species", "encode": "class"}, "x": {"from": "petal_*"}}
    by = [
        load(SPECS_DATA, columns, path="iris.csv", split={**FRACTIONS, "stratify": name})
        for name in ("label", "species")
    ]
    for data in by:
        assert np.bincount(data.parts["val"]["label"]).tolist() == [5, 5, 5]
    np.testing.assert_array_equal(by[0].parts["test"]["x"], by[1].parts["test"]["x"])


@pytest.mark.parametrize(
    ("split", "code", "message"),
    [
        ({"train": 0.8, "val": 0.3}, "D509", "the parts add up to 1.1, more than 1"),
        ({"train": 0.9, "val": -0.1}, "D509", "`val` is -0.1, less than 0"),
        ({"train": 0.95, "val": 0.05}, "D506", "the `val` part of 4 rows is empty"),
        ({"train": 0.9, "val": "t.csv"}, "D509", "`train` is a fraction and `val` a file"),
        ({"train": "t.csv", "val": "t.csv"}, "D509", "`t.csv` is in both `train` and `val`"),
        ({"val": 0.5}, "D509", "the split has no `train` part"),
        ({"train": 0.5, "val": 0.5, "stratify": "x"}, "D509",
         "every row has a value of its own, so none can be shared out"),
        ({"train": 0.5, "stratify": "x", "group": "b"}, "D509",
         "`stratify` and `group` can't be had together"),
        ({"train": 0.5, "val": 0.5, "group": "c"}, "D502", "`t.csv` has no column `c`"),
    ],
)  # fmt: skip
def test_a_bad_split_is_reported(
    tmp_path: Path, split: dict[str, object], code: str, message: str
) -> None:
    write_csv(tmp_path / "t.csv", "a,b\n1,1\n2,1\n3,2\n4,2\n")
    (found,) = failing(lambda: load(tmp_path, {"x": {"from": "a"}}, split=split))
    assert (found.code, found.message) == (code, message)
