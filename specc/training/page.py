"""`curves.html`: a run on one page that needs nothing but itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from specc.runtime.atomic import write_bytes
from specc.training.chart import line_chart
from specc.training.run_folder import read_lines

PAGE = "curves.html"
PARTS = ("train", "val", "test")
MOST_CELLS = 40
"""A matrix of more classes is left to `confusion_matrix.json`."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #667085; --rule: #e4e7ec; --paper: #fff;
  --s0: #2563eb; --s1: #d97706; --s2: #059669; --heat: 37, 99, 235; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --rule: #2c3442;
  --paper: #12161d; --s0: #60a5fa; --s1: #fbbf24; --s2: #34d399; --heat: 96, 165, 250; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1140px; padding: 32px 24px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0; } h2 { font-size: 16px; margin: 36px 0 12px; }
.facts { color: var(--soft); margin: 4px 0 24px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); gap: 28px; }
figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: 6px; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
.grid { stroke: var(--rule); } .mark { stroke: var(--soft); stroke-dasharray: 3 4; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.s0 { stroke: var(--s0); } polyline.s1 { stroke: var(--s1); }
polyline.s2 { stroke: var(--s2); }
circle.s0 { fill: var(--s0); } circle.s1 { fill: var(--s1); } circle.s2 { fill: var(--s2); }
.key { font-weight: 400; color: var(--soft); margin-left: 14px; font-size: 13px; }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; margin-right: 6px;
  vertical-align: middle; border-radius: 2px; }
.key.s0::before { background: var(--s0); } .key.s1::before { background: var(--s1); }
.key.s2::before { background: var(--s2); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th { font-weight: 600; text-align: left; } th, td { padding: 5px 12px; }
.scores td { text-align: right; } .scores tr + tr > * { border-top: 1px solid var(--rule); }
.matrix { margin-top: 4px; } .matrix td { text-align: center; min-width: 40px; padding: 5px 6px; }
.matrix th { font-weight: 400; color: var(--soft); } .matrix .column { text-align: center; }
.matrix caption { caption-side: bottom; color: var(--soft); text-align: left; padding-top: 8px; }
""".strip()


def write_page(folder: Path) -> None:
    """Write the page of a run from what its folder holds."""
    lines = read_lines(folder / "metrics.jsonl")
    result, matrix = _read(folder / "result.json"), _read(folder / "confusion_matrix.json")
    name = folder.resolve().parent.name
    body = [f"<h1>{escape(name)}</h1>", f'<p class="facts">{_facts(folder, lines, result)}</p>']
    body.append(f'<div class="charts">{"".join(charts(lines))}</div>')
    body.append(_scores(result.get("metrics", {})))
    body.append(_matrices(matrix))
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(name)} {escape(folder.name)}</title>\n"
        f"<style>\n{STYLE}\n</style>\n</head>\n"
        "<body>\n" + "\n".join(filter(None, body)) + "\n</body>\n</html>\n"
    )
    write_bytes(folder / PAGE, page.encode())


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _facts(folder: Path, lines: Sequence[Mapping[str, Any]], result: Mapping[str, Any]) -> str:
    facts = [folder.resolve().name, f"{len(lines)} epochs"]
    if result:
        facts += [f"best {result['best_epoch']}"] if result["best_epoch"] else []
        facts += [f"{result['seconds']:.1f} s", f"{result['samples_per_second']:,.0f} samples/s"]
        facts += [str(result["stopped"]).replace("_", " ")]
    return " · ".join(map(escape, facts))


def charts(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A chart for the loss, each metric and the learning rate."""
    best = next((line["epoch"] for line in reversed(lines) if line.get("best")), None)
    names = dict.fromkeys(n for line in lines for p in PARTS for n in line.get(p, {}))
    made = []
    for name in names:
        series = {part: _points(lines, part, name) for part in PARTS}
        made.append(line_chart(name, {k: v for k, v in series.items() if v}, best))
    rates = [(line["epoch"], line["lr"]) for line in lines]
    if len({rate for _, rate in rates}) > 1:
        made.append(line_chart("learning rate", {"lr": rates}, best))
    return made


def _points(lines: Sequence[Mapping[str, Any]], part: str, name: str) -> list[tuple[float, float]]:
    values = [(line["epoch"], line.get(part, {}).get(name)) for line in lines]
    return [(epoch, value) for epoch, value in values if isinstance(value, int | float)]


def _scores(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    names = [n for n, v in next(iter(metrics.values()), {}).items() if not isinstance(v, list)]
    if not names:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(
        f"<tr><th>{escape(part)}</th>{''.join(f'<td>{_number(v.get(n))}</td>' for n in names)}</tr>"
        for part, v in metrics.items()
    )
    return (
        '<h2>The kept weights</h2><div class="scroll"><table class="scores">'
        f"<tr><th></th>{head}</tr>{rows}</table></div>"
    )


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "–"


def _matrices(found: Mapping[str, Any]) -> str:
    part = next((p for p in ("test", "val", "train") if p in found), None)
    if part is None or len(found[part]) > MOST_CELLS:
        return ""
    counts = found[part]
    # A model may have more classes than the data has labels.
    known = [str(label) for label in found.get("labels") or []]
    labels = known + [str(i) for i in range(len(known), len(counts))]
    head = "".join(f'<th class="column">{escape(label)}</th>' for label in labels)
    rows = "".join(
        f"<tr><th>{escape(label)}</th>{''.join(_cell(n, sum(row)) for n in row)}</tr>"
        for label, row in zip(labels, counts, strict=True)
    )
    return (
        f"<h2>Confusion matrix, {part}</h2>"
        f'<div class="scroll"><table class="matrix"><caption>Rows: true {escape(found["target"])}; '
        f"columns: predicted.</caption><tr><th></th>{head}</tr>{rows}</table></div>"
    )


def _cell(count: int, row: int) -> str:
    share = count / row if row else 0.0
    strong = ' style="font-weight:600"' if share > 0.5 else ""
    shade = f"background:rgba(var(--heat),{0.06 + 0.5 * share:.2f})" if count else ""
    text = f"{count:,}" if count else '<span style="color:var(--soft)">·</span>'
    return f'<td style="{shade}"><span{strong}>{text}</span></td>'
