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
    "self", "torch", "nn", "F", "math", "super", "range", "len", "layer", "int"
}  # fmt: skip


def identifier(name: str) -> str:
    """A name as a Python identifier."""
    text = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
    text = f"v{text}" if not text or text[0].isdigit() else text
    return f"{text}_" if keyword.iskeyword(text) or text in TAKEN else text


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
        for value in inputs:
            self._assign(value, self.free(identifier(value.name), -1))

    def __getitem__(self, value: Value) -> str:
        return self.names[value]

    def reserve(self, name: str) -> str:
        """Take a name for the whole of the method."""
        free = self.free(identifier(name), -1)
        self.holds[free] = math.inf
        return free

    def assign(self, outputs: Sequence[Value], node: Node, position: float) -> list[str]:
        """Names for the results of the statement at `position`."""
        chosen: list[str] = []
        for value in outputs:
            wanted = self._wanted(value, node, position, single=len(outputs) == 1)
            name = self.free(wanted, position, chosen)
            chosen.append(name)
            self._assign(value, name)
        return chosen

    def collect(self, values: Sequence[Value], wanted: str, position: float) -> str:
        """A name for the list of these values, held until the last of them is read."""
        name = self.free(wanted, position)
        self.holds[name] = max(self.last_use.get(value, -1) for value in values)
        return name

    def _wanted(self, value: Value, node: Node, position: float, *, single: bool) -> str:
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
        free = next((g for g in GENERIC if self.holds.get(g, -1) <= position), None)
        return free or identifier(own)

    def free(self, wanted: str, position: float, taken: Sequence[str] = ()) -> str:
        """The wanted name, with a number behind it where it is held."""
        name, number = wanted, 2
        while name in taken or self.holds.get(name, -math.inf) > position:
            name, number = f"{wanted}{number}", number + 1
        return name

    def _assign(self, value: Value, name: str) -> None:
        self.names[value] = name
        self.holds[name] = self.last_use.get(value, -1)
