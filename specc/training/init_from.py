"""Training that starts from the weights of another model or run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from specc.training.problems import TrainError, listed
from specc.training.settings import InitFrom

RUN_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Loaded:
    """Which weights came from the file, and which did not."""

    source: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    """Weights of the model that the file has not."""
    unused: tuple[str, ...]
    """Weights of the file that the model has not."""
    misfits: tuple[str, ...]
    """Weights that both have, of different shapes."""

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.fresh) + len(self.misfits)
        parts = [f"{len(self.loaded)} of {total} weights loaded from {self.source}"]
        for what in ("misfits", "fresh", "unused"):
            names = getattr(self, what)
            label = {"misfits": "of another shape", "fresh": "not in it"}.get(what, "not used")
            parts += [f"{label}: {listed(names, 4)}"] if names else []
        return "; ".join(parts)


def load_initial(module: nn.Module, start: InitFrom, base: Path) -> Loaded:
    """Put the weights in; raises `TrainError` L612 where they don't fit.

    `strict` wants every weight of both sides to have its partner; `matched` takes those of
    the same name and shape.
    """
    given = _read(start.path, base)
    own: Mapping[str, Tensor] = module.state_dict()
    both = [name for name in own if name in given]
    misfits = [name for name in both if own[name].shape != given[name].shape]
    loaded = [name for name in both if name not in misfits]
    result = Loaded(
        start.path, tuple(loaded), tuple(n for n in own if n not in given),
        tuple(n for n in given if n not in own), tuple(misfits),
    )  # fmt: skip
    if start.match == "strict":
        _refuse(result, own, given)
    if not loaded:
        raise TrainError("L612", f"`{start.path}` has no weight of this model", "init_from")
    with torch.no_grad():
        for name in loaded:
            own[name].copy_(given[name])
    return result


def _read(path: str, base: Path) -> dict[str, Tensor]:
    file = base / path
    file = file / RUN_WEIGHTS if file.is_dir() else file
    if not file.is_file():
        raise TrainError("L612", f"there are no weights `{path}`", "init_from")
    try:
        return dict(safetensors.torch.load_file(file))
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        message = f"`{path}` holds no safetensors: {error}"
        raise TrainError("L612", message, "init_from") from error


def _refuse(found: Loaded, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    faults = [
        f"`{n}` is {tuple(given[n].shape)} and the model's {tuple(own[n].shape)}"
        for n in found.misfits
    ]
    faults += [f"the file has no `{n}`" for n in found.fresh]
    faults += [f"the model has no `{n}`" for n in found.unused]
    if faults:
        more = (f"and {len(faults) - 6} more",) if len(faults) > 6 else ()
        raise TrainError(
            "L612", f"the weights of `{found.source}` don't fit the model", "init_from",
            notes=(*faults[:6], *more),
            hint='`{"path": …, "match": "matched"}` takes those that fit',
        )  # fmt: skip
