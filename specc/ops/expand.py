"""Tensors repeated along their axes."""

from __future__ import annotations

from specc.ir.dims import Dim
from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import axis


def expanded(x: TensorType, sizes: tuple[Size, ...], param: str | None = None) -> TensorType:
    """The type with its axes of size 1 stretched; `OpError` where another size would change."""
    new = len(sizes) - x.rank
    if new < 0:
        raise OpError("T402", f"{x} has more axes than the {len(sizes)} sizes", param=param)
    shape: list[Size] = []
    for at, wanted in enumerate(sizes):
        size: Size = x.shape[at - new] if at >= new else 1
        if wanted == -1 and at < new:
            raise OpError("T402", "-1 needs an axis to keep", param=param)
        if wanted not in (-1, size) and size != 1:
            raise OpError(
                "T406", f"axis {at - new} of {x} has `{size}` and cannot become `{wanted}`",
                param=param,
            )  # fmt: skip
        shape.append(size if wanted == -1 else wanted)
    return x.with_shape(*shape)


def onnx_expand(g: OnnxBuilder, x: Ref, out: TensorType) -> Ref:
    """The value stretched to a shape; axes that stay are not read again."""
    if x.type.shape == out.shape:
        return x
    new = out.rank - x.rank
    sizes = [
        1 if at >= new and x.type.shape[at - new] == size else size
        for at, size in enumerate(out.shape)
    ]
    return g.op("Expand", x, g.dims(sizes), type=out)


@op("expand")
class Expand(Op):
    """Stretches axes of size 1, and adds axes in front.

    Shape: `sizes`; -1 keeps the size.
    """

    sizes: tuple[int | Dim, ...] = param(ge=-1, doc="the sizes to stretch to; -1: as it is")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        return expanded(input, self.sizes, "sizes")

    def torch(self, py: TorchWriter, input: Code) -> str:
        new = len(self.sizes) - input.type.rank
        sizes = [
            "-1" if at >= new and size == input.type.shape[at - new] != 1 else py.size(size)
            for at, size in enumerate(self.sizes)
        ]
        return f"{input.atom}.expand({', '.join(sizes)})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return onnx_expand(g, input, self.infer(input.type))

    examples = (
        example("N 1 T", sizes=(-1, 3, -1)),
        example("int64: 1 8", sizes=(2, 4, 8)),
        example("bool: N T 1 1", sizes=("${i0.shape[0]}", -1, "${i0.shape[1]}", 2)),
        example("N T", sizes=(-1, -1)),
        example("1 1 8", sizes=(3, -1, -1)),
    )


@op("expand_as")
class ExpandAs(Op):
    """Stretches axes of size 1 to the shape of another tensor.

    Shape: that of `other`.
    """

    check = "exact"

    def infer(self, input: TensorType, other: TensorType) -> TensorType:
        return expanded(input, other.shape)

    def torch(self, py: TorchWriter, input: Code, other: Code) -> str:
        return f"{input.atom}.expand_as({other})"

    def onnx(self, g: OnnxBuilder, input: Ref, other: Ref) -> Ref:
        return onnx_expand(g, input, self.infer(input.type, other.type))

    examples = (
        example("N 1 1", "N T 8"),
        example("int64: T", "N T"),
        example("bool: 1", "N L"),
    )


@op("tile")
class Tile(Op):
    """Repeats a tensor along its axes.

    Shape: size `i` times `dims[i]`; missing axes or counts are taken as 1, from the front.
    """

    dims: tuple[int | Dim, ...] = param(ge=0, doc="how often to repeat along each axis")

    check = "exact"

    def _aligned(self, x: TensorType) -> tuple[tuple[Size, ...], tuple[Size, ...]]:
        """The shape and the counts, of one length."""
        rank = max(x.rank, len(self.dims))
        ones = (1,) * rank
        return (*ones[x.rank :], *x.shape), (*ones[len(self.dims) :], *self.dims)

    def infer(self, input: TensorType) -> TensorType:
        shape, counts = self._aligned(input)
        return input.with_shape(*(a * b for a, b in zip(shape, counts, strict=True)))

    def torch(self, py: TorchWriter, input: Code) -> str:
        return f"{input.atom}.tile({', '.join(map(py.size, self.dims)) or '()'})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        shape, counts = self._aligned(input.type)
        if all(count == 1 for count in counts):
            return g.reshape(input, shape) if len(shape) > input.rank else input
        x = g.reshape(input, shape) if len(shape) > input.rank else input
        return g.op("Tile", x, g.dims(counts), type=self.infer(input.type))

    examples = (
        example("N T", dims=(2, 3)),
        example("int64: N T 2", dims=(2,)),
        example("bool: N", dims=(2, 1, 2)),
        example("N T", dims=("${i0.shape[1]}", 1)),
        example("N T", dims=(1, 1)),
    )


@op("repeat_interleave")
class RepeatInterleave(Op):
    """Repeats each element `repeats` times in a row.

    Shape: the size along `dim` times `repeats`; without `dim`, of the flattened tensor.
    """

    repeats: int | Dim = param(ge=0, doc="how often each element comes")
    dim: int | None = param(default=None, doc="the axis; none: all axes as one")

    check = "exact"

    def _flat(self, x: TensorType) -> tuple[TensorType, int]:
        if self.dim is None:
            return x.with_shape(x.numel), 0
        return x, axis(x, self.dim)

    def infer(self, input: TensorType) -> TensorType:
        x, at = self._flat(input)
        return x.with_shape(*x.shape[:at], x.shape[at] * self.repeats, *x.shape[at + 1 :])

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call(f"{input.atom}.repeat_interleave", self.repeats, **self.given("dim"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        x, at = self._flat(input.type)
        size, repeats = x.shape[at], self.repeats
        if isinstance(size, int) and isinstance(repeats, int) and size * repeats <= 4096:
            flat = input if self.dim is not None else g.reshape(input, x.shape)
            positions = [i for i in range(size) for _ in range(repeats)]
            return g.op("Gather", flat, g.const(positions), axis=at, type=out)
        lifted = g.reshape(input, (*x.shape[: at + 1], 1, *x.shape[at + 1 :]))
        wide = x.with_shape(*x.shape[: at + 1], repeats, *x.shape[at + 1 :])
        return g.reshape(onnx_expand(g, lifted, wide), out.shape)

    examples = (
        example("N 3 T", repeats=2, dim=1),
        example("int64: N T 2", repeats=3, dim=-2),
        example("bool: N T", repeats=2),
        example("2 3", repeats=2),
        example("N T", repeats="${i0.shape[0]}", dim=1),
    )
