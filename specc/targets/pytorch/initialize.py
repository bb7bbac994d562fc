"""The lines that give parameters their own starts, at the end of the model's `__init__`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from specc.ir.graph import Graph, Start
from specc.targets.pytorch.constructor import literal


def start_lines(graph: Graph) -> list[str]:
    """Loops over the modules and the parameters with a branch for each way to start."""
    starts = dict(graph.starts)
    parameters = list(_parameters(graph))
    by_op = _uniform(parameters, starts)
    lines = _module_loop(by_op, parameters)
    covered = {p.full for p in parameters if (p.op, p.name) in by_op}
    rest = {name: start for name, start in starts.items() if name not in covered}
    return lines + _parameter_loop(rest, [p.full for p in parameters])


class Parameter(NamedTuple):
    """A parameter: its name in the `state_dict`, its layer's operator, and its own name."""

    full: str
    op: str
    name: str


def _parameters(graph: Graph) -> Iterator[Parameter]:
    for path, node in graph.walk():
        for w in node.weights:
            if not w.is_buffer:
                full = f"{path}.{w.name}" if w.name else path
                yield Parameter(full, getattr(node.op, "name", ""), w.name)


def _uniform(
    parameters: Sequence[Parameter], starts: Mapping[str, Start]
) -> dict[tuple[str, str], Start]:
    """The parameters that start alike in every layer of an operator."""
    found: dict[tuple[str, str], set[Start | None]] = {}
    for p in parameters:
        found.setdefault((p.op, p.name), set()).add(starts.get(p.full))
    alike = {key: next(iter(ways)) for key, ways in found.items() if len(ways) == 1 and key[1]}
    # The projection inside of `nn.MultiheadAttention` is an `nn.Linear` as well.
    hidden = {"Linear"} if any(p.op == "MultiheadAttention" for p in parameters) else set()
    return {key: way for key, way in alike.items() if way and key[0] not in hidden}


def _module_loop(
    starts: Mapping[tuple[str, str], Start], parameters: Sequence[Parameter]
) -> list[str]:
    ops: dict[tuple[tuple[str, Start], ...], list[str]] = {}
    for op in dict.fromkeys(op for op, _ in starts):
        ways = tuple((name, start) for (owner, name), start in starts.items() if owner == op)
        ops.setdefault(ways, []).append(op)
    lines = ["for module in self.modules():"] if ops else []
    for number, (ways, names) in enumerate(ops.items()):
        kinds = ", ".join(f"nn.{name}" for name in names)
        kinds = f"({kinds})" if len(names) > 1 else kinds
        lines.append(f"    {'elif' if number else 'if'} isinstance(module, {kinds}):")
        for name, start in ways:
            always = all(_always_has(op, name, parameters) for op in names)
            lines += [] if always else [f"        if module.{name} is not None:"]
            lines.append(f"        {'' if always else '    '}{_call(start, f'module.{name}')}")
    return lines


def _always_has(op: str, name: str, parameters: Sequence[Parameter]) -> bool:
    count = [sum(p.op == op and p.name == n for p in parameters) for n in (name, "weight")]
    return count[0] >= count[1]


def _call(start: Start, parameter: str) -> str:
    arguments = "".join(f", {key}={literal(value)}" for key, value in start.arguments)
    return f"nn.init.{start.function}({parameter}{arguments})"


def _parameter_loop(starts: Mapping[str, Start], every: Sequence[str]) -> list[str]:
    groups: dict[Start, list[str]] = {}
    for name, start in starts.items():
        groups.setdefault(start, []).append(name)
    lines = ["for name, parameter in self.named_parameters():"] if groups else []
    for number, (start, names) in enumerate(groups.items()):
        condition = _condition(_patterns(names, every))
        lines.append(f"    {'elif' if number else 'if'} {condition}:")
        lines.append(f"        {_call(start, 'parameter')}")
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
