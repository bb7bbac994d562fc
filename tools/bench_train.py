"""How fast `specc train` is beside other ways to train the same model, as ratios of one run.

    python tools/bench_train.py            # all peers that are installed, in turn
    python tools/bench_train.py --rounds 5 --epochs 20 --peers specc,fused

A process a peer, in turn, so that what else the machine does falls on all of them; medians of
the rounds. The clock starts after the first epoch, which pays for compiling and caches, and stops
at the end of the last. specc runs with progress, metrics, validation, checkpoints and logs; the
loops do nothing but train.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROWS, VAL_ROWS, FEATURES, CLASSES, BATCH = 51_200, 2_048, 64, 10, 64
HIDDEN = (128, 64)
NEEDS = {"lightning": "lightning", "keras": "keras"}

Epoch = Callable[[], None]


def data(rows: int = ROWS) -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    return x, (x[:, :CLASSES] + rng.normal(size=(rows, CLASSES))).argmax(1)


def network() -> Any:
    from torch import nn

    a, b = HIDDEN
    return nn.Sequential(
        nn.Linear(FEATURES, a), nn.ReLU(), nn.Linear(a, b), nn.ReLU(), nn.Linear(b, CLASSES)
    )


def timed(epoch: Epoch, epochs: int) -> float:
    """Samples per second of all epochs but the first."""
    epoch()
    started = time.perf_counter()
    for _ in range(epochs - 1):
        epoch()
    return (epochs - 1) * ROWS / (time.perf_counter() - started)


# ── peers ───────────────────────────────────────────────────────────────────────────────────────


def spec(epochs: int, compile_how: str | bool) -> dict[str, Any]:
    widths = (*HIDDEN, CLASSES)
    layers: list[Any] = []
    for i, width in enumerate(widths):
        layers += [{"name": f"fc{i}", "op": "Linear", "out_features": width}, "ReLU"]
    return {
        "specc": 1, "name": "bench", "inputs": {"x": {"shape": ["batch", FEATURES]}},
        "layers": layers[:-1], "outputs": {"logits": f"fc{len(widths) - 1}"},
        "data": {"source": {"kind": "memory"}, "columns": {"x": {}, "label": {"dtype": "int64"}}},
        "train": {
            "loss": {"op": "CrossEntropyLoss", "from": ["logits", "label"]},
            "optimizer": {"op": "Adam", "lr": 0.001},
            "metrics": {"accuracy": {"op": "accuracy", "from": ["logits", "label"]}},
            "epochs": epochs, "batch_size": BATCH, "compile": compile_how,
        },
    }  # fmt: skip


def specc_peer(epochs: int, compile_how: str | bool = False) -> float:
    import specc
    from specc.cli.options import Output
    from specc.cli.progress import Lines

    ends: list[float] = []

    class Clock(Lines):
        def on_epoch(self, record: Any) -> None:
            super().on_epoch(record)
            ends.append(time.perf_counter())

        def on_end(self, result: Any) -> None:
            super().on_end(result)
            ends.append(time.perf_counter())

    parts = {"train": data(), "val": data(VAL_ROWS)}
    arrays = {name: {"x": x, "label": label} for name, (x, label) in parts.items()}
    model = specc.load(spec(epochs, compile_how))
    with tempfile.TemporaryDirectory() as folder:
        listener = Clock(Output(as_json=False, quiet=False), "bench")
        specc.train(model, runs=Path(folder), arrays=arrays, reporter=listener)
    # From the end of the first epoch to that of the run, which evaluates all parts once more.
    return (epochs - 1) * ROWS / (ends[-1] - ends[0])


def compiled_peer(epochs: int) -> float:
    return specc_peer(epochs, "step")


def fused_peer(epochs: int) -> float:
    """Tensors in memory, a permutation an epoch, Adam in its fused form."""
    import torch
    from torch import nn

    x, label = map(torch.from_numpy, data())
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> None:
        order = torch.randperm(ROWS)
        for start in range(0, ROWS, BATCH):
            rows = order[start : start + BATCH]
            loss = loss_of(module(x[rows]), label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return timed(epoch, epochs)


def textbook_peer(epochs: int) -> float:
    """The loop of a tutorial, with a DataLoader and the loss added up."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    loader = DataLoader(TensorDataset(*map(torch.from_numpy, data())), BATCH, shuffle=True)
    module = network()
    optimizer = torch.optim.Adam(module.parameters())
    loss_of = nn.CrossEntropyLoss()

    def epoch() -> None:
        total = 0.0
        for x, label in loader:
            loss = loss_of(module(x), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)

    return timed(epoch, epochs)


