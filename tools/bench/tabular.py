"""A small MLP on a csv of a million rows, from the start of the process to the trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import mlp
from bench.task import Parts, Task

FEATURES, HIDDEN, VAL_SHARE, FILE = 16, (128, 64), 0.1, "rows.csv"


def write_csv(path: Path, rows: int) -> None:
    """A csv of columns `f0`, `f1`, … of numbers and the class number in `label`."""
    import pyarrow as pa
    import pyarrow.csv

    x, label = mlp.rows_of_classes(rows, FEATURES, 0)
    columns = {f"f{i}": column.round(4) for i, column in enumerate(x.T)}
    pa.csv.write_csv(pa.table({**columns, "label": label}), path)


def data() -> dict[str, Any]:
    """The spec's `data` for such a file."""
    return {
        "source": {"kind": "csv", "path": FILE},
        "columns": {"x": {"from": "f*"}, "label": {"dtype": "int64"}},
        "split": {"train": 1 - VAL_SHARE, "val": VAL_SHARE},
    }


class Tabular(Task):
    """Reading, splitting, training and validating; the loops read with pyarrow."""

    name, rows, batch, epochs, whole = "csv", 1_000_000, 1024, 2, True
    title = (
        f"csv of 1,000,000 rows end to end, MLP {FEATURES}-{HIDDEN[0]}-{HIDDEN[1]}-{mlp.CLASSES}, "
        "batch 1024; imports, reading and any compiling are in the clock"
    )

    def prepare(self, folder: Path) -> None:
        write_csv(folder / FILE, self.rows)

    def parts(self, folder: Path) -> Parts:
        import numpy as np
        import pyarrow.csv

        table = pyarrow.csv.read_csv(folder / FILE)
        x = np.empty((table.num_rows, FEATURES), np.float32)
        for i in range(FEATURES):
            x[:, i] = table[f"f{i}"].to_numpy()
        label = table["label"].to_numpy()
        order = np.random.default_rng(0).permutation(len(x))
        val, train = np.split(order, [int(VAL_SHARE * len(x))])
        return {"train": (x[train], label[train]), "val": (x[val], label[val])}

    def network(self) -> Any:
        return mlp.network(FEATURES, HIDDEN)

    def model(self) -> dict[str, Any]:
        return mlp.model(FEATURES, HIDDEN)

    def keras_model(self) -> Any:
        return mlp.keras_model(FEATURES, HIDDEN)

    def data(self) -> dict[str, Any]:
        return data()

    def arrays(self, folder: Path) -> None:  # noqa: ARG002
        return None
