"""What is wrong with data or training settings, before its place in the spec is looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from specc.diagnostics.model import Diagnostic, Label, Pointer, Span, SpeccError
from specc.diagnostics.suggest import closest

Locate = Callable[[Pointer], Span | None]
"""Gives the place of a JSON pointer in the spec's text, where there is one."""


def nowhere(_: Pointer) -> Span | None:
    """Stands in for `Locate` where no text is at hand."""
    return None


class TrainError(Exception):
    """One thing that is wrong, with the keys that lead to it from where it was found.

    A `label` says a place outside the section, where that tells more.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *at: str | int,
        hint: str | None = None,
        notes: tuple[str, ...] = (),
        label: Label | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.at = code, message, at
        self.hint, self.notes, self.label = hint, notes, label

    def under(self, *prefix: str | int) -> TrainError:
        """The same problem seen from further out."""
        return TrainError(
            self.code, self.message, *prefix, *self.at, hint=self.hint, notes=self.notes,
            label=self.label,
        )  # fmt: skip

    def rooted(self) -> RootedError:
        """The same problem, found while training but standing elsewhere in the spec."""
        return RootedError(self.code, self.message, *self.at, hint=self.hint, notes=self.notes)

    def diagnostic(self, locate: Locate) -> Diagnostic:
        """The finding, at the innermost part of its pointer that the spec's text has."""
        if self.label:
            return Diagnostic(self.code, self.message, self.label, notes=self.notes, hint=self.hint)
        spans = (locate(self.at[:end]) for end in range(len(self.at), 0, -1))
        span = next((s for s in spans if s is not None), None)
        primary = Label(span) if span else None
        return Diagnostic(self.code, self.message, primary, notes=self.notes, hint=self.hint)


class RootedError(TrainError):
    """A problem whose keys lead to it from the root of the spec."""

    def under(self, *prefix: str | int) -> TrainError:
        """Itself: there is nothing further out."""
        del prefix
        return self


def raise_all(problems: Iterable[TrainError], locate: Locate) -> None:
    """Raise `SpeccError` with all of them, if there are any."""
    found = [p.diagnostic(locate) for p in problems]
    if found:
        raise SpeccError(found)


def did_you_mean(name: str, choices: Iterable[str]) -> str | None:
    """A hint with the closest of the choices, if one is close."""
    match = closest(name, choices)
    return f"did you mean `{match}`?" if match else None


def listed(names: Iterable[object], limit: int = 12) -> str:
    """Names in backticks, a few of them if there are many."""
    all_names = [f"`{name}`" for name in names]
    more = len(all_names) - limit
    return ", ".join(all_names[:limit]) + (f" and {more} more" if more > 0 else "")


@contextmanager
def within(*prefix: str | int) -> Iterator[None]:
    """Problems that are raised inside are seen from `prefix` further out."""
    try:
        yield
    except TrainError as problem:
        raise problem.under(*prefix) from problem.__cause__
