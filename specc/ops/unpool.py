"""Maxima put back to the places that a maximum pooling took them from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specc.ir.dims import Dim  # noqa: F401 - it stands in annotations
from specc.ops.expand import onnx_expand
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    OpError,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.pool import INPUTS, LETTERS, STRIDE, UNBATCHED
from specc.ops.shapes import as_tuple, product, require_shape
from specc.ops.spatial import PerAxis, Spatial


class MaxUnpool(Spatial):
    """Base of the unpoolings."""

    kernel_size: PerAxis = param(ge=1, doc="size of the pooling's window")
    stride: PerAxis | None = STRIDE
    padding: PerAxis = param(default=0, ge=0, doc="what the pooling added at both ends")
    output_size: Any

    check = "exact"

    def infer(self, input: TensorType, indices: TensorType) -> TensorType:
        self.require_image(input)
        if indices.dtype is not DType.int64:
            raise OpError(
                "T404", f"`{self.name}` needs int64 indices, got {indices.dtype}", input="indices",
                hint="`MaxPool` returns them with `return_indices`",
            )  # fmt: skip
        require_shape("indices", indices, input.shape)
        return self.resized(input, self._sizes(input))

    def _sizes(self, input: TensorType) -> tuple[Size, ...]:
        """The sizes that are given, or the least that the pooling can have had."""
        kernels = self.sizes("kernel_size")
        strides = self.sizes("kernel_size" if self.stride is None else "stride")
        least = tuple(
            (size - 1) * s - 2 * p + k
            for size, k, s, p in zip(
                input.shape[-self.axes :], kernels, strides, self.sizes("padding"), strict=True
            )
        )
        if self.output_size is None:
            return least
        wanted = as_tuple(self.output_size, self.axes)
        for size, middle, s in zip(wanted, least, strides, strict=True):
            off = size - middle
            if isinstance(off, int) and not -s < off < s:
                raise OpError(
                    "T405", f"an axis of {middle} may be {s - 1} longer or shorter, not {size}",
                    param="output_size",
                )  # fmt: skip
        return wanted

    def index_bounds(self, *types: TensorType | None) -> Mapping[str, tuple[int, int]]:
        x = types[0] if types else None
        plane = product(self._sizes(x)) if x else None
        return {"indices": (0, plane)} if isinstance(plane, int) else {}

    def torch(self, py: TorchWriter, input: Code, indices: Code) -> str:
        given = {"kernel_size": self.kernel_size, "stride": self.stride, "padding": self.padding}
        name = f"nn.{self.name}"
        if self.output_size is None:
            return py.apply(name, f"F.max_unpool{self.axes}d", input, indices, **given)
        sizes = ", ".join(map(py.size, self._sizes(input.type)))
        comma = "," if self.axes == 1 else ""
        return f"{py.layer(name, **given)}({input}, {indices}, output_size=({sizes}{comma}))"

    def onnx(self, g: OnnxBuilder, input: Ref, indices: Ref) -> Ref:
        # ONNX's own MaxUnpool counts through the whole tensor, and its planes cannot be told apart.
        out = self.infer(input.type, indices.type)
        lead = input.type.shape[: -self.axes]
        flat = (*lead, product(input.type.shape[-self.axes :]))
        plane = (*lead, product(out.shape[-self.axes :]))
        zero = g.const(0, out.dtype) if out.dtype.is_integer else g.const(0.0, out.dtype)
        canvas = onnx_expand(g, zero, out.with_shape(*plane))
        values, places = g.reshape(input, flat), g.reshape(indices, flat)
        return g.reshape(g.op("ScatterElements", canvas, places, values, axis=-1), out.shape)


def _register(axes: int) -> None:
    image, alone, letters = INPUTS[axes - 1], UNBATCHED[axes - 1], LETTERS[axes - 1]
    fixed = ("N 4 5", "N 4 5 3", "N 2 3 5 3")[axes - 1]
    new = letters.replace(",", "',") + "'"
    text = (
        "The values at the places that `indices` holds, and zeros between them: the reverse of "
        f"`MaxPool{axes}d` with `return_indices`.\n\n"
        f"Shape: `(N, C, {letters}), (N, C, {letters}) -> (N, C, {new})`, with the sizes of "
        "`output_size` where the pooling left a rest; the batch axis may be left out."
    )
    doc = "the sizes before the pooling; `null`: the least that it can have had"
    annotation = f"int | Dim | tuple[{', '.join(['int | Dim'] * axes)}] | None"
    namespace: dict[str, Any] = {
        "__doc__": text, "__module__": __name__, "axes": axes,
        "output_size": param(default=None, ge=1, doc=doc),
        "__annotations__": {"output_size": annotation},
        "examples": (
            example(image, f"int64<14: {image}", kernel_size=2),
            example(alone, f"int64<14: {alone}", kernel_size=3, stride=2, padding=1),
            example(
                fixed, f"int64<9: {fixed}", kernel_size=2, output_size=(11, 7, 7)[:axes] if axes < 3
                else (7, 11, 7),
            ),
        ),
    }  # fmt: skip
    op(f"MaxUnpool{axes}d")(type(f"MaxUnpool{axes}d", (MaxUnpool,), namespace))


for _axes in (1, 2, 3):
    _register(_axes)
