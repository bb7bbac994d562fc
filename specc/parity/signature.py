"""Whether an ONNX file declares the inputs and outputs that a model has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specc.ir.graph import Interface
from specc.parity.onnx_file import Declared, OnnxFile


def signature_problems(interface: Interface, file: OnnxFile) -> list[str]:
    """Where the ONNX file declares other inputs or outputs than the interface."""
    inputs = [(info.name, info.type) for info in interface.inputs]
    return [
        *_declared_problems("input", inputs, file.inputs),
        *_declared_problems("output", list(interface.outputs), file.outputs),
    ]


def _declared_problems(
    what: str, expected: Sequence[tuple[str, Any]], declared: Sequence[Declared]
) -> list[str]:
    names = [name for name, _ in expected]
    if names != [value.name for value in declared]:
        wanted, got = (", ".join(f"`{n}`" for n in x) for x in (names, [d.name for d in declared]))
        return [f"the ONNX file has the {what}s {got or 'none'}, not {wanted}"]
    problems = []
    for (name, kind), value in zip(expected, declared, strict=True):
        if value.dtype != kind.dtype.value:
            problems.append(f"{what} `{name}` is declared {value.dtype}, not {kind.dtype}")
        if value.rank not in (-1, kind.rank):
            problems.append(f"{what} `{name}` is declared with {value.rank} axes, not {kind.rank}")
    return problems
