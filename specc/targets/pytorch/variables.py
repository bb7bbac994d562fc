"""Which variable of `forward` holds which value: short names that read as hand-written."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterable, Mapping, Sequence

from specc.ir.graph import Call, Node, Value

GENERIC = ("x", "out", "y", "z")
"""Running names for values that only the next line uses."""

HELPERS = frozenset(
    {"interleaved_rotary_embedding", "normal_sample", "rotary_angles", "rotary_embedding"}
)
"""Functions that operators put before the model: a variable of their name would hide them."""
TAKEN = HELPERS | {
    "self", "torch", "nn", "F", "math", "fnmatch", "OrderedDict", "layer", "_", "super", "range",
    "len", "int", "float", "max", "min", "isinstance",
}  # fmt: skip
"""Names that the generated source reads for itself."""


def identifier(name: str) -> str:
    """A name as a Python identifier."""
    text = "".join(c if f"_{c}".isidentifier() else "_" for c in name)
    text = text if text.isidentifier() else f"v{text}"
    return f"{text}_" if keyword.iskeyword(text) or text in TAKEN else text


UNREAD = "_"
"""Holds the results that no line reads."""


def is_attribute(name: str) -> bool:
    """Whether Python can read the name behind a dot: `class` and `block1-0` need a call."""
    return name.isidentifier() and not keyword.iskeyword(name)


class Variables:
    """Assigns names statement by statement, and knows when each is free again."""

    def __init__(
        self, inputs: Iterable[Value], last_use: Mapping[Value, float], by_name: frozenset[Value]
    ) -> None:
        self.last_use, self.by_name = last_use, by_name
        self.names: dict[Value, str] = {}
        self.holds: dict[str, float] = {}
        self.owners: dict[str, Value] = {}
        for value in inputs:
            self._assign(value, self.free(identifier(value.name), -1))

    def __getitem__(self, value: Value) -> str:
        return self.names[value]

    def reserve(self, name: str) -> str:
        """Take a name for the whole of the method."""
        free = self.free(identifier(name), -1)
        self.holds[free] = math.inf
        return free

    def still_hold(self, value: Value) -> bool:
        """Whether no later value has taken over the variable of this one."""
        return self.owners.get(self.names[value]) is value

    def assign(
        self, outputs: Sequence[Value], node: Node, position: float, taken: Sequence[str] = ()
    ) -> list[str]:
        """Names for the results of the statement at `position`; `_` for one that is not read."""
        chosen: list[str] = []
        for value in outputs:
            if len(outputs) > 1 and value not in self.last_use:
                chosen.append(UNREAD)
                continue
            wanted = self._wanted(value, node, position, taken, single=len(outputs) == 1)
            name = self.free(wanted, position, [*chosen, *taken])
            chosen.append(name)
            self._assign(value, name)
        return chosen

    def collect(
        self, values: Sequence[Value], wanted: str, position: float, taken: Sequence[str]
    ) -> str:
        """A name for the list of these values, held until the last of them is read."""
        name = self.free(wanted, position, taken)
        self.holds[name] = max(self.last_use.get(value, -1) for value in values)
        return name

    def _wanted(
        self, value: Value, node: Node, position: float, taken: Sequence[str], *, single: bool
    ) -> str:
        if not single:
            own = identifier(value.name.rpartition(".")[2])
            known = isinstance(node.op, Call) and self.holds.get(own, -1) <= position
            return own if known else identifier(value.name.replace(".", "_"))
        own = node.path.rsplit(".", 1)[-1]
        is_named = not own.isdigit()
        if value in self.by_name and is_named:
            return identifier(own)
        first = next((v for v in node.inputs if v is not None), None)
        held = self.names.get(first) if first else None
        if held in GENERIC and first and self.last_use.get(first, -1) <= position:
            return held
        generic = (g for g in GENERIC if g not in taken and self.holds.get(g, -1) <= position)
        return next(generic, None) or identifier(own)

    def free(self, wanted: str, position: float, taken: Sequence[str] = ()) -> str:
        """The wanted name, with a number behind it where it is held; its old value is lost."""
        name, number = wanted, 2
        while name in taken or self.holds.get(name, -math.inf) > position:
            name, number = f"{wanted}{number}", number + 1
        self.owners.pop(name, None)
        return name

    def _assign(self, value: Value, name: str) -> None:
        self.names[value], self.owners[name] = name, value
        self.holds[name] = self.last_use.get(value, -1)
