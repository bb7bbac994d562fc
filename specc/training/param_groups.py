"""Weights sorted into groups with optimizer options of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import nn

from specc.training.problems import TrainError

SELECTORS = ("op", "parameter", "path")


class Owned(NamedTuple):
    """A weight that takes a gradient, by what a rule can say of it."""

    op: str
    parameter: str
    path: str
    value: nn.Parameter


def param_groups(module: nn.Module, rules: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The optimizer's groups: each weight goes to the first rule that it fits, or to the rest.

    A rule selects by any of `op` (its layer's class), `parameter` (its own name) and `path`
    (its layer's path): a glob or a list of them. All that it names must fit; its other keys
    are options of the group. Raises `TrainError` L603 for a rule that selects nothing.
    """
    groups: list[dict[str, Any]] = [{"params": []} for _ in range(len(rules) + 1)]
    for owned in _weights(module):
        at = next((i for i, rule in enumerate(rules) if _fits(rule, owned)), len(rules))
        groups[at]["params"].append(owned.value)
    for i, rule in enumerate(rules):
        if not groups[i]["params"]:
            raise TrainError("L603", "this group has no weights", "optimizer", "param_groups", i)
        groups[i].update({key: rule[key] for key in rule if key not in SELECTORS})
    # The rest first, since its learning rate is the one that is reported.
    return [group for group in (groups[-1], *groups[:-1]) if group["params"]]


def _weights(module: nn.Module) -> Iterator[Owned]:
    seen: set[int] = set()
    for path, layer in module.named_modules():
        for name, value in layer.named_parameters(recurse=False):
            if value.requires_grad and id(value) not in seen:
                seen.add(id(value))
                yield Owned(_class(layer), name, path, value)


def _class(layer: nn.Module) -> str:
    # FSDP puts a class of its own before that of a layer in shards.
    return next(c.__name__ for c in type(layer).__mro__ if not c.__name__.startswith("FSDP"))


def _fits(rule: Mapping[str, Any], owned: Owned) -> bool:
    for key in SELECTORS:
        globs = rule.get(key, "*")
        globs = [globs] if isinstance(globs, str) else globs
        if not any(fnmatchcase(getattr(owned, key), glob) for glob in globs):
            return False
    return True
