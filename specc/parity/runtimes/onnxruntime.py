"""ONNX Runtime on the CPU: one thread, sequential, without and with its optimizations."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from specc.parity.judge import Array

Level = Literal["disable_all", "enable_all"]
QUIET = 4
"""Only fatal messages; every other one comes back as an exception anyway."""


def open_session(model: str | bytes, level: Level) -> Any:
    """A session whose sums are always added up in the same order."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level.upper()}")
    options.log_severity_level = QUIET
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxRuntime:
    """ONNX Runtime at one level of graph optimization."""

    runtime = "onnxruntime"
    families: frozenset[str] | None = None

    def __init__(self, level: Level) -> None:
        self.name = f"onnxruntime:{level}"
        self._level: Level = level
        self._open: tuple[Path, Any] | None = None

    @property
    def version(self) -> str:
        """The version of onnxruntime."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def available(self) -> bool:
        """Whether onnxruntime is installed."""
        return find_spec("onnxruntime") is not None

    def run(self, model_path: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; the session of the last model is kept."""
        if self._open is None or self._open[0] != model_path:
            self._open = model_path, open_session(str(model_path), self._level)
        session = self._open[1]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))
