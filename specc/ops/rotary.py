"""Rotary position embedding."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ir.types import Shape
from specc.ops.op import (
    Code,
    DType,
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
from specc.ops.shapes import require_shape, same_dtype

HALVES = '''
def rotary_embedding(x, cos, sin):
    """Turns each pair of features (one of the first half, one of the second) by an angle."""
    size = cos.shape[-1]
    cos, sin = cos.unsqueeze(-3), sin.unsqueeze(-3)  # the same for all heads
    a, b, rest = x[..., :size], x[..., size : 2 * size], x[..., 2 * size :]
    return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)
'''

NEIGHBOURS = '''
def interleaved_rotary_embedding(x, cos, sin):
    """Turns each pair of neighbouring features by an angle."""
    size = 2 * cos.shape[-1]
    cos, sin = cos.unsqueeze(-3), sin.unsqueeze(-3)  # the same for all heads
    a, b = x[..., 0:size:2], x[..., 1:size:2]
    turned = torch.stack((a * cos - b * sin, b * cos + a * sin), dim=-1).flatten(-2)
    return torch.cat((turned, x[..., size:]), dim=-1)
'''

ANGLES = '''
def rotary_angles(x, positions, size, base):
    """Cosines and sines of the angles by which pairs of features turn at each position."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    steps = torch.arange(0, size, 2, dtype=dtype, device=x.device)
    angles = positions.to(dtype)[..., None] * (1.0 / base ** (steps / size))
    return angles.cos().to(x.dtype), angles.sin().to(x.dtype)
