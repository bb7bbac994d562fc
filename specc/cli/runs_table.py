"""The tables of `specc runs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specc.api.run_list import PARTS, Run
from specc.cli.tables import _console


def print_runs(runs: Sequence[Run]) -> None:
    """One line a run."""
    table = _table("run", "state", "epochs", "best", "scores", "seconds", "samples/s")
    for run in runs:
        table.add_row(
            f"{run.name}/{run.stamp}", run.state.replace("_", " "), str(run.epochs),
            str(run.best_epoch or ""), _scores(run.metrics), _rounded(run.seconds, ".1f"),
            _rounded(run.samples_per_second, ",.0f"),
        )  # fmt: skip
    _console().print(table)


def print_comparison(runs: Sequence[Run], changed: Mapping[str, Sequence[Any]]) -> None:
    """A column a run: what differs in their specs, then what came of it."""
    table = _table("", *(f"{run.name}/{run.stamp}" for run in runs))
    for key, values in changed.items():
        table.add_row(key, *("" if value is None else str(value) for value in values))
    table.add_section()
    shown = [(part, name) for run in runs for part in PARTS for name in run.metrics.get(part, {})]
    for part, name in dict.fromkeys(shown):
        cells = [_rounded(run.metrics.get(part, {}).get(name), ".4g") for run in runs]
        table.add_row(f"{part} {name}", *cells)
    table.add_row("epochs", *(str(run.epochs) for run in runs))
    table.add_row("seconds", *(_rounded(run.seconds, ".1f") for run in runs))
    _console().print(table)


def _table(*titles: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        right = title in ("epochs", "best", "seconds", "samples/s")
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    return table


def _scores(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The scores of the part that says most about the model: test, else validation."""
    part = next((part for part in PARTS if part in metrics), None)
    if part is None:
        return ""
    shown = [f"{k} {v:.4g}" for k, v in metrics[part].items() if isinstance(v, int | float)]
    return f"{part}: {', '.join(shown)}"


def _rounded(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else ""
