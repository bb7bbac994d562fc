"""A small CNN on images in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.task import Parts, Task

SIZE, WIDTHS, CLASSES, VAL_ROWS = 28, (16, 32, 64), 10, 640


def images(rows: int, seed: int) -> tuple[Any, Any]:
    """Noise with a bright spot whose place is the class."""
    import numpy as np

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 1, SIZE, SIZE)).astype(np.float32)
    label = rng.integers(0, CLASSES, rows)
    x[np.arange(rows), 0, 4 + 2 * label, 4 + 2 * label] += 4
    return x, label


class Cnn(Task):
    """Three convolutions, each with BatchNorm, and two poolings."""

    name, rows, batch, epochs = "cnn", 6_400, 64, 10
    title = "CNN 1x28x28, convolutions 16-32-64 with BatchNorm, batch 64, 6,400 images in memory"

    def parts(self, folder: Path) -> Parts:  # noqa: ARG002
        return {"train": images(self.rows, 0), "val": images(VAL_ROWS, 1)}

    def network(self) -> Any:
        from torch import nn

        layers: list[nn.Module] = []
        channels = 1
        for width in WIDTHS:
            conv = nn.Conv2d(channels, width, 3, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            channels = width
        layers[-1] = nn.AdaptiveAvgPool2d(1)
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, CLASSES))

    def model(self) -> dict[str, Any]:
        conv = {"op": "Conv2d", "kernel_size": 3, "padding": 1, "bias": False}
        layers: list[Any] = []
        for i, width in enumerate(WIDTHS):
            layers.append({"name": f"conv{i}", **conv, "out_channels": width})
            layers += ["BatchNorm2d", "ReLU", {"op": "MaxPool2d", "kernel_size": 2}]
        layers[-1] = {"op": "AdaptiveAvgPool2d", "output_size": 1}
        return {
            "inputs": {"x": {"shape": ["batch", 1, SIZE, SIZE]}},
            "layers": [
                *layers,
                "Flatten",
                {"name": "head", "op": "Linear", "out_features": CLASSES},
            ],
            "outputs": {"logits": "head"},
        }

    def keras_model(self) -> Any:
        import keras
        from keras import layers as k

        # PyTorch's layout, which is the fast one on this backend.
        keras.config.set_image_data_format("channels_first")
        layers: list[Any] = []
        for width in WIDTHS:
            layers += [k.Conv2D(width, 3, padding="same", use_bias=False)]
            layers += [k.BatchNormalization(axis=1, momentum=0.9, epsilon=1e-5), k.ReLU()]
            layers += [k.MaxPooling2D()]
        layers[-1] = k.GlobalAveragePooling2D()
        return keras.Sequential([keras.Input((1, SIZE, SIZE)), *layers, k.Dense(CLASSES)])