'''


@op("rotary_embedding")
class RotaryEmbedding(Op):
    """Turns pairs of features by angles that grow with the position
    (https://arxiv.org/abs/2104.09864).

    The angle of pair `i` at position `t` is `t * base ** (-2 i / rotary_dim)`; `cos` and `sin`
    of angles of one's own take the place of it. Pairs are features `i` and
    `i + rotary_dim / 2` (Llama, NeoX), or neighbours with `interleaved` (GPT-J, RoFormer).

    Shape: `(*, heads, T, head)`, unchanged; `head` must be static. `positions` is `(T,)` or
    `(N, T)`, by default `0, 1, ... T - 1`; `cos` and `sin` are `(T, rotary_dim / 2)` or
    `(N, T, rotary_dim / 2)`.
    """

    base: float = param(default=10000.0, gt=0, doc="base of the wavelengths")
    rotary_dim: int | None = param(
        default=None, ge=2, doc="how many of the first features turn; `null`: all"
    )
    interleaved: bool = param(default=False, doc="pair neighbouring features, not halves")

    def infer(
        self, input: TensorType, positions: TensorType | None = None,
        cos: TensorType | None = None, sin: TensorType | None = None,
    ) -> TensorType:  # fmt: skip
        if input.rank < 3:
            raise OpError("T402", f"`{self.name}` needs (heads, T, head) at least, got {input}")
        if not input.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {input.dtype}")
        size = self._size(input)
        if positions and (cos or sin):
            raise OpError(
                "S104", "`positions` has no use beside `cos` and `sin`", input="positions"
            )
        if (cos is None) != (sin is None):
            raise OpError("S102", f"`{self.name}` takes both `cos` and `sin`, or neither")
        if positions:
            self._check_positions(input, positions)
        if cos and sin:
            self._check_angles(input, cos, sin, size // 2)
        return input

    def _check_positions(self, input: TensorType, positions: TensorType) -> None:
        if not positions.dtype.is_integer:
            raise OpError(
                "T404", f"`positions` are integers, got {positions.dtype}", input="positions"
            )
        require_shape("positions", positions, *self._position_shapes(input))

    def _check_angles(
        self, input: TensorType, cos: TensorType, sin: TensorType, pairs: int
    ) -> None:
        same_dtype(self.name, input, cos, sin)
        shapes = [(*shape, pairs) for shape in self._position_shapes(input)]
        require_shape("cos", cos, *shapes)
        require_shape("sin", sin, cos.shape)

    def _size(self, input: TensorType) -> int:
        head = input.static(-1, "it is split into pairs")
        size = self.rotary_dim or head
        if size % 2 or size > head:
            raise OpError(
                "T411", f"{size} of {head} features do not make pairs", param="rotary_dim",
                hint=f"an even number of at most {head}",
            )  # fmt: skip
        return size

    def _position_shapes(self, input: TensorType) -> list[Shape]:
        length = input.shape[-2]
        return [(length,), (input.shape[0], length)] if input.rank == 4 else [(length,)]

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        """Two products and a sum for each feature that turns."""
        x = inputs[0]
        assert x
        return 3 * x.with_shape(*x.shape[:-1], self._size(x)).numel

    # -- PyTorch ----------------------------------------------------------------------------

    def torch(
        self, py: TorchWriter, input: Code, positions: Code | None = None, cos: Code | None = None,
        sin: Code | None = None,
    ) -> str:  # fmt: skip
        py.support(NEIGHBOURS if self.interleaved else HALVES)
        function = "interleaved_rotary_embedding" if self.interleaved else "rotary_embedding"
        if cos and sin:
            return py.call(function, input, cos, sin)
        py.support(ANGLES)
        length = py.size(input.type.shape[-2])
        where = (
            str(positions) if positions else f"torch.arange({length}, device={input.atom}.device)"
        )
        angles = f"rotary_angles({input}, {where}, {self._size(input.type)}, {self.base!r})"
        return f"{function}({input}, *{angles})"

    # -- ONNX -------------------------------------------------------------------------------

    def onnx(
        self, g: OnnxBuilder, input: Ref, positions: Ref | None = None, cos: Ref | None = None,
        sin: Ref | None = None,
    ) -> Ref:  # fmt: skip
        if not (cos and sin):
            cos, sin = self._angles(g, input.type, positions)
        if g.opset >= 23 and input.rank == 4 and input.type.dtype is not DType.bfloat16:
            return self._one_node(g, input, cos, sin)
        cos, sin = (_for_heads(g, x) for x in (cos, sin))
        turned = self._neighbours if self.interleaved else self._halves
        size, head = self._size(input.type), input.type.static(-1)
        if size == head:
            return turned(g, input, cos, sin)
        shape = input.type.shape[:-1]
        kinds = (input.type.with_shape(*shape, size), input.type.with_shape(*shape, head - size))
        first, rest = g.ops("Split", input, g.const([size, head - size]), axis=-1, types=kinds)
        return g.op("Concat", turned(g, first, cos, sin), rest, axis=-1, type=input.type)

    def _angles(self, g: OnnxBuilder, input: TensorType, positions: Ref | None) -> tuple[Ref, Ref]:
        size = self._size(input)
        dtype = DType.float64 if input.dtype is DType.float64 else DType.float32
        if positions is None:
            length = input.shape[-2]
            stop = g.op("Squeeze", g.dims((length,)), type=TensorType(DType.int64, ()))
            kind = TensorType(DType.int64, (length,))
            positions = g.op("Range", g.const(0), stop, g.const(1), type=kind)
        column = positions.type.with_shape(*positions.type.shape, 1)
        steps = g.op("Unsqueeze", positions, g.const([-1]), type=column)
        speeds = g.const([self.base ** (-i / size) for i in range(0, size, 2)], dtype)
        kind = TensorType(dtype, (*positions.type.shape, size // 2))
        angles = g.op("Mul", g.cast(steps, dtype), speeds, type=kind)
        cos, sin = g.op("Cos", angles), g.op("Sin", angles)
        return g.cast(cos, input.dtype), g.cast(sin, input.dtype)

    def _one_node(self, g: OnnxBuilder, input: Ref, cos: Ref, sin: Ref) -> Ref:
        size, batch = self._size(input.type), input.type.shape[0]
        if cos.rank == 2:
            kind = cos.type.with_shape(batch, *cos.type.shape)
            cos, sin = (g.op("Expand", x, g.dims(kind.shape), type=kind) for x in (cos, sin))
        return g.op(
            "RotaryEmbedding", input, cos, sin, interleaved=1 if self.interleaved else None,
            rotary_embedding_dim=None if size == input.type.shape[-1] else size,
        )  # fmt: skip

    def _halves(self, g: OnnxBuilder, x: Ref, cos: Ref, sin: Ref) -> Ref:
        size = x.type.static(-1) // 2
        half = x.type.with_shape(*x.type.shape[:-1], size)
        a, b = g.ops("Split", x, g.const([size, size]), axis=-1, types=(half, half))
        return g.op("Concat", *_turned(g, a, b, cos, sin), axis=-1, type=x.type)

    def _neighbours(self, g: OnnxBuilder, x: Ref, cos: Ref, sin: Ref) -> Ref:
        size = x.type.static(-1) // 2
        pairs = g.reshape(x, (*x.type.shape[:-1], size, 2))
        one = x.type.with_shape(*x.type.shape[:-1], size, 1)
        a, b = g.ops("Split", pairs, g.const([1, 1]), axis=-1, types=(one, one))
        cos, sin = (
            g.op("Unsqueeze", c, g.const([-1]), type=c.type.with_shape(*c.type.shape, 1))
            for c in (cos, sin)
        )
        joined = g.op("Concat", *_turned(g, a, b, cos, sin), axis=-1, type=pairs.type)
        return g.reshape(joined, x.type.shape)

    examples = (
        example("N 2 T 8"),
        example("N 2 T 8", "int64<50: N T", base=500000.0),
        example("N 2 T 8", "int64<50: T", rotary_dim=4, interleaved=True),
        example("2 T 8", interleaved=True),
        example("N 2 T 8", rotary_dim=6),
        example("N 2 5 8", interleaved=True),
    )


def _for_heads(g: OnnxBuilder, x: Ref) -> Ref:
    """The angles with an axis of one head."""
    if x.rank == 2:
        return x
    shape = (x.type.shape[0], 1, *x.type.shape[1:])
    return g.op("Unsqueeze", x, g.const([1]), type=x.type.with_shape(*shape))


def _turned(g: OnnxBuilder, a: Ref, b: Ref, cos: Ref, sin: Ref) -> tuple[Ref, Ref]:
    first = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
    return first, g.op("Add", g.op("Mul", b, cos), g.op("Mul", a, sin))
