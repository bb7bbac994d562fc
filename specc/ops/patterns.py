"""The patterns of einops: `b (h d) -> b h d`. Syntax: https://einops.rocks/api/rearrange/"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from specc.ir.dims import Dim
from specc.ir.types import OpError, TensorType, show_shape
from specc.ops.op import Size
from specc.ops.shapes import product

Group = tuple[str, ...]
"""Names of the elementary axes that make one axis of a tensor; empty for an axis of size 1."""

_TOKEN = re.compile(r"\s*(\.\.\.|[A-Za-z]\w*|\d+|[()]|\S)")
_REST, _INNER_REST = "...", "(...)"
"""The axes that are not named: each for itself, or among those that make one axis."""


def bad(message: str, hint: str | None = None) -> OpError:
    """A pattern at fault."""
    return OpError("T412", message, param="pattern", hint=hint)


class Plan(NamedTuple):
    """A pattern applied to one input."""

    left: list[Group]
    right: list[Group]
    sizes: dict[str, Size]

    @property
    def inner(self) -> list[str]:
        """The elementary axes of the input, in order."""
        return [name for group in self.left for name in group]

    @property
    def outer(self) -> list[str]:
        """The elementary axes of the result, in order."""
        return [name for group in self.right for name in group]

    def shape(self, groups: Iterable[Group]) -> tuple[Size, ...]:
        """The sizes of composed axes."""
        return tuple(product([self.sizes[name] for name in group]) for group in groups)

    def elementary(self, names: Iterable[str]) -> tuple[Size, ...]:
        """The sizes of elementary axes."""
        return tuple(self.sizes[name] for name in names)


def plan(pattern: str, x: TensorType, lengths: Mapping[str, Size]) -> Plan:
    """Work out what a pattern means for an input; `OpError` where it does not fit."""
    sides = pattern.split("->")
    if len(sides) != 2:
        raise bad(f"`{pattern}` needs one `->`")
    left, right = (_side(side, number) for number, side in enumerate(sides))
    if _INNER_REST in _names(left):
        raise bad("`...` may not stand in parentheses on the left")
    rest = _rest(left, x)
    if {_REST, _INNER_REST} & {*_names(right)} and _REST not in _names(left):
        raise bad("`...` on the right needs one on the left")
    left, right = _spelled_out(left, rest), _spelled_out(right, rest)
    sizes = {name: int(name.split("@")[0]) for name in _names([*left, *right]) if "@" in name}
    unknown = set(lengths) - set(_names([*left, *right]))
    if unknown:
        raise OpError("T412", f"`{min(unknown)}` is not in the pattern", param="axes")
    return Plan(left, right, _sizes(left, x, {**sizes, **lengths}))


def _names(groups: Iterable[Group]) -> list[str]:
    return [name for group in groups for name in group]


def _side(text: str, number: int) -> list[Group]:
    groups: list[Group] = []
    open_group: list[str] | None = None
    for position, token in enumerate(_TOKEN.findall(text)):
        if token == "(" and open_group is None:
            open_group = []
        elif token == ")" and open_group is not None:
            groups.append(tuple(open_group))
            open_group = None
        else:
            names = _name(token, f"{number}.{position}")
            if open_group is None:
                groups.append(names)
            else:
                open_group += (_INNER_REST,) if names == (_REST,) else names
    if open_group is not None:
        raise bad(f"a parenthesis is not closed in `{text.strip()}`")
    found = [name.strip("()") for name in _names(groups)]
    for name in found:
        if found.count(name) > 1:
            raise bad(f"`{name}` stands twice in `{text.strip()}`")
    return groups


def _name(token: str, place: str) -> Group:
    """The elementary axis of a token; a number stands for an axis without a name."""
    if token == "1":
        return ()
    if token.isdigit() and int(token):
        return (f"{int(token)}@{place}",)
    if token == _REST or (token.isidentifier() and not token.endswith("_")):
        return (token,)
    raise bad(f"`{token}` may not stand there")


def _rest(left: list[Group], x: TensorType) -> Group:
    """Names for the axes that `...` stands for."""
    count = x.rank - len(left) + (_REST in _names(left))
    if count < 0 or (count and _REST not in _names(left)):
        raise bad(
            f"the left side has {len(left)} axes, the input has {x.rank}: {show_shape(x.shape)}"
        )
    return tuple(f"...{i}" for i in range(count))


def _spelled_out(groups: list[Group], rest: Group) -> list[Group]:
    found: list[Group] = []
    for group in groups:
        if group == (_REST,):
            found += [(name,) for name in rest]
        else:
            found.append(tuple(n for a in group for n in (rest if a == _INNER_REST else (a,))))
    return found


def _sizes(left: list[Group], x: TensorType, known: dict[str, Size]) -> dict[str, Size]:
    """The sizes of all elementary axes that the input and `known` decide."""
    sizes = dict(known)
    for group, size in zip(left, x.shape, strict=True):
        missing = [name for name in group if name not in known]
        part = product([known[name] for name in group if name in known])
        if len(missing) > 1:
            raise bad(
                f"the sizes of {' and '.join(f'`{n}`' for n in missing)} are not known",
                f'give one, as in "axes": {{ "{missing[0]}": 8 }}',
            )
        if missing:
            sizes[missing[0]] = _quotient(size, part, group)
        elif part != size:
            text = " ".join(group) or "1"
            raise OpError(
                "T401", f"`{text}` makes `{part}`, the input has `{size}`", param="pattern"
            )
    return sizes


def _quotient(size: Size, part: Size, group: Group) -> Size:
    if part == 0 or size % part != 0:
        hint = "a size can promise it with `multiple_of` under `dims`"
        raise OpError(
            "T411",
            f"`{size}` does not divide by `{part}` in `({' '.join(group)})`",
            param="pattern",
            hint=hint if isinstance(size, Dim) else None,
        )
    return size // part
