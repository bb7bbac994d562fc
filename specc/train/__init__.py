"""Data, training loop, checkpoints and metrics.

`specc.train.data` needs no torch, so that a prediction through ONNX Runtime can read and
encode rows with it; everything else here imports torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    # The public function `specc.train` and this package share a name, and Python puts the
    # package in the function's place as soon as anything here is imported.
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return import_module("specc.api.training").train(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
