"""The lines that give parameters their own starts, at the end of the model's `__init__`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from specc.ir.graph import Graph, Start
from specc.targets.pytorch.constructor import literal


def start_lines(graph: Graph) -> list[str]:
    """A loop over the parameters with a branch for each way to start."""
    groups: dict[Start, list[str]] = {}
    for name, start in graph.starts:
        groups.setdefault(start, []).append(name)
    if not groups:
        return []
    every = [
        f"{path}.{w.name}" if w.name else path
        for path, node in graph.walk() for w in node.weights if not w.is_buffer
    ]  # fmt: skip
    lines = ["for name, parameter in self.named_parameters():"]
    for number, (start, names) in enumerate(groups.items()):
        condition = _condition(_patterns(names, every))
        arguments = "".join(f", {key}={literal(value)}" for key, value in start.arguments)
        lines.append(f"    {'elif' if number else 'if'} {condition}:")
        lines.append(f"        nn.init.{start.function}(parameter{arguments})")
    return lines


def _patterns(names: Sequence[str], every: Sequence[str]) -> list[str]:
    """Few patterns that match these names and no others."""
    patterns: list[str] = []
    wanted = set(names)
    for candidate in dict.fromkeys(p for name in names for p in _wider(name)):
        matched = {name for name in every if fnmatchcase(name, candidate)}
        if matched <= wanted and not any(fnmatchcase(candidate, p) for p in patterns):
            patterns = [p for p in patterns if not fnmatchcase(p, candidate)] + [candidate]
    chosen: list[str] = []
    left = set(names)
    for pattern in sorted(patterns, key=lambda p: -sum(fnmatchcase(n, p) for n in names)):
        covered = {name for name in left if fnmatchcase(name, pattern)}
        if covered:
            chosen.append(pattern)
            left -= covered
    return chosen


def _wider(name: str) -> list[str]:
    """The name, the name with its indices open, and only its last steps."""
    steps = name.split(".")
    opened = re.sub(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", "*", name)
    tails = [f"*.{'.'.join(steps[-k:])}" for k in (1, 2) if len(steps) > k]
    return [*tails, opened, name]


def _condition(patterns: Sequence[str]) -> str:
    parts = []
    for pattern in patterns:
        tail = pattern.removeprefix("*")
        if "*" not in pattern:
            parts.append(f'name == "{pattern}"')
        elif "*" not in tail and pattern.startswith("*"):
            parts.append(f'name.endswith("{tail}")')
        else:
            parts.append(f'fnmatch(name, "{pattern}")')
    return " or ".join(parts)
