"""What a runtime has to offer to be a witness of a proof."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from specc.parity.judge import Array


class Witness(Protocol):
    """A runtime that computes a model's outputs; `run` raises whatever the runtime raises."""

    @property
    def name(self) -> str:
        """The runtime and its settings, as the certificate calls it."""

    @property
    def runtime(self) -> str:
        """The runtime alone, as the list of known differences calls it."""

    @property
    def version(self) -> str:
        """The version of the runtime."""

    @property
    def families(self) -> frozenset[str] | None:
        """The families of inputs that it is asked about; `None` for all."""

    def available(self) -> bool:
        """Whether it can be used here."""

    def run(self, model_path: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, in the model's order."""
