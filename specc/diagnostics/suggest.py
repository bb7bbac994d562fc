"""Did you mean: the known name that a misspelt one is closest to."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` most likely stands for, or None if none is near.

    A candidate that differs only in case or in `_` and `-` wins: `relu` means `ReLU`.
    """
    names = list(candidates)
    plain = _plain(word)
    same = [name for name in names if _plain(name) == plain]
    if same:
        # `Relu` means the module `ReLU`, `Softmax` in lower case the function.
        return min(same, key=lambda n: (n[0] != word[:1], _distance(word, n, len(word) + len(n))))
    limit = max(1, len(plain) // 3) if len(plain) > 1 else 0
    near = ((_distance(plain, _plain(name), limit), name) for name in names)
    best = min((pair for pair in near if pair[0] <= limit), key=lambda pair: pair[0], default=None)
    return best[1] if best else None


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


def _distance(a: str, b: str, limit: int) -> int:
    """Optimal string alignment distance; any number above `limit` once it is exceeded."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > limit and (not before or min(last) > limit):
            return limit + 1
        before, last = last, row
    return last[-1]
