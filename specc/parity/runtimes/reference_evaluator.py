"""The ONNX reference evaluator: the operators as their specification computes them, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from specc.parity.judge import Array


class ReferenceEvaluator:
    """The evaluator of the `onnx` package, on few families of inputs, for it is slow."""

    name = runtime = "reference"
    families: frozenset[str] | None = frozenset({"normal", "data"})

    def __init__(self) -> None:
        self._open: tuple[Path, Any] | None = None

    @property
    def version(self) -> str:
        """The version of onnx."""
        import onnx

        return str(onnx.__version__)

    def available(self) -> bool:
        """Whether onnx is installed."""
        return find_spec("onnx") is not None

    def run(self, model_path: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name."""
        from onnx.reference import ReferenceEvaluator as Evaluator

        if self._open is None or self._open[0] != model_path:
            self._open = model_path, Evaluator(str(model_path))
        evaluator = self._open[1]
        with np.errstate(all="ignore"):
            results = evaluator.run(None, dict(feeds))
        return dict(zip(evaluator.output_names, map(np.asarray, results), strict=True))
