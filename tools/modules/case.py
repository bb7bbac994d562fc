"""One module with weights, inputs and expected outputs, and the spec that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

    `state` holds the weights by their names in the model of the spec. `expected` runs the
    original when it is needed, and raises what the original raises.
    """

    name: str
    module: str
    """The class of `torch.nn`, or the function, that it is about."""
    layers: Sequence[Mapping[str, Any]]
    inputs: Tensors
    state: Tensors
    expected: Callable[[], Expected]
    inferred: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the layer `op` that the spec leaves out, with what the compiler must find."""

    def spec(self) -> dict[str, Any]:
        """A spec of the layers."""
        inputs = {
            name: {"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")}
            for name, x in self.inputs.items()
        }
        return {"specc": 1, "name": "one_module", "inputs": inputs, "layers": list(self.layers)}

    def model(self) -> Model:
        """The model of the spec, with every result of the last layer as an output; `SpeccError`."""
        spec = self.spec()
        model = load(spec)
        results = model.graph.nodes[-1].outputs
        if len(results) == 1:
            return model
        return load(spec | {"outputs": {f"o{i}": v.name for i, v in enumerate(results)}})


def one_layer(
    name: str, op: str, params: Mapping[str, Any], inputs: Tensors, state: Tensors,
    expected: Callable[[], Expected], inferred: Mapping[str, Any] | None = None,
) -> Case:  # fmt: skip
    """The case of a module that is one operator."""
    layer = {"name": LAYER, "op": op, "from": {name: name for name in inputs}, **params}
    named = {f"{LAYER}.{key}": value for key, value in state.items()}
    return Case(name, op, [layer], inputs, named, expected, inferred or {})


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
