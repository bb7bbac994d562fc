"""Coordinates of a grid."""

from __future__ import annotations

from typing import Literal

from specc.ops.expand import onnx_expand
from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import product, same_dtype


@op("meshgrid")
class Meshgrid(Op):
    """For each vector of coordinates, the grid of all of them that it spans with the others.

    Shape: every result has the lengths of the vectors as its sizes, in order; with `xy`, the
    first two change places. The results are numbered: `name.0`, `name.1`, ….
    """

    indexing: Literal["ij", "xy"] = param(
        default="ij", doc="`ij`: the first vector counts rows; `xy`: columns"
    )

    check = "exact"

    def _places(self, count: int) -> list[int]:
        """The axis of each vector."""
        places = list(range(count))
        if self.indexing == "xy" and count > 1:
            places[:2] = [1, 0]
        return places

    def infer(self, *tensors: TensorType) -> tuple[TensorType, ...]:
        if not tensors:
            raise OpError("T402", f"`{self.name}` needs at least one input")
        same_dtype(self.name, *tensors)
        for x in tensors:
            if x.rank > 1:
                raise OpError("T402", f"`{self.name}` needs vectors, got {x}")
        places = self._places(len(tensors))
        shape = [tensors[places[at]].numel for at in range(len(tensors))]
        return (tensors[0].with_shape(*shape),) * len(tensors)

    def torch(self, py: TorchWriter, *tensors: Code) -> str:
        single = "[0]" * (len(tensors) == 1)
        return py.call("torch.meshgrid", *tensors, indexing=self.indexing) + single

    def onnx(self, g: OnnxBuilder, *tensors: Ref) -> tuple[Ref, ...]:
        outs = self.infer(*(x.type for x in tensors))
        made = []
        for x, place, out in zip(tensors, self._places(len(tensors)), outs, strict=True):
            ones = [1] * out.rank
            shape = (*ones[:place], product(x.type.shape), *ones[place + 1 :])
            lifted = x if x.type.shape == shape else g.reshape(x, shape)
            made.append(onnx_expand(g, lifted, out))
        return tuple(made)

    examples = (
        example("N", "T"),
        example("int64: N", "int64: T", "int64: 3", indexing="xy"),
        example("bool: N"),
        example("N", "T", indexing="xy"),
    )