def lightning_peer(epochs: int) -> float:
    import lightning
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, _: int) -> Any:
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    ends: list[float] = []

    class Clock(lightning.Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            ends.append(time.perf_counter())

    loader = DataLoader(TensorDataset(*map(torch.from_numpy, data())), BATCH, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", default_root_dir=folder, callbacks=[Clock()],
            enable_model_summary=False, logger=False,
        )  # fmt: skip
        trainer.fit(Classifier(), loader)
    return (epochs - 1) * ROWS / (ends[-1] - ends[0])


def keras_peer(epochs: int) -> float:
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    layers = [keras.layers.Dense(width, "relu") for width in HIDDEN]
    model = keras.Sequential([keras.Input((FEATURES,)), *layers, keras.layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    ends: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, *_: Any) -> None:
            ends.append(time.perf_counter())

    x, label = data()
    model.fit(x, label, batch_size=BATCH, epochs=epochs, verbose=2, callbacks=[Clock()])
    return (epochs - 1) * ROWS / (ends[-1] - ends[0])


PEERS: dict[str, Callable[[int], float]] = {
    "fused": fused_peer, "specc": specc_peer, "specc step": compiled_peer,
    "textbook": textbook_peer, "lightning": lightning_peer, "keras": keras_peer,
}  # fmt: skip
NAMES = {
    "fused": "in-memory loop, fused Adam", "specc": "specc", "specc step": 'specc, compile "step"',
    "textbook": "textbook loop, DataLoader", "lightning": "Lightning", "keras": "Keras on torch",
}  # fmt: skip


# ── the run ─────────────────────────────────────────────────────────────────────────────────────


def measured(peer: str, epochs: int) -> float:
    call = [sys.executable, __file__, "--one", peer, "--epochs", str(epochs)]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{NAMES[peer]} failed:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def installed(peers: Sequence[str]) -> list[str]:
    found = []
    for peer in peers:
        if peer in NEEDS and find_spec(NEEDS[peer]) is None:
            print(f"{NAMES[peer]}: left out, `{NEEDS[peer]}` is not installed")
        else:
            found.append(peer)
    return found


def report(rates: dict[str, list[float]]) -> None:
    medians = {peer: statistics.median(values) for peer, values in rates.items() if values}
    base = medians.get("fused")
    print(f"{'':<28}{'samples/s':>12}{'of fused':>10}{'specc is':>10}   rounds")
    for peer, rate in sorted(medians.items(), key=lambda item: -item[1]):
        share = f"{rate / base:.2f}" if base else ""
        ratio = f"{medians['specc'] / rate:.2f} x" if "specc" in medians else ""
        rounds = " ".join(f"{value / 1000:.0f}k" for value in rates[peer])
        print(f"{NAMES[peer]:<28}{rate:>12,.0f}{share:>10}{ratio:>10}   {rounds}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(PEERS[options.one](options.epochs)))
        return
    peers = installed(options.peers.split(","))
    rates: dict[str, list[float]] = {peer: [] for peer in peers}
    for _ in range(options.rounds):
        for peer in peers:
            rates[peer].append(measured(peer, options.epochs))
    print(f"MLP {FEATURES}-{'-'.join(map(str, HIDDEN))}-{CLASSES}, batch {BATCH}, {ROWS:,} rows")
    report(rates)


if __name__ == "__main__":
    main()
