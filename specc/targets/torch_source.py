"""Graph -> PyTorch source: plain classes that need torch and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from textwrap import wrap

from specc.ir.graph import Call, Graph
from specc.targets.pytorch.body import Body
from specc.targets.pytorch.classes import (
    MAX_WIDTH,
    OTHERS,
    Class,
    Classes,
    Merger,
    by_height,
    camel,
)
from specc.targets.pytorch.constructor import Constructor, escaped, literal
from specc.targets.pytorch.initialize import start_lines
from specc.targets.pytorch.variables import is_attribute

QUOTES = '"""'


def torch_source(graph: Graph, doc: str = "") -> str:
    """The source of a model; its class is named after the graph."""
    name = class_name(graph)
    classes = Classes({name})
    for calls in by_height(graph):
        classes.add_calls(calls)
    body = Body(graph, classes.instances, is_model=True)
    call = Call(graph.name, graph)
    top = Merger([(call, body)]).made(name) if body.sequential is None else None
    parts = [_class(made) for made in classes.made]
    lines = start_lines(graph)
    made = top or Class(name, body, sequence=body.sequential)
    parts.append(_class(made, doc, lines))
    supports = (
        dict.fromkeys(s for b in [*(c.body for c in classes.made), body] for s in b.support)
        | classes.supports
    )
    parts = [*(s.strip("\n") for s in supports), *parts]
    return _imports(parts) + "\n\n\n".join(parts) + "\n"


def class_name(graph: Graph) -> str:
    """The name of the model's class."""
    name = camel(graph.name)
    return f"{name}Model" if name in OTHERS else name


def _imports(parts: list[str]) -> str:
    tree = ast.parse("\n".join(parts))
    read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    lines = ["import math\n"] if "math" in read else []
    lines += ["from collections import OrderedDict\n"] if "OrderedDict" in read else []
    lines += ["from fnmatch import fnmatch\n"] if "fnmatch" in read else []
    lines += ["\n"] if lines else []
    lines += ["import torch\n"] if "torch" in read else []
    lines += ["import torch.nn.functional as F\n"] if "F" in read else []
    lines += ["from torch import nn\n"]
    return "".join(lines) + "\n\n"


def _class(made: Class, doc: str = "", starts: Sequence[str] = ()) -> str:
    if made.sequence:
        return _sequential_class(made, made.sequence, doc, starts)
    base = "nn.Sequential" if made.body.is_numbered else "nn.Module"
    lines = [f"class {made.name}({base}):"]
    lines += _docstring(doc)
    init = _init(made, list(starts))
    lines += [*init, ""] if len(init) > 2 or made.body.is_numbered else []
    lines += [f"    def forward({', '.join(['self', *made.body.inputs])}):"]
    lines += [f"        {line}" for line in made.lines]
    return "\n".join(lines)


def _docstring(doc: str) -> list[str]:
    """The lines of a class's docstring, wrapped where they are too wide."""
    lines: list[str] = []
    for number, line in enumerate(doc.strip().splitlines()):
        text = escaped(line)
        # Quotes need no mark, unless they could close the docstring.
        if QUOTES not in line and not line.endswith('"'):
            text = text.replace('\\"', '"')
        text = text if number else QUOTES + text
        lines += wrap(text, MAX_WIDTH - 4, break_long_words=False, break_on_hyphens=False) or [""]
    if not lines:
        return []
    # One more line, rather than quotes that do not fit behind the last.
    is_short = len(lines) == 1 and len(lines[0]) + 4 + len(QUOTES) <= MAX_WIDTH
    lines = [lines[0] + QUOTES] if is_short else [*lines, QUOTES]
    return [*(f"    {line}" if line else "" for line in lines), ""]


def _init(made: Class, starts: list[str]) -> list[str]:
    children, layers = "", [_registered(path, layer) for path, layer in made.layers.items()]
    if made.body.is_numbered:
        children, layers = ", ".join(layer.source() for layer in made.layers.values()), []
    body = [f"self.{name} = {name}" for name in made.attributes] + layers
    body += [*made.tensors, *made.body.after, *starts]
    start = f"        super().__init__({children})"
    return [_head(made), start, *(f"        {line}" for line in body)]


def _head(made: Class) -> str:
    arguments = [
        a.name if a.default is ... else f"{a.name}={literal(a.default)}" for a in made.arguments
    ]
    return f"    def __init__({', '.join(['self', *arguments])}):"


def _registered(path: str, layer: Constructor) -> str:
    if is_attribute(path):
        return f"self.{path} = {layer.source()}"
    return f'self.add_module("{path}", {layer.source()})'


def _sequential_class(made: Class, sequence: Constructor, doc: str, starts: Sequence[str]) -> str:
    lines = [f"class {made.name}(nn.Sequential):"]
    lines += _docstring(doc)
    lines += [_head(made), "        super().__init__("]
    lines += [f"            {child.source()}," for child in sequence.children]
    return "\n".join([*lines, "        )", *(f"        {line}" for line in starts)])
