"""One module with weights, inputs and expected outputs, and the spec that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from specc.api.model import Model, load

Tensors = dict[str, torch.Tensor]
Outputs = tuple[torch.Tensor, ...]

LAYER = "op"
"""The name of the one layer."""


@dataclass(frozen=True)
class Expected:
    """What the original gives, in float32 and in float64; `ref64` is absent where none is known."""

    torch32: Outputs
    ref64: Outputs | None = None


@dataclass(frozen=True)
class Case:
    """A module of somebody else's table.

    `expected` runs the original when it is needed, and raises what the original raises.
    """

    name: str
    op: str
    params: Mapping[str, Any]
    inputs: Tensors
    state: Tensors
    expected: Callable[[], Expected]
    inferred: Mapping[str, Any] = field(default_factory=dict)
    """Constructor arguments that a spec leaves out, with the values that the compiler must find."""

    def spec(self) -> dict[str, Any]:
        """A spec of this one layer."""
        inputs = {
            name: {"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")}
            for name, x in self.inputs.items()
        }
        layer = {"name": LAYER, "op": self.op, "from": {name: name for name in inputs}}
        return {
            "specc": 1, "name": "one_module", "inputs": inputs, "layers": [layer | self.params],
        }  # fmt: skip

    def model(self) -> Model:
        """The model of the spec, with every result of the layer as an output; `SpeccError`."""
        spec = self.spec()
        model = load(spec)
        results = next(n for n in model.graph.nodes if n.path == LAYER).outputs
        if len(results) == 1:
            return model
        return load(spec | {"outputs": {f"o{i}": v.name for i, v in enumerate(results)}})


def flat(result: Any) -> Outputs:
    """All tensors of a result, in order."""
    if isinstance(result, torch.Tensor):
        return (result,)
    if result is None:
        return ()
    parts = result.values() if isinstance(result, dict) else result
    return tuple(t for part in parts for t in flat(part))


def doubled(value: Any) -> Any:
    """Floating tensors, at any depth of tuples and dicts, in float64."""
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)(map(doubled, value))
    if isinstance(value, dict):
        return {key: doubled(part) for key, part in value.items()}
    return value
