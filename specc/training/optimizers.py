"""Optimizers and schedulers of `torch.optim` by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.optim import lr_scheduler

from specc.training.param_groups import SELECTORS, param_groups
from specc.training.problems import TrainError, did_you_mean, listed, within
from specc.training.settings import NamedOp

OPTIMIZERS: Mapping[str, type[torch.optim.Optimizer]] = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind)
    and issubclass(kind, torch.optim.Optimizer)
    and kind is not torch.optim.Optimizer
}
SCHEDULERS: Mapping[str, type[Any]] = {
    name: kind
    for name, kind in vars(lr_scheduler).items()
    if inspect.isclass(kind)
    and issubclass(kind, lr_scheduler.LRScheduler)
    and name != "LRScheduler"
    and not name.startswith("_")
}
NEED_A_FUNCTION = ("lr_lambda", "scale_fn")
FUSED_IN_SHARDS = ("Adam", "AdamW")
"""Those whose fused form takes weights in shards as well."""
IMPLEMENTATIONS = ("fused", "foreach", "differentiable", "capturable")


def build_optimizer(
    module: nn.Module, spec: NamedOp, *, sharded: bool = False
) -> torch.optim.Optimizer:
    """The optimizer of the parameters that take a gradient.

    Where the class has a fused form and the spec asks for no other, that is used: it gives
    the same numbers within rounding in less time. Raises `TrainError` L602, L603 or L607.
    """
    kind: Any = _class(spec.op, OPTIMIZERS, "optimizer")
    arguments = dict(spec.arguments)
    rules = arguments.pop("param_groups", [])
    known = _arguments(kind, skip=("params",))
    _check_arguments(NamedOp(spec.op, arguments), known, "optimizer")
    for i, rule in enumerate(rules):
        options = {key: rule[key] for key in rule if key not in SELECTORS}
        with within("optimizer", "param_groups", i):
            _check_options(NamedOp(spec.op, options), known)
    parameters = param_groups(module, rules)
    if not parameters:
        raise TrainError("L607", "the model has no weights to train", "optimizer")
    if isinstance(arguments.get("betas"), list):
        arguments["betas"] = tuple(arguments["betas"])
    fuses = "fused" in known and (not sharded or spec.op in FUSED_IN_SHARDS)
    if fuses and not any(key in arguments for key in IMPLEMENTATIONS):
        # Refused where the device or a dtype has no fused form, and for other reasons that
        # the plain form will name.
        with suppress(RuntimeError, ValueError, TypeError):
            fused: torch.optim.Optimizer = kind(parameters, **arguments, fused=True)
            return fused
    built: torch.optim.Optimizer = _construct(
        lambda: kind(parameters, **arguments), spec, "optimizer"
    )
    return built


def build_scheduler(optimizer: torch.optim.Optimizer, spec: NamedOp) -> Any:
    """The scheduler, with those in its `schedulers` argument; raises `TrainError` L602 or L603."""
    kind = _class(spec.op, SCHEDULERS, "scheduler")
    known = _arguments(kind, skip=("optimizer",))
    _check_arguments(spec, known, "scheduler")
    arguments = dict(spec.arguments)
    function = next((name for name in NEED_A_FUNCTION if name in known), None)
    if function and known[function]:
        message = f"`{spec.op}` takes a Python function, which a spec can't give"
        raise TrainError("L603", message, "scheduler", hint="`SequentialLR` joins others")
    if "schedulers" in arguments:
        arguments["schedulers"] = [
            build_scheduler(optimizer, NamedOp(s["op"], {k: v for k, v in s.items() if k != "op"}))
            for s in arguments["schedulers"]
        ]
    if kind is lr_scheduler.ChainedScheduler:
        return _construct(lambda: kind(**arguments), spec, "scheduler")
    return _construct(lambda: kind(optimizer, **arguments), spec, "scheduler")


def _class(name: str, kinds: Mapping[str, type[Any]], what: str) -> type[Any]:
    if name in kinds:
        return kinds[name]
    raise TrainError(
        "L602",
        f"there is no {what} `{name}`",
        what,
        "op",
        hint=did_you_mean(name, kinds) or f"{what}s: {listed(sorted(kinds), 20)}",
    )


def _arguments(kind: type[Any], skip: Iterable[str]) -> dict[str, bool]:
    """Each argument and whether it must be given."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return {
        p.name: p.default is p.empty
        for p in parameters
        if p.name not in skip and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _check_options(spec: NamedOp, known: Mapping[str, bool]) -> None:
    takes = f"`{spec.op}` takes {listed(known, 20)}"
    for name in spec.arguments:
        if name not in known:
            hint = did_you_mean(name, known)
            message = f"`{spec.op}` takes no `{name}`"
            raise TrainError("L603", message, name, hint=f"{hint} {takes}" if hint else takes)


def _check_arguments(spec: NamedOp, known: Mapping[str, bool], what: str) -> None:
    with within(what):
        _check_options(spec, known)
    takes = f"`{spec.op}` takes {listed(known, 20)}"
    missing = [name for name, needed in known.items() if needed and name not in spec.arguments]
    missing = [name for name in missing if name not in NEED_A_FUNCTION]
    if missing:
        raise TrainError("L603", f"`{spec.op}` needs `{missing[0]}`", what, hint=takes)


def _construct(make: Any, spec: NamedOp, what: str) -> Any:
    try:
        return make()
    except (ValueError, TypeError, RuntimeError) as error:
        message = str(error).splitlines()[0].rstrip(".")
        raise TrainError("L603", f"`{spec.op}`: {message}", what) from error
