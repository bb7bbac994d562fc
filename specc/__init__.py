"""A model is one JSON file: checked, compiled to plain PyTorch, trained, exported and proven.

import specc

model = specc.load("specs/digits_mlp.json", ["params.hidden=256"])
print(model.source())              # the PyTorch source
module = model.compile()           # a torch.nn.Module, made from that source
result = specc.train(model)        # runs/digits_mlp/<time>/
proof = specc.export(result.folder)
assert proof.proven
table = specc.predict(proof.model, "rows.csv")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from specc.api.building import build
    from specc.api.checking import check
    from specc.api.exporting import export
    from specc.api.model import Model, load
    from specc.api.predicting import predict
    from specc.api.training import train
    from specc.api.verifying import verify
    from specc.diagnostics.model import Diagnostic, SpeccError

_HOMES = {
    "Diagnostic": "specc.diagnostics.model", "Model": "specc.api.model",
    "SpeccError": "specc.diagnostics.model", "build": "specc.api.building",
    "check": "specc.api.checking", "export": "specc.api.exporting", "load": "specc.api.model",
    "predict": "specc.api.predicting", "train": "specc.api.training",
    "verify": "specc.api.verifying",
}  # fmt: skip

__all__ = [
    "Diagnostic", "Model", "SpeccError", "__version__", "build", "check", "export", "load",
    "predict", "train", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Loaded on first use: `specc --help` should not wait for the compiler, nor `check` for torch.
    if name == "__version__":
        return import_module("importlib.metadata").version("specc")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module `specc` has no attribute `{name}`")
