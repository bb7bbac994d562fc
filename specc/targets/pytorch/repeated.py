"""A repeated layer as a loop: `for layer in self.layers: x = layer(x, …)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from specc.ir.graph import Value
from specc.ops.writers import Code
from specc.targets.pytorch.statements import Statement
from specc.targets.pytorch.variables import identifier

if TYPE_CHECKING:
    from specc.targets.pytorch.forward import Forward


def loop_lines(forward: Forward, statement: Statement, reference: str, position: int) -> list[str]:
    """The lines of the loop; what it makes beside its last result is kept in lists."""
    first = statement.nodes[0]
    source, *extra = (str(forward.codes[v]) for v in first.inputs if v)
    # The loop reads these again after its first lines and its first round.
    read = [source, *extra]
    (target,) = forward.variables.assign(statement.results[:1], first, position, extra)
    forward.codes[statement.results[0]] = Code(target, statement.results[0].type)
    lists: dict[str, str] = {}
    targets = [target]
    for number in range(1, len(first.outputs)):
        values = [node.outputs[number] for node in statement.nodes]
        targets.append(_collected(forward, values, position, lists, [*read, *targets]))
    members = f"{reference}[{statement.start}:]" if statement.start else reference
    lines = [f"{', '.join(lists)} = {', '.join('[]' for _ in lists)}"] if lists else []
    lines += [f"{target} = {source}"] if target != source else []
    lines += [f"for layer in {members}:"]
    lines += [f"    {', '.join(targets)} = layer({', '.join([target, *extra])})"]
    return lines + [f"    {name}.append({item})" for name, item in lists.items()]


def _collected(
    forward: Forward, values: list[Value], position: int, lists: dict[str, str], read: list[str]
) -> str:
    """The name of one result within the loop; `_` where nothing takes it."""
    variables = forward.variables
    if not any(value in variables.last_use for value in values):
        return "_"
    item = identifier(values[0].name.rpartition(".")[2])
    name = variables.collect(values, item if item.endswith("s") else f"{item}s", position, read)
    item = variables.free(item, position, [name, *lists, *read])
    lists[name] = item
    forward.lists[name] = len(values)
    for number, value in enumerate(values):
        forward.codes[value] = Code(f"{name}[{number}]", value.type)
    return item
