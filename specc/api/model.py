"""A loaded model: its graph, its source, its module, and what can be made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specc.api.checking import checked
from specc.api.resolved import resolved_spec
from specc.diagnostics.model import Diagnostic
from specc.ir.graph import DimInfo, Graph, Interface
from specc.passes.interface import interface
from specc.passes.prune import prune
from specc.passes.resolve import evaluated_section, spec_dims
from specc.passes.summary import Summary, summarize
from specc.spec.model import Spec

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch


def load(source: Path | str | dict[str, Any], sets: Sequence[str] = ()) -> Model:
    """Load a spec from a file or a dict; raises `SpeccError` with all that is wrong with it.

    `sets` are changes as on the command line: `["params.hidden=256"]`.
    """
    spec, graph, loss, found = checked(source, sets)
    found.raise_errors()
    assert spec is not None and graph is not None
    return Model(spec, graph, loss, tuple(found.items))


class Model:
    """A valid spec with its typed graph."""

    def __init__(
        self, spec: Spec, graph: Graph, loss: Graph | None, warnings: tuple[Diagnostic, ...] = ()
    ) -> None:
        self.spec, self.graph, self.loss, self.warnings = spec, graph, loss, warnings

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.name

    @cached_property
    def dims(self) -> dict[str, DimInfo]:
        """What the spec promises about its symbolic sizes."""
        return spec_dims(self.spec)

    def section(self, key: str, *, leave: tuple[str, ...] = ()) -> dict[str, Any]:
        """A section of the spec with its expressions evaluated; raises `SpeccError`."""
        value, found = evaluated_section(self.spec, key, leave=leave)
        found.raise_errors()
        return value

    @cached_property
    def exported(self) -> Graph:
        """The graph without what exists in training only."""
        wanted = self.spec.section("export").get("outputs")
        return prune(self.graph, wanted)

    @property
    def interface(self) -> Interface:
        """Inputs, outputs and sizes of the exported model."""
        return interface(self.exported, self.dims, self._declared_bounds())

    def _declared_bounds(self) -> dict[str, tuple[int, int]]:
        """The `low` and `high` that the spec gives for its integer inputs."""
        inputs = {name: info for name, info in self.section("inputs").items() if "high" in info}
        return {name: (info.get("low", 0), info["high"]) for name, info in inputs.items()}

    def summary(self) -> Summary:
        """Layers with output shapes, parameters and FLOPs."""
        return summarize(self.graph, tuple(self.dims.values()))

    def source(self) -> str:
        """The PyTorch source of the model, formatted."""
        return self._source

    @cached_property
    def _source(self) -> str:
        from specc.runtime.build import source_of

        return source_of(self.graph, self.spec.document.value.get("doc", ""))

    def compile(self, seed: int | None = None) -> torch.nn.Module:
        """The live module, made from `source()`; `seed` fixes its fresh weights."""
        import torch

        from specc.runtime.build import build_module
        from specc.targets.torch_source import class_name

        if seed is not None:
            torch.manual_seed(seed)
        return build_module(self.source(), class_name(self.graph))

    def compile_exported(self) -> torch.nn.Module:
        """The module of `exported`, under the same weight names."""
        from specc.runtime.build import compile_graph

        return compile_graph(self.exported)

    def compile_loss(self) -> torch.nn.Module:
        """The training loss as a module; called with the tensors that it names."""
        from specc.runtime.build import compile_graph

        assert self.loss is not None
        return compile_graph(self.loss)

    def to_onnx(
        self, weights: Mapping[str, torch.Tensor], *, opset: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> bytes:  # fmt: skip
        """The ONNX file of the model with these weights, unproven; see `specc.api.exporting`."""
        from specc.runtime.export import model_bytes

        return model_bytes(self._onnx(weights, opset, metadata))

    def save_onnx(
        self, path: Path, weights: Mapping[str, torch.Tensor], *, opset: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Write the ONNX file, unproven; large weights go into a file beside it."""
        from specc.runtime.export import save_model

        save_model(self._onnx(weights, opset, metadata), path)

    def _onnx(
        self, weights: Mapping[str, torch.Tensor], opset: int | None,
        metadata: Mapping[str, str] | None,
    ) -> ir.Model:  # fmt: skip
        from specc.runtime.export import onnx_model
        from specc.targets.onnx_graph import DEFAULT_OPSET, onnx_graph

        chosen = opset or self.spec.section("export").get("opset", DEFAULT_OPSET)
        return onnx_model(onnx_graph(self.exported, chosen), weights, metadata)

    def resolved(self, folder: Path) -> dict[str, Any]:
        """The spec with `extends`, `imports` and `--set` worked in, for a file in `folder`."""
        return resolved_spec(self.spec, folder)
