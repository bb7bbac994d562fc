"""Which rows train, validate and test: deterministic, and no row in two parts.

Rows are put in an order, and the order is cut where the parts end; the sizes of the parts
are the fractions of all rows by largest remainder.

- shuffled (the default): by `mix(seed, row)`, a fixed 64-bit hash, so that the split depends
  on nothing but the seed and the number of rows;
- `stratify`: the j-th of n rows of a class, in that order, stands at `(j + 1/2) / n`, and
  rows are ordered by where they stand. Every stretch has the classes in proportion;
- `shuffle: false`: as in the file;
- `group`: whole groups, the largest first, go where most rows are still wanted, and no part
  stays empty as long as there are groups.

Fractions may add up to less than 1; the rest of the rows is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from specc.training.data.table import Array
from specc.training.problems import TrainError

PARTS = ("train", "val", "test")


def mix(seed: int, numbers: Array | int) -> Array:
    """A 64-bit hash of each number under a seed (SplitMix64, Steele, Lea and Flood 2014)."""
    golden, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    start = np.uint64(int(_finish(np.array([(seed + 1) * golden & mask], np.uint64))[0]))
    counted = np.atleast_1d(np.asarray(numbers, np.uint64)) + np.uint64(1)
    return _finish(counted * np.uint64(golden) + start)


def _finish(z: Array) -> Array:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raises `TrainError` D509 for a share below 0, or more than the whole."""
    for name, fraction in fractions.items():
        if fraction < 0:
            raise TrainError("D509", f"`{name}` is {fraction:g}, less than 0", name)
    total = sum(fractions.values())
    if total > 1 + 1e-9:
        raise TrainError("D509", f"the parts add up to {total:g}, more than 1")


def text_hash(text: str) -> int:
    """A 64-bit hash of a text that is the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def hashed_parts(hashes: Array, fractions: Sequence[float]) -> Array:
    """The part of each row by its hash: an index into `fractions`, or -1 for the rest.

    Which part a row is in depends on no other row.
    """
    ends = np.cumsum(fractions)
    parts = np.searchsorted(ends, hashes / 2.0**64, side="right")
    # Where the parts are all there is, rounding must not leave a row out.
    last = int(np.flatnonzero(np.asarray(fractions) > 0)[-1])
    rest = last if ends[-1] > 1 - 1e-9 else -1
    return np.where(parts < len(ends), parts, rest)


def split_rows(
    rows: int,
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
    shuffle: bool = True,
    strata: Array | None = None,
    groups: Array | None = None,
) -> dict[str, Array]:
    """Row numbers of each part, ascending; `strata` and `groups` number each row's class.

    Raises `TrainError` D506 or D509.
    """
    sizes = _sizes(rows, fractions)
    if groups is not None:
        parts = _by_group(groups, sizes, seed)
    else:
        order = _order(rows, seed, shuffle, strata)
        ends = np.cumsum(sizes)
        parts = [np.sort(p) for p in np.split(order[: ends[-1]], ends[:-1])]
    for name, part in zip(fractions, parts, strict=True):
        if fractions[name] > 0 and not len(part):
            raise TrainError("D506", f"the `{name}` part of {rows} rows is empty", name)
    return {name: part for name, part in zip(fractions, parts, strict=True) if len(part)}


def _sizes(rows: int, fractions: Mapping[str, float]) -> list[int]:
    check_fractions(fractions)
    wanted = [rows * fraction for fraction in fractions.values()]
    # A hair is added so that 0.1 * 30 counts as 3.
    sizes = [int(w + 1e-9) for w in wanted]
    left = round(sum(wanted) + 1e-9) - sum(sizes)
    by_remainder = sorted(range(len(sizes)), key=lambda i: sizes[i] - wanted[i])
    for i in by_remainder[: max(left, 0)]:
        sizes[i] += 1
    return sizes


def _order(rows: int, seed: int, shuffle: bool, strata: Array | None) -> Array:
    if not shuffle:
        return np.arange(rows)
    keys = mix(seed, np.arange(rows))
    if strata is None:
        return np.argsort(keys, kind="stable")
    grouped = np.lexsort((keys, strata))
    counts = np.bincount(strata)
    if counts.max(initial=0) < 2:
        raise TrainError("D509", "every row has a value of its own, so none can be shared out",
                      "stratify", hint="stratify by a column of classes")  # fmt: skip
    firsts = np.cumsum(counts) - counts
    rank = np.empty(rows)
    rank[grouped] = np.arange(rows) - firsts[strata[grouped]]
    return np.lexsort((keys, (rank + 0.5) / counts[strata]))


def _by_group(groups: Array, sizes: Sequence[int], seed: int) -> list[Array]:
    counts = np.bincount(groups)
    order = np.lexsort((mix(seed, np.arange(len(counts))), -counts))
    filled, target = [0] * len(sizes), np.zeros(len(counts), int)
    wanted_parts = [i for i, size in enumerate(sizes) if size]
    if len(counts) < len(wanted_parts):
        message = f"{len(counts)} groups can't be shared out among {len(wanted_parts)} parts"
        raise TrainError("D509", message, "group")
    for at, group in enumerate(order.tolist()):
        empty = [i for i in wanted_parts if not filled[i]]
        choices = empty if len(order) - at <= len(empty) else wanted_parts
        part = max(choices, key=lambda i: sizes[i] - filled[i])
        filled[part] += int(counts[group])
        target[group] = part
    return [np.flatnonzero(target[groups] == i) for i in range(len(sizes))]


def file_parts(split: Mapping[str, Any]) -> dict[str, list[str]]:
    """The parts that are files rather than fractions, as lists of paths.

    Raises `TrainError` D509 for a mixture of both, or a file in two parts.
    """
    given = {name: split[name] for name in PARTS if name in split}
    files = {k: [v] if isinstance(v, str) else list(v) for k, v in given.items() if _is_file(v)}
    if files and len(files) < len(given):
        odd = next(name for name in given if name not in files)
        raise TrainError("D509", f"`{odd}` is a fraction and `{next(iter(files))}` a file", odd)
    seen: dict[str, str] = {}
    for name, paths in files.items():
        for path in paths:
            if path in seen:
                raise TrainError("D509", f"`{path}` is in both `{seen[path]}` and `{name}`", name)
            seen[path] = name
    return files


def _is_file(value: object) -> bool:
    return isinstance(value, str | list)
