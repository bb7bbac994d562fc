"""Tables for people, through rich."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import click

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.ir.dims import Size, evaluate
from specc.passes.summary import Summary


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    # Into a file or a pipe the table must not be cut at a terminal's width.
    return console if console.is_terminal else Console(highlight=False, width=160)


def human(count: int) -> str:
    """`34634` as `34.6 k`."""
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _flops(flops: Size, summary: Summary) -> str:
    return human(evaluate(flops, summary.example)) if flops else ""


def print_summary(summary: Summary) -> None:
    """The table of `specc show`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, justify in (
        ("layer", "left"),
        ("op", "left"),
        ("output", "left"),
        ("parameters", "right"),
        ("FLOPs", "right"),
    ):
        table.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in summary.rows:
        cells = (
            row.path,
            row.op,
            row.output,
            f"{row.parameters:,}" if row.parameters else "",
            _flops(row.flops, summary),
        )
        table.add_row(*map(Text, cells))
    console = _console()
    console.print(Text(summary.name, style="bold"))
    console.print(table)
    sizes = ", ".join(f"{name} = {size}" for name, size in summary.example.items())
    trainable = (
        ""
        if summary.trainable == summary.parameters
        else f", {summary.trainable:,} of them trained"
    )
    console.print(Text(f"parameters  {summary.parameters:,}{trainable}"))
    console.print(
        Text(
            f"FLOPs       {human(summary.example_flops)} at {sizes}"
            if sizes
            else f"FLOPs       {human(summary.example_flops)}"
        )
    )


def print_certificate(done: Any) -> None:
    """What was proven, by family of inputs and witness."""
    from specc.cli.certificates import certificate_lines

    for line in certificate_lines(done):
        click.echo(line)


def predictions_csv(table: dict[str, list[Any]]) -> str:
    """Predictions as csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def prepare_target(target: Path) -> None:
    """Make the folder of a file to write; raises `SpeccError` U803 if the file is a folder."""
    if target.is_dir():
        hint = f"name a file, for example `{target / 'predictions.csv'}`"
        raise SpeccError([Diagnostic("U803", f"`{target}` is a folder", hint=hint)])
    target.parent.mkdir(parents=True, exist_ok=True)


def write_predictions(table: dict[str, list[Any]], target: Path) -> None:
    """Predictions as csv into a file, which is there in full or not at all."""
    from specc.runtime.atomic import write_bytes

    write_bytes(target, predictions_csv(table).encode())
