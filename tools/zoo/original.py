"""What a spec of the zoo is compared with: a model that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SPECS = Path(__file__).parent.parent.parent / "specs"

Tensors = dict[str, "torch.Tensor"]


class MissingLibraryError(Exception):
    """The library that the original comes from is not installed, or cannot be imported."""


def call_by_position(module: torch.nn.Module, inputs: Tensors) -> Tensors:
    """The call of a model of one result, named `logits`."""
    return {"logits": module(*inputs.values())}


@dataclass(frozen=True)
class Original:
    """A model of another library, and what is needed to compare a spec with it.

    `make` builds it with random weights and raises `MissingLibraryError` where it cannot.
    `inputs` makes tensors by the names of the spec's inputs, `call` gives the original's
    results by the names of the spec's outputs.
    """

    spec: str
    """The spec's path below `specs/`."""
    library: str
    make: Callable[[], torch.nn.Module]
    inputs: Callable[[], Tensors]
    call: Callable[[torch.nn.Module, Tensors], Tensors] = call_by_position
    parameters: int | None = None
    """The number that the original's authors published; `None` where they published none."""
    tolerance: float = 0.0
    """How far outputs may be apart, relative to the largest: 0 is bit for bit."""
    reason: str = ""
    """Why there is a tolerance."""
    small: tuple[str, ...] = ()
    """Changes, as of `--set`, that make the spec small enough to prove its ONNX export."""
    reduced: tuple[str, ...] = ()
    """Changes under which the outputs are compared, where `make` builds fewer layers than were
    published; the parameters are counted without them."""
    opsets: tuple[int | None, ...] = (None,)
    """For which ONNX opsets the export is proven; `None` is the default one."""

    def __post_init__(self) -> None:
        if bool(self.tolerance) != bool(self.reason):
            raise ValueError(f"{self.spec}: a tolerance has a reason, and nothing else has one")

    @property
    def name(self) -> str:
        """The spec's name without folder and ending."""
        return Path(self.spec).stem

    @property
    def path(self) -> Path:
        """The spec's file."""
        return SPECS / self.spec
