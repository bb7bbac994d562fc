"""The weights of PyTorch's antialiased resizing, which are those of Pillow."""

from __future__ import annotations

from collections.abc import Callable


def _triangle(x: float) -> float:
    return max(0.0, 1 - abs(x))


def _cubic(x: float, a: float = -0.5) -> float:
    """Keys' kernel (https://doi.org/10.1109/TASSP.1981.1163711)."""
    x = abs(x)
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


_FILTERS: dict[str, tuple[Callable[[float], float], int]] = {
    "bilinear": (_triangle, 1), "bicubic": (_cubic, 2),
}  # fmt: skip


def antialias_weights(
    size: int, count: int, factor: float | None, mode: str, *, align_corners: bool
) -> list[list[float]]:
    """For each of `count` new elements, the weights of the `size` old ones.

    The kernel is as wide as the new elements lie apart, and at least as wide as without.
    """
    kernel, half = _FILTERS[mode]
    if align_corners:
        step = (size - 1) / (count - 1) if count > 1 else 0.0
    else:
        step = 1 / factor if factor else size / count
    wide = max(step, 1.0)
    rows = []
    for i in range(count):
        center = step * (i + 0.5)
        low = max(int(center - half * wide + 0.5), 0)
        high = min(int(center + half * wide + 0.5), size)
        weights = [
            kernel((j - center + 0.5) / wide) if low <= j < high else 0.0 for j in range(size)
        ]
        total = sum(weights)
        rows.append([w / total if total else w for w in weights])
    return rows
