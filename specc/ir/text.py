"""A graph as text, for reading and for golden tests."""

from __future__ import annotations

from specc.ir.graph import Call, Graph, Node, Value


def graph_text(graph: Graph) -> str:
    """One line a node, the bodies of calls indented below them."""
    return "\n".join(_lines(graph, "")) + "\n"


def _lines(graph: Graph, indent: str) -> list[str]:
    inputs = ", ".join(f"{v.name}: {v.type}" for v in graph.inputs)
    lines = [f"{indent}graph {graph.name}({inputs})"]
    for node in graph.nodes:
        lines += _node(node, indent + "  ")
    for name, value in graph.outputs:
        mark = " (training only)" if name in graph.train_only else ""
        lines.append(f"{indent}  return {name or 'it'} = {value.name}{mark}")
    return lines


def _node(node: Node, indent: str) -> list[str]:
    results = ", ".join(f"{v.name}: {v.type}" for v in node.outputs)
    inputs = ", ".join(v.name if isinstance(v, Value) else "-" for v in node.inputs)
    shared = f" sharing {node.module}" if node.is_shared else ""
    if isinstance(node.op, Call):
        params = ", ".join(f"{k}={v}" for k, v in node.op.params.items())
        head = f"{indent}{results} = call {node.op.name}({params}) of ({inputs}){shared}"
        return [head, *_lines(node.op.body, indent + "  ")]
    weights = "".join(f"\n{indent}    {w.name or node.path}: {w.type}" for w in node.weights)
    return [f"{indent}{results} = {node.op} of ({inputs}){shared}{weights}"]
