"""Source -> live module: the generated text is compiled as it stands."""

from __future__ import annotations

import hashlib
import linecache
import subprocess
from functools import lru_cache
from typing import Any

import torch

from specc.ir.graph import Graph
from specc.targets.torch_source import class_name, torch_source


@lru_cache(maxsize=64)
def format_source(source: str) -> str:
    """The source as `ruff format` leaves it, with its default settings."""
    from ruff import find_ruff_bin

    command = [find_ruff_bin(), "format", "--isolated", "--stdin-filename", "model.py", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the generated source is not valid Python: {done.stderr}\n{source}")
    return done.stdout


def source_of(graph: Graph, doc: str = "") -> str:
    """The formatted source of a graph."""
    return format_source(torch_source(graph, doc))


def build_module(source: str, name: str) -> torch.nn.Module:
    """An instance of class `name` of the source; tracebacks show its lines."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    filename = f"<specc {name} {digest}>"
    namespace: dict[str, Any] = {"__name__": f"specc_generated_{digest}"}
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), namespace)
    module = namespace[name]()
    assert isinstance(module, torch.nn.Module)
    return module


def compile_graph(graph: Graph, doc: str = "") -> torch.nn.Module:
    """The live module of a graph."""
    return build_module(source_of(graph, doc), class_name(graph))
