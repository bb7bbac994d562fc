"""The spec's `train` section as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from specc.training.problems import TrainError, did_you_mean, listed


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
class InitFrom:
    """Weights to start from: all of them (`strict`), or those that fit (`matched`)."""

    path: str
    match: str = "strict"


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
    every_steps: int | None = None
    """How many steps lie between two checkpoints within an epoch."""
    keep: str = "last"
    precision: str = "float32"
    memory_format: str = "contiguous_format"
    ema: float | None = None
    init_from: InitFrom | None = None
    compile: str | None = None


PLAIN = ("epochs", "steps", "batch_size", "accumulate", "clip_grad_norm", "seed", "precision",
         "memory_format")  # fmt: skip
PARSED = (
    "loss", "optimizer", "scheduler", "metrics", "early_stop", "checkpoint", "ema", "init_from",
    "compile",
)  # fmt: skip
KNOWN = (*PLAIN, *PARSED, "doc")
COMPILE = ("model", "step", "auto")
PRECISIONS = ("float32", "bfloat16", "float16")
MEMORY_FORMATS = ("contiguous_format", "channels_last")


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
    given |= _scheduler(train)
    given["metrics"] = {name: _named(m) for name, m in train.get("metrics", {}).items()}
    if stop := train.get("early_stop"):
        rest = {key: stop[key] for key in ("patience", "min_delta") if key in stop}
        given["early_stop"] = EarlyStop(_monitor(stop), **rest)
    checkpoint = train.get("checkpoint", {})
    given |= {key: checkpoint[key] for key in ("every", "every_steps", "keep") if key in checkpoint}
    return Settings(**given, **_choices(train), checkpoint=_monitor(checkpoint))


def _scheduler(train: Mapping[str, Any]) -> dict[str, Any]:
    if not train.get("scheduler"):
        return {}
    scheduler = _named(train["scheduler"])
    arguments = dict(scheduler.arguments)
    interval = arguments.pop("interval", "epoch")
    if interval not in ("epoch", "step"):
        message = f"`interval` is `epoch` or `step`, not `{interval}`"
        raise TrainError("L603", message, "scheduler", "interval")
    return {"scheduler": NamedOp(scheduler.op, arguments), "interval": interval}


def _choices(train: Mapping[str, Any]) -> dict[str, Any]:
    """What may be written in several ways."""
    found: dict[str, Any] = {}
    if (ema := train.get("ema")) is not None:
        found["ema"] = float(ema["decay"] if isinstance(ema, Mapping) else ema)
    if start := train.get("init_from"):
        found["init_from"] = InitFrom(start) if isinstance(start, str) else InitFrom(**start)
    if (how := train.get("compile")) not in (None, False):
        found["compile"] = how
    for key, value, known in (
        ("compile", found.get("compile", "auto"), COMPILE),
        ("precision", train.get("precision", "float32"), PRECISIONS),
        ("memory_format", train.get("memory_format", "contiguous_format"), MEMORY_FORMATS),
    ):
        if value not in known:
            hint = did_you_mean(str(value), known) or f"choose from {listed(known)}"
            raise TrainError("L603", f"there is no `{key}` `{value}`", key, hint=hint)
    return found


def _named(value: str | Mapping[str, Any]) -> NamedOp:
    if isinstance(value, str):
        return NamedOp(value)
    return NamedOp(value["op"], {k: v for k, v in value.items() if k not in ("op", "doc")})


def _monitor(value: Mapping[str, Any]) -> Monitor:
    return Monitor(value.get("monitor", ""), value.get("mode"))


class Compared(NamedTuple):
    """What a loss of the spec compares: an output with a target."""

    op: str
    output: str
    target: str
    arguments: Mapping[str, Any]


def compared(loss: Any) -> list[Compared]:
    """The pairs that a loss compares, of all its terms or layers."""
    if isinstance(loss, Mapping) and "op" not in loss:
        loss = loss.get("layers", [])
    found = []
    for layer in loss if isinstance(loss, list) else [loss]:
        if not isinstance(layer, Mapping) or "op" not in layer:
            continue
        names = layer.get("from", ())
        if isinstance(names, Mapping):
            names = [names.get("input"), names.get("target")]
        if len(names) >= 2 and all(isinstance(name, str) for name in names[:2]):
            found.append(Compared(layer["op"], names[0], names[1], layer))
    return found


def class_limits(loss: Any, outputs: Mapping[str, tuple[Any, ...]]) -> dict[str, int]:
    """How many classes there are for a column of labels, where the loss and an output say it.

    `outputs` gives each output's shape, whose axis 1 counts the classes.
    """
    limits: dict[str, int] = {}
    for pair in compared(loss):
        shape = outputs.get(pair.output, ())
        counts = pair.op in ("CrossEntropyLoss", "NLLLoss") and len(shape) > 1
        if counts and isinstance(shape[1], int) and pair.arguments.get("ignore_index") is None:
            limits[pair.target] = shape[1]
    return limits
