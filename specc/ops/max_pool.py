"""Maximum pooling over windows, with the places of the maxima where they are wanted."""

from __future__ import annotations

from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    OpError,
    Outputs,
    Ref,
    TensorType,
    TorchWriter,
    example,
    param,
)  # fmt: skip
from specc.ops.pad import padded
from specc.ops.pool import (
    CEIL_MODE,
    INPUTS,
    KERNEL,
    PADDING,
    STRIDE,
    UNBATCHED,
    Pool,
    both_forms,
    plain_examples,
)  # fmt: skip
from specc.ops.shapes import product
from specc.ops.spatial import PerAxis, batched, unbatched

RETURN_INDICES = "also return where in the flattened plane each maximum is, for `MaxUnpool`"


class MaxPool(Pool):
    """Base of the maximum poolings."""

    kernel_size: PerAxis = KERNEL
    stride: PerAxis | None = STRIDE
    padding: PerAxis = PADDING
    dilation: PerAxis = param(default=1, ge=1, doc="distance of a window's elements")
    ceil_mode: bool = CEIL_MODE

    check = "exact"

    def infer(self, input: TensorType) -> Outputs:
        return self.maxima(input)

    def maxima(self, input: TensorType) -> TensorType:
        """The type of the maxima."""
        integers = self.axes > 1 and input.dtype.is_integer
        if not integers:
            self.require_floating(input)
        return self.pooled_type(input)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref | tuple[Ref, ...]:
        dtype = input.type.dtype
        if dtype is DType.int64:
            raise OpError(
                "T407", f"`{self.name}` has no ONNX form for int64", hint="convert to int32 first"
            )
        # ONNX Runtime's kernels are for floating-point numbers; float64 holds every int32.
        x = g.cast(batched(g, input, self.axes), dtype if dtype.is_floating else DType.float64)
        made = self._padded_pool(g, x)
        return unbatched(g, g.cast(made, dtype), input.rank)

    def _fits_node(self) -> bool:
        """ONNX Runtime refuses pads that are not smaller than the kernel, dilated or not."""
        windows, kernel = self.windows(), self.sizes("kernel_size")
        return all(max(w[2:]) < k for w, k in zip(windows, kernel, strict=True))

    def _padded_pool(self, g: OnnxBuilder, x: Ref) -> Ref:
        windows, dilations = self.windows(), list(self.sizes("dilation"))
        if self._fits_node():
            return self.node(g, "MaxPool", x, dilations=dilations)
        wide = padded(g, x, [w[2:] for w in windows], value=-float("inf"))
        return g.op(
            "MaxPool", wide, kernel_shape=list(self.sizes("kernel_size")),
            strides=[w[1] for w in windows], dilations=dilations, type=self.maxima(x.type),
        )  # fmt: skip


class MaxPoolLayer(MaxPool):
    """Base of the modules, which can also return where the maxima are."""

    return_indices: bool = param(default=False, doc=RETURN_INDICES)

    def infer(self, input: TensorType) -> Outputs:
        return with_indices(self.maxima(input)) if self.return_indices else self.maxima(input)

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params if name != "return_indices"}
        ceil_mode = given.pop("ceil_mode")
        given |= self.given("return_indices") | {"ceil_mode": ceil_mode}
        return py.apply(f"nn.{self.name}", f"F.{self.function}", input, **given)

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref | tuple[Ref, ...]:
        if not self.return_indices:
            return super().onnx(g, input)
        dtype = input.type.dtype
        if dtype is DType.int64 or not self._fits_node():
            raise OpError(
                "T407", f"`{self.name}` has no ONNX form of the indices for "
                f"{'int64' if dtype is DType.int64 else 'a padding as wide as the kernel'}",
                param="return_indices",
            )  # fmt: skip
        x = g.cast(batched(g, input, self.axes), dtype if dtype.is_floating else DType.float64)
        maxima, places = self.nodes(
            g, "MaxPool", x, DType.int64, dilations=list(self.sizes("dilation"))
        )
        # ONNX counts through the whole tensor, PyTorch through the plane of one channel.
        plane = g.dims([product(x.type.shape[-self.axes :])])
        places = g.op("Mod", places, plane)
        return (
            unbatched(g, g.cast(maxima, dtype), input.rank), unbatched(g, places, input.rank),
        )  # fmt: skip


def with_indices(maxima: TensorType) -> Outputs:
    """The results of a maximum pooling that returns the places of the maxima too."""
    return maxima, maxima.with_dtype(DType.int64)


def _register(axes: int) -> None:
    image, alone = INPUTS[axes - 1], UNBATCHED[axes - 1]
    dilated = [
        example(image, kernel_size=2, stride=1, dilation=3),
        example(image, kernel_size=2, stride=2, padding=1, dilation=3, ceil_mode=True),
    ]
    integers = [example(f"int32<90: {image}", kernel_size=2, ceil_mode=True)] if axes > 1 else []
    indexed = [
        example(image, kernel_size=2, stride=1, dilation=2, return_indices=True),
        example(image, kernel_size=3, stride=2, padding=1, ceil_mode=True, return_indices=True),
        example(alone, kernel_size=2, return_indices=True),
    ]
    doc = "The maximum of each window; what is added around the input never counts."
    both_forms(
        MaxPool, "MaxPool", axes, doc, [*plain_examples(axes), *dilated, *integers],
        MaxPoolLayer, indexed,
    )  # fmt: skip


for _axes in (1, 2, 3):
    _register(_axes)
