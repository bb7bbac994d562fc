"""An MLP on rows in memory, where a step is so short that all around it counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.task import Parts, Task

FEATURES, HIDDEN, CLASSES, VAL_ROWS = 64, (128, 64), 10, 2_048


def rows_of_classes(rows: int, features: int, seed: int) -> tuple[Any, Any]:
    """Random features and a class that they tell of."""
    import numpy as np

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    return x, (x[:, :CLASSES] + rng.normal(size=(rows, CLASSES))).argmax(1)


def network(features: int, hidden: Sequence[int]) -> Any:
    """An MLP in PyTorch."""
    from torch import nn

    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, CLASSES))


def model(features: int, hidden: Sequence[int]) -> dict[str, Any]:
    """The same in a spec."""
    layers: list[Any] = []
    for i, width in enumerate(hidden):
        layers += [{"name": f"fc{i}", "op": "Linear", "out_features": width}, "ReLU"]
    return {
        "inputs": {"x": {"shape": ["batch", features]}},
        "layers": [*layers, {"name": "head", "op": "Linear", "out_features": CLASSES}],
        "outputs": {"logits": "head"},
    }


def keras_model(features: int, hidden: Sequence[int]) -> Any:
    """The same in Keras."""
    import keras

    layers = [keras.layers.Dense(width, "relu") for width in hidden]
    return keras.Sequential([keras.Input((features,)), *layers, keras.layers.Dense(CLASSES)])


class Mlp(Task):
    """Three layers, 51,200 rows."""

    name, rows, batch, epochs, validates = "mlp", 51_200, 64, 10, False
    title = f"MLP {FEATURES}-{HIDDEN[0]}-{HIDDEN[1]}-{CLASSES}, batch 64, 51,200 rows in memory"
    targets: ClassVar = {
        ("specc", "fused"): 0.95, ("specc", "textbook"): 1.8, ("specc", "lightning"): 2.5,
        ("specc", "keras"): 4.0, ("step", "fused"): 1.8,
    }  # fmt: skip

    def parts(self, folder: Path) -> Parts:  # noqa: ARG002
        return {
            "train": rows_of_classes(self.rows, FEATURES, 0),
            "val": rows_of_classes(VAL_ROWS, FEATURES, 1),
        }

    def network(self) -> Any:
        return network(FEATURES, HIDDEN)

    def model(self) -> dict[str, Any]:
        return model(FEATURES, HIDDEN)

    def keras_model(self) -> Any:
        return keras_model(FEATURES, HIDDEN)
