"""Options that every command shares, and how commands end."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.diagnostics.render import render_summary, render_text, to_json
from specc.runtime.launched import is_launched, launched_rank

FINE, FAILED, BAD = 0, 1, 2
"""Exit codes: all is well; a proof or a run failed; the spec or the usage is wrong."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Output:
    """How a command speaks: for people or (`--json`) for machines, and how much (`-q`)."""

    as_json: bool
    quiet: bool

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.quiet and not self.as_json:
            click.echo(text)

    def result(self, value: Any) -> None:
        """The result for machines."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2, ensure_ascii=False))

    def show(self, made: Callable[[], None]) -> None:
        """Something longer for people, printed by a function."""
        if not self.quiet and not self.as_json:
            made()

    def findings(self, diagnostics: Sequence[Diagnostic]) -> None:
        """Errors and warnings, on standard error; with `--json` as the result."""
        if self.as_json:
            self.result({"diagnostics": to_json(diagnostics)})
            return
        if not diagnostics:
            return
        color = sys.stderr.isatty()
        click.echo(render_text(diagnostics, color=color).rstrip("\n"), err=True)
        click.echo(f"\n{render_summary(diagnostics)}", err=True)


class Commands(click.Group):
    """The commands; with `--json`, wrong usage is told as JSON as well."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command that the arguments name."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given:
            return super().main(given, *rest, obj=given, **options)
        try:
            code = super().main(given, *rest, obj=given, **{**options, "standalone_mode": False})
        except click.ClickException as error:
            Output(True, False).findings([_usage_finding(error)])
            sys.exit(BAD)
        except click.Abort:
            sys.exit(FAILED)
        sys.exit(code if isinstance(code, int) else FINE)


def _usage_finding(error: click.ClickException) -> Diagnostic:
    """Click's message in the form of all the others."""
    message = error.format_message().partition("\n")[0].strip().rstrip(".")
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{context.command_path} --help` shows what it takes" if context else None
    return Diagnostic("U805", message[:1].lower() + message[1:], hint=hint)


def _end_on_terminate() -> None:
    """SIGTERM ends the process the way Ctrl-C does, so that unfinished files are cleared away."""
    import signal
    import threading

    on_main = threading.current_thread() is threading.main_thread()
    if on_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def shared(command: Command) -> Command:
    """Add `--set`, `--json` and `-q`; turn `SpeccError` into messages and exit code 2."""

    @functools.wraps(command)
    def run(*args: Any, as_json: bool, quiet: bool, **options: Any) -> None:
        # Of several processes that train together, one speaks; the others only of their errors.
        first = launched_rank() == 0
        out = Output(as_json and first, quiet or not first)
        _end_on_terminate()
        try:
            code = command(*args, out=out, **options)
        except SpeccError as error:
            out.findings(error.diagnostics)
            code = FAILED if any(d.code in RUN_FAILURES for d in error.diagnostics) else BAD
        except BrokenPipeError:
            code = FINE
        except SystemExit as end:  # told by another process, or asked to by a signal
            code = end.code if isinstance(end.code, int) else FINE
        except OSError as error:
            where = f"`{error.filename}`: " if error.filename else ""
            reason = (error.strerror or str(error)).lower()
            out.findings([Diagnostic("U803", f"{where}{reason}")])
            code = FAILED
        _leave(code or FINE)

    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(run)
    click.option(
        "-q", "--quiet", is_flag=True, help="Print nothing but errors, predictions and the schema."
    )(run)
    return run  # type: ignore[return-value]


def _leave(code: int) -> None:
    if not is_launched():
        sys.exit(code)
    # What the process group leaves running can abort a process while Python closes down.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


RUN_FAILURES = frozenset({"L605", "L611", "L613", "P701", "P702", "P703", "P704", "P705"})
"""Codes that say a run or a proof failed, not that the spec is wrong."""

setting = click.option(
    "--set", "sets", multiple=True, metavar="KEY.PATH=VALUE",
    help="Change one value of the spec, e.g. --set params.hidden=256.",
)  # fmt: skip
runs_folder = click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
    help="Folder of all runs.",
)  # fmt: skip
spec_argument = click.argument("spec", type=click.Path(path_type=Path), required=False)


def spec_or_default(spec: Path | None) -> Path:
    """The spec named, or `./spec.json`; raises `SpeccError` if there is neither."""
    if spec is not None:
        return spec / "spec.json" if (spec / "spec.json").is_file() else spec
    default = Path("spec.json")
    if default.is_file():
        return default
    hint = "name one, for example `specc check specs/digits_mlp.json`"
    raise SpeccError(
        [Diagnostic("U801", "no spec named, and there is no `spec.json` here", hint=hint)]
    )
