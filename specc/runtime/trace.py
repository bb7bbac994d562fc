"""Every value of a graph as PyTorch computes it, by the name that it has in ONNX too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from specc.ir.graph import Call, Graph
from specc.runtime.build import compile_graph


def graph_values(
    graph: Graph, module: torch.nn.Module, inputs: Sequence[torch.Tensor], prefix: str = ""
) -> Iterator[tuple[str, torch.Tensor]]:
    """The results of every layer at every depth, with the weights (and their type) of `module`.

    Each part is compiled anew with all of its values as outputs, so that a step which is only
    a line of `forward` shows its value as well.
    """
    nodes = [node for node in graph.nodes if not node.inline]
    made = {value for node in nodes for value in node.outputs}
    opened = replace(graph, outputs=tuple((v.name, v) for n in nodes for v in n.outputs), starts=())
    part = compile_graph(opened).to(_dtype(module)).eval()
    part.load_state_dict(module.state_dict())
    result = part(*inputs)
    names = [name for name, _ in opened.outputs]
    values = result if isinstance(result, dict) else {names[0]: result}
    known = {v: values[v.name] for v in made} | dict(zip(graph.inputs, inputs, strict=True))
    for node in nodes:
        if isinstance(node.op, Call):
            inner = [known[value] for value in node.inputs if value]
            owner = module.get_submodule(node.module)
            yield from graph_values(node.op.body, owner, inner, f"{prefix}{node.path}.")
        yield from ((f"{prefix}{value.name}", known[value]) for value in node.outputs)


def _dtype(module: torch.nn.Module) -> torch.dtype:
    tensors = [*module.parameters(), *module.buffers()]
    floating = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    return next(floating, torch.get_default_dtype())
