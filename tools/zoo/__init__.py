"""Which models of the zoo have an original elsewhere, and how to compare with it."""

from __future__ import annotations

import importlib
import pkgutil

from zoo.original import Original

__all__ = ["Original", "originals"]


def originals() -> list[Original]:
    """All originals, from the `ORIGINALS` of every module of this package."""
    found: list[Original] = []
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        found += getattr(module, "ORIGINALS", [])
    return found
