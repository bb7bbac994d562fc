"""Ways to train a task's network. Each marks the ends of epochs and gives its number of weights."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.task import Task


class Clock:
    """When epochs and the run ended, in seconds since 1970, which all processes share."""

    def __init__(self, began: float) -> None:
        self.began, self.closed = began, 0.0
        self.ends: list[float] = []

    def mark(self, *_: Any) -> None:
        """Note that an epoch has ended."""
        self.ends.append(time.time())

    def close(self) -> None:
        """Note that what comes after the last epoch has ended."""
        self.closed = time.time()

    def rates(self, task: Task, epochs: int) -> tuple[float, float]:
        """Rows per second to the end of the run, and to that of its last epoch.

        Of all epochs but the first; of a whole task, from the start of the process on.
        """
        began, rows = self.ends[0], (epochs - 1) * task.rows
        if task.whole:
            began, rows = self.began, task.rows
        last = self.ends[-1]
        return rows / (max(self.closed, last) - began), rows / (last - began)


def weights(module: Any) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in module.parameters())


# ── specc ───────────────────────────────────────────────────────────────────────────────────────


def specc(
    task: Task, folder: Path, epochs: int, clock: Clock, compile_how: str | bool = False
) -> int:
    """With progress, metrics, validation, checkpoints and logs.

    The clock stops at the end of the run, which evaluates all parts once more.
    """
    from specc.api import load
    from specc.api.training import train
    from specc.cli.options import Output
    from specc.cli.progress import Lines

    plans: list[Any] = []

    class Marked(Lines):
        def on_start(self, plan: Any) -> None:
            super().on_start(plan)
            plans.append(plan)

        def on_epoch(self, record: Any) -> None:
            super().on_epoch(record)
            clock.mark()

        def on_end(self, result: Any) -> None:
            super().on_end(result)
            clock.close()

    with tempfile.TemporaryDirectory(dir=folder) as runs:
        # Beside the data, since a spec's paths are relative to its file.
        path = folder / f"{Path(runs).name}.json"
        path.write_text(json.dumps(task.spec(epochs, compile_how)), "utf-8")
        listener = Marked(Output(as_json=False, quiet=False), task.name)
        train(load(path), runs=Path(runs), arrays=task.arrays(folder), reporter=listener)
    return int(plans[0].parameters)


def step(task: Task, folder: Path, epochs: int, clock: Clock) -> int:
    """The same with each step as one program."""
    return specc(task, folder, epochs, clock, "step")


# ── loops ───────────────────────────────────────────────────────────────────────────────────────


def fused(task: Task, folder: Path, epochs: int, clock: Clock) -> int:
    """Tensors in memory, a permutation an epoch, Adam in its fused form."""
    import torch
    from torch import nn

    parts = {k: tuple(map(torch.from_numpy, pair)) for k, pair in task.parts(folder).items()}
    (x, label), module, loss_of = parts["train"], task.network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), task.batch):
            rows = order[start : start + task.batch]
            loss = loss_of(module(x[rows]), label[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if task.validates:
            validated(module, zip(*(t.split(4096) for t in parts["val"]), strict=True))
        clock.mark()
    return weights(module)


def textbook(task: Task, folder: Path, epochs: int, clock: Clock) -> int:
    """The loop of a tutorial, with a DataLoader and the loss added up."""
    import torch
    from torch import nn

    loaders, module, loss_of = data_loaders(task, folder), task.network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(module.parameters())
    for _ in range(epochs):
        total = 0.0
        for x, label in loaders["train"]:
            loss = loss_of(module(x), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
        if task.validates:
            validated(module, loaders["val"])
        clock.mark()
    return weights(module)


def validated(module: Any, batches: Any) -> tuple[float, float]:
    """Mean loss and accuracy."""
    import torch

    module.eval()
    total = correct = rows = 0.0
    with torch.no_grad():
        for x, label in batches:
            logits = module(x)
            total += torch.nn.functional.cross_entropy(logits, label, reduction="sum").item()
            correct += (logits.argmax(1) == label).sum().item()
            rows += len(x)
    module.train()
    return total / rows, correct / rows


def data_loaders(task: Task, folder: Path) -> dict[str, Any]:
    """A DataLoader for each part."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    sets = {k: TensorDataset(*map(torch.from_numpy, v)) for k, v in task.parts(folder).items()}
    return {k: DataLoader(rows, task.batch, shuffle=k == "train") for k, rows in sets.items()}


# ── frameworks ──────────────────────────────────────────────────────────────────────────────────


def lightning(task: Task, folder: Path, epochs: int, clock: Clock) -> int:
    """Lightning's trainer with its progress bar and checkpoints, without a logger."""
    import torch
    from lightning import Callback, LightningModule, Trainer
    from torch.nn.functional import cross_entropy

    class Classifier(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = task.network()

        def training_step(self, batch: Any, _: int) -> Any:
            loss = cross_entropy(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            logits = self.net(batch[0])
            accuracy = (logits.argmax(1) == batch[1]).float().mean()
            self.log_dict({"val_loss": cross_entropy(logits, batch[1]), "val_accuracy": accuracy})

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    class Marked(Callback):
        on_train_epoch_end = clock.mark

    loaders, model = data_loaders(task, folder), Classifier()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            max_epochs=epochs, accelerator="cpu", default_root_dir=scratch, callbacks=[Marked()],
            enable_model_summary=False, logger=False,
        )  # fmt: skip
        trainer.fit(model, loaders["train"], loaders["val"] if task.validates else None)
    return weights(model)


def keras(task: Task, folder: Path, epochs: int, clock: Clock) -> int:
    """Keras on torch, with accuracy, which it counts by itself."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    class Marked(keras.callbacks.Callback):
        def on_epoch_end(self, *_: Any) -> None:
            clock.mark()

    parts, model = task.parts(folder), task.keras_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    model.fit(
        *parts["train"], batch_size=task.batch, epochs=epochs, verbose=2, callbacks=[Marked()],
        validation_data=parts["val"] if task.validates else None,
    )  # fmt: skip
    return int(sum(weight.numpy().size for weight in model.trainable_weights))


PEERS: Mapping[str, Callable[[Task, Path, int, Clock], int]] = {
    "fused": fused, "specc": specc, "step": step, "textbook": textbook, "lightning": lightning,
    "keras": keras,
}  # fmt: skip
NAMES = {
    "fused": "in-memory loop, fused Adam", "specc": "specc", "step": 'specc, compile "step"',
    "textbook": "textbook loop, DataLoader", "lightning": "Lightning", "keras": "Keras on torch",
}  # fmt: skip
NEEDS = {"lightning": "lightning", "keras": "keras"}
