"""A task: its data, and one network in PyTorch, as a spec and in Keras."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

Parts = Mapping[str, tuple[Any, Any]]
"""Inputs and class numbers, as numpy arrays, of `train` and `val`."""


class Task(ABC):
    """What all peers of one table do."""

    name: ClassVar[str]
    title: ClassVar[str]
    rows: ClassVar[int]
    """Rows of an epoch; where the task begins with a file, those of the file."""
    batch: ClassVar[int]
    epochs: ClassVar[int]
    whole: ClassVar[bool] = False
    """Whether the clock runs from the start of the process."""
    validates: ClassVar[bool] = True
    """Whether the loops validate after every epoch, as specc does in any case."""
    dtype: ClassVar[str] = "float32"
    targets: ClassVar[Mapping[tuple[str, str], float]] = {}
    """How many times as fast as the second peer the first has to be."""

    def prepare(self, folder: Path) -> None:  # noqa: B027
        """Write the files that the peers read, if any."""

    @abstractmethod
    def parts(self, folder: Path) -> Parts:
        """The data, as whoever writes a loop gets it."""

    @abstractmethod
    def network(self) -> Any:
        """The PyTorch module."""

    @abstractmethod
    def model(self) -> dict[str, Any]:
        """The spec's part that describes the network."""

    @abstractmethod
    def keras_model(self) -> Any:
        """The Keras model."""

    def data(self) -> dict[str, Any]:
        """The spec's `data`."""
        columns = {"x": {"dtype": self.dtype}, "label": {"dtype": "int64"}}
        return {"source": {"kind": "memory"}, "columns": columns}

    def arrays(self, folder: Path) -> Mapping[str, Any] | None:
        """What is handed over for a `memory` source."""
        parts = self.parts(folder)
        return {name: {"x": x, "label": label} for name, (x, label) in parts.items()}

    def spec(self, epochs: int, compile_how: str | bool) -> dict[str, Any]:
        """The whole spec."""
        train = {
            "loss": {"op": "CrossEntropyLoss", "from": ["logits", "label"]},
            "optimizer": {"op": "Adam", "lr": 0.001},
            "metrics": {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}},
            "epochs": epochs, "batch_size": self.batch, "compile": compile_how,
        }  # fmt: skip
        head = {"specc": 1, "name": f"bench_{self.name}"}
        return {**head, **self.model(), "data": self.data(), "train": train}
