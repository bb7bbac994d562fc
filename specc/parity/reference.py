"""The two PyTorch runs of a case: float64, which is taken as the truth, and float32."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from specc.ir.graph import Graph, Interface
from specc.parity.decisions import Decisions, undecided
from specc.parity.judge import Array
from specc.parity.measure import Results
from specc.runtime.trace import graph_values


class Reference:
    """A module in float32, and the same module in float64, on the CPU and in eval mode.

    A model's ill-conditioned float64 run would show as PyTorch's own error, so nothing but
    the element type differs between the two.
    """

    def __init__(self, module: torch.nn.Module, interface: Interface) -> None:
        self.interface = interface
        self.float32 = copy.deepcopy(module).cpu().float().eval()
        self.float64 = copy.deepcopy(self.float32).double()

    def run(self, feeds: Mapping[str, Array]) -> Results:
        """Both runs of one case."""
        with Decisions() as wide, exact_kernels(), float64_throughout():
            ref64 = self._call(self.float64, widened(self._inputs(feeds)))
        with Decisions() as narrow, exact_kernels():
            torch32 = self._call(self.float32, self._inputs(feeds))
        masks = {n: undecided(ref64[n], torch32[n], wide, narrow) for n in ref64}
        return Results(
            {name: to_numpy(value) for name, value in ref64.items()},
            {name: to_numpy(value) for name, value in torch32.items()},
            {name: mask for name, mask in masks.items() if mask is not None},
        )

    def truth(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The float64 run alone."""
        with exact_kernels(), float64_throughout():
            outputs = self._call(self.float64, widened(self._inputs(feeds)))
        return {name: to_numpy(value) for name, value in outputs.items()}

    def single(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The float32 run alone."""
        with exact_kernels():
            outputs = self._call(self.float32, self._inputs(feeds))
        return {name: to_numpy(value) for name, value in outputs.items()}

    def traced(
        self, feeds: Mapping[str, Array], graph: Graph
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Every value of the graph and its outputs, in float64 and in float32."""
        inputs = self._inputs(feeds)
        with exact_kernels(), float64_throughout():
            wide = dict(graph_values(graph, self.float64, widened(inputs)))
        with exact_kernels():
            narrow = dict(graph_values(graph, self.float32, inputs))
        return (
            {name: to_numpy(value) for name, value in wide.items()} | self.truth(feeds),
            {name: to_numpy(value) for name, value in narrow.items()} | self.single(feeds),
        )

    def _inputs(self, feeds: Mapping[str, Array]) -> list[torch.Tensor]:
        return [to_torch(feeds[info.name]) for info in self.interface.inputs]

    def _call(
        self, module: torch.nn.Module, inputs: Sequence[torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        result = module(*inputs)
        names = [name for name, _ in self.interface.outputs]
        return {n: result[n] for n in names} if isinstance(result, dict) else {names[0]: result}


def widened(inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The inputs with float64 for every floating type."""
    return [x.double() if x.is_floating_point() else x for x in inputs]


def to_torch(array: Array) -> torch.Tensor:
    """A copy as a tensor; torch does not know numpy's bfloat16, which others define."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def to_numpy(tensor: torch.Tensor) -> Array:
    """The values as an array."""
    if tensor.dtype is torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy(force=True)


@contextmanager
def exact_kernels() -> Iterator[None]:
    """No gradients, none of PyTorch's fused fast paths, no reduced precision inside."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    precision = torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, fastpath)
        stack.callback(torch.set_float32_matmul_precision, precision)
        torch.backends.mha.set_fastpath_enabled(False)
        torch.set_float32_matmul_precision("highest")
        stack.enter_context(torch.no_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


@contextmanager
def float64_throughout() -> Iterator[None]:
    """Numbers that a forward pass makes or casts to float32 become float64 as well."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Widen():
            yield
    finally:
        torch.set_default_dtype(before)


class _Widen(TorchFunctionMode):
    """Replaces float32 by float64 wherever it is named in a call."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {name: _wide(value) for name, value in (kwargs or {}).items()}
        func = torch.Tensor.double if func is torch.Tensor.float else func
        return func(*map(_wide, args), **kwargs)


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value
