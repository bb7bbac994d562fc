"""Line charts as SVG, drawn from numbers alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Series = Mapping[str, Sequence[tuple[float, float]]]
"""Points of each line by its name."""

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 34


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within a range, 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(title: str, series: Series, mark: float | None = None) -> str:
    """A chart of values by epoch; `mark` is an epoch to point out."""
    points = [p for line in series.values() for p in line]
    if not points:
        return ""
    scale = _Scale(points)
    parts = [_grid(scale)]
    if mark is not None:
        x = scale.x(mark)
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    parts += [_line(scale, name, i, line) for i, (name, line) in enumerate(series.items())]
    legend = "".join(
        f'<span class="key s{i}">{escape(name)}</span>' for i, name in enumerate(series)
    )
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} by epoch">'
        + "".join(parts) + "</svg>"
    )  # fmt: skip
    return f"<figure><figcaption>{escape(title)}{legend}</figcaption>{svg}</figure>"


class _Scale:
    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        self.x_low, self.x_high = min(xs), max(xs)
        room = (max(ys) - min(ys)) * 0.05 or abs(max(ys)) * 0.05 or 0.5
        self.y_low, self.y_high = min(ys) - room, max(ys) + room

    def x(self, value: float) -> float:
        span = self.x_high - self.x_low
        share = (value - self.x_low) / span if span else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _grid(scale: _Scale) -> str:
    parts = []
    for value in ticks(scale.y_low, scale.y_high):
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:.4g}</text>')
    whole = [v for v in ticks(scale.x_low, scale.x_high, 8) if v == int(v)]
    for value in whole or [scale.x_low]:
        place = f'x="{scale.x(value)}" y="{HEIGHT - BOTTOM + 18}"'
        parts.append(f'<text {place} text-anchor="middle">{value:.0f}</text>')
    return "".join(parts)


def _line(scale: _Scale, name: str, index: int, points: Sequence[tuple[float, float]]) -> str:
    places = [(scale.x(x), scale.y(y), x, y) for x, y in points]
    path = " ".join(f"{x},{y}" for x, y, _, _ in places)
    # Beyond a hundred, dots would hide the line.
    dots = "" if len(points) > 100 else "".join(
        f'<circle class="s{index}" cx="{x}" cy="{y}" r="2.5">'
        f"<title>{escape(name)}, epoch {epoch:.0f}: {value:.6g}</title></circle>"
        for x, y, epoch, value in places
    )  # fmt: skip
    return f'<polyline class="s{index}" points="{path}"/>{dots}'
