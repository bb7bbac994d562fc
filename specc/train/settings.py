"""The spec's `train` section as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specc.train.problems import TrainError, did_you_mean


@dataclass(frozen=True)
class Monitor:
    """A number to watch, as `part.metric`; `mode` None follows the metric's own direction."""

    name: str = ""
    mode: str | None = None


@dataclass(frozen=True)
class EarlyStop:
    """Stop after `patience` epochs in which `monitor` is no better by `min_delta`."""

    monitor: Monitor
    patience: int = 10
    min_delta: float = 0.0


@dataclass(frozen=True)
class NamedOp:
    """A class by name, with its arguments."""

    op: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How to train."""

    optimizer: NamedOp = field(default_factory=lambda: NamedOp("AdamW"))
    scheduler: NamedOp | None = None
    interval: str = "epoch"
    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 32
    accumulate: int = 1
    clip_grad_norm: float | None = None
    seed: int = 0
    metrics: Mapping[str, NamedOp] = field(default_factory=dict)
    early_stop: EarlyStop | None = None
    checkpoint: Monitor = field(default_factory=Monitor)
    every: int = 1
    """How many epochs lie between two checkpoints."""


PLAIN = ("epochs", "steps", "batch_size", "accumulate", "clip_grad_norm", "seed")
KNOWN = (*PLAIN, "loss", "optimizer", "scheduler", "metrics", "early_stop", "checkpoint", "doc")


def parse_settings(train: Mapping[str, Any]) -> Settings:
    """The settings of a `train` section; raises `TrainError` L603."""
    for key in train:
        if key not in KNOWN:
            raise TrainError("L603", f"unknown key `{key}`", key, hint=did_you_mean(key, KNOWN))
    given: dict[str, Any] = {key: train[key] for key in PLAIN if train.get(key) is not None}
    if "epochs" not in given and "steps" not in given:
        raise TrainError("L603", "`train` says neither `epochs` nor `steps`", hint="add one")
    if "epochs" in given and "steps" in given:
        raise TrainError("L603", "`epochs` and `steps` are both given", "steps", hint="keep one")
    if "optimizer" in train:
        given["optimizer"] = _named(train["optimizer"])
    if train.get("scheduler"):
        scheduler = _named(train["scheduler"])
        arguments = dict(scheduler.arguments)
        given["interval"] = arguments.pop("interval", "epoch")
        given["scheduler"] = NamedOp(scheduler.op, arguments)
        if given["interval"] not in ("epoch", "step"):
            message = f"`interval` is `epoch` or `step`, not `{given['interval']}`"
            raise TrainError("L603", message, "scheduler", "interval")
    given["metrics"] = {name: _named(m) for name, m in train.get("metrics", {}).items()}
    if stop := train.get("early_stop"):
        rest = {key: stop[key] for key in ("patience", "min_delta") if key in stop}
        given["early_stop"] = EarlyStop(_monitor(stop), **rest)
    checkpoint = train.get("checkpoint", {})
    return Settings(**given, checkpoint=_monitor(checkpoint), every=checkpoint.get("every", 1))


def _named(value: str | Mapping[str, Any]) -> NamedOp:
    if isinstance(value, str):
        return NamedOp(value)
    return NamedOp(value["op"], {k: v for k, v in value.items() if k not in ("op", "doc")})


def _monitor(value: Mapping[str, Any]) -> Monitor:
    return Monitor(value.get("monitor", ""), value.get("mode"))


def class_limits(
    loss: str | Mapping[str, Any] | list[Any], outputs: Mapping[str, tuple[Any, ...]]
) -> dict[str, int]:
    """How many classes there are for a column of labels, where the loss and an output say it.

    `outputs` gives each output's shape, whose axis 1 counts the classes.
    """
    limits: dict[str, int] = {}
    for layer in loss if isinstance(loss, list) else [loss]:
        if not isinstance(layer, Mapping) or layer.get("op") not in ("CrossEntropyLoss", "NLLLoss"):
            continue
        names = layer.get("from", ())
        if isinstance(names, Mapping):
            names = [names.get("input"), names.get("target")]
        if len(names) == 2 and names[0] in outputs and layer.get("ignore_index") is None:
            shape = outputs[names[0]]
            if len(shape) > 1 and isinstance(shape[1], int):
                limits[names[1]] = shape[1]
    return limits
