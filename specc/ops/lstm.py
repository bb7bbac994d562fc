"""Long short-term memory over whole sequences, with and without a projection."""

from __future__ import annotations

from collections.abc import Sequence

from specc.ops.op import (
    Code,
    OnnxBuilder,
    OpError,
    Outputs,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.recurrent import Recurrent


@op("LSTM")
class LSTM(Recurrent):
    """Long short-term memory (https://arxiv.org/abs/1402.1128, the projection included).

    Shape: `(L, N, in)`, with `batch_first` `(N, L, in)`, or `(L, in)`; states `h_0` and `c_0`
    of `(layers * directions, N, size)`, zeros if absent. Results: `output`, whose last axis
    joins the directions, and the last states `h_n` and `c_n`. `in` must be static.
    """

    proj_size: int = param(default=0, ge=0, doc="size of a projection of the hidden state; 0: none")

    gate_order = (0, 3, 1, 2)
    states = ("h_0", "c_0")
    unpack = "{0}, ({1}, {2})"
    order = (*Recurrent.order, "proj_size")

    @property
    def out_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.out_size, self.hidden_size)

    def infer(
        self, input: TensorType, h_0: TensorType | None = None, c_0: TensorType | None = None
    ) -> Outputs:
        if self.proj_size >= self.hidden_size:
            raise OpError(
                "S104", f"`proj_size` must be less than `hidden_size` {self.hidden_size}, "
                f"got {self.proj_size}", param="proj_size",
            )  # fmt: skip
        return self.shapes(input, h_0, c_0)

    def torch(
        self, py: TorchWriter, input: Code, h_0: Code | None = None, c_0: Code | None = None
    ) -> str:
        return self.source(py, input, h_0, c_0)

    def onnx(
        self, g: OnnxBuilder, input: Ref, h_0: Ref | None = None, c_0: Ref | None = None
    ) -> tuple[Ref, ...]:
        return self.lowered(g, input, h_0, c_0)

    def _node(
        self, g: OnnxBuilder, x: Ref, layer: int, starts: Sequence[Ref | None]
    ) -> tuple[Ref, ...]:
        if not self.proj_size:
            return super()._node(g, x, layer, starts)
        return self._projected(g, x, layer, starts)

    def _projected(
        self, g: OnnxBuilder, x: Ref, layer: int, starts: Sequence[Ref | None]
    ) -> tuple[Ref, ...]:
        """The node of ONNX, which knows no projection: `W_hh (W_hr h)` is `(W_hh W_hr) h`.

        The first `h` is projected already, so it enters the first step beside `x`.
        """
        names = [f"weight_hr_{suffix}" for suffix in self.suffixes(layer)]
        down = g.packed(names, (0,), (self.directions, self.proj_size, self.hidden_size))
        kernel = self.gates(g, "weight_ih", layer, x.type.shape[-1])
        loop = self.gates(g, "weight_hh", layer, self.proj_size)
        h_0, c_0 = starts
        if h_0:
            x, kernel = self._with_first(g, x, kernel, loop, h_0)
        rows = loop.type.shape[1]
        whole = down.type.with_shape(self.directions, rows, self.hidden_size)
        loop = g.op("MatMul", loop, down, type=whole)
        y, h_n, c_n = self.node(g, x, kernel, loop, layer, (None, c_0))
        down = g.transposed(down, 0, 2, 1)
        y, h_n = (
            g.op("MatMul", z, down, type=z.type.with_shape(*z.type.shape[:-1], self.proj_size))
            for z in (y, h_n)
        )
        return y, h_n, c_n

    def _with_first(
        self, g: OnnxBuilder, x: Ref, kernel: Ref, loop: Ref, h_0: Ref
    ) -> tuple[Ref, Ref]:
        """`x` with the first states beside its first (backwards: its last) step, and the matrix."""
        length, batch, width = x.type.shape
        part = h_0.type.with_shape(1, batch, self.proj_size)
        many = self.directions
        firsts = list(g.ops("Split", h_0, g.const([1] * many), axis=0, types=(part,) * many))
        kind = x.type.with_shape(length, batch, self.proj_size)
        none: list[Size] = [0, 0, 0]
        room: list[Size] = [length - 1, 0, 0]
        pads = [(none, room), (room, none)]
        steps = [
            g.op("Pad", first, g.dims([*before, *after]), type=kind)
            for first, (before, after) in zip(firsts, pads, strict=False)
        ]
        own = [[[[float(i == d)]] for i in range(many)] for d in range(many)]
        columns = [g.op("Mul", loop, g.const(mask, loop.type.dtype)) for mask in own]
        wide = width + many * self.proj_size
        return (
            g.op("Concat", x, *steps, axis=2, type=x.type.with_shape(length, batch, wide)),
            g.op(
                "Concat", kernel, *(columns if many > 1 else [loop]), axis=2,
                type=kernel.type.with_shape(*kernel.type.shape[:2], wide),
            ),
        )  # fmt: skip

    examples = (
        example("T N 6", hidden_size=5),
        example("N T 6", "2 N 5", "2 N 5", hidden_size=5, num_layers=2, batch_first=True),
        example(
            "T N 6", "4 N 5", "4 N 5", hidden_size=5, num_layers=2, bidirectional=True, dropout=0.1
        ),
        example("N T 6", hidden_size=5, bidirectional=True, batch_first=True, bias=False),
        example("T 6", "2 5", "2 5", hidden_size=5, bidirectional=True),
        example("T N 6", hidden_size=5, proj_size=3, bidirectional=True),
        example(
            "N T 6", "2 N 3", "2 N 5", hidden_size=5, proj_size=3, num_layers=2, batch_first=True
        ),
        example(
            "T N 6", "4 N 3", "4 N 5", hidden_size=5, proj_size=3, num_layers=2, bidirectional=True
        ),
        example("T 6", "1 3", "1 5", hidden_size=5, proj_size=3, bias=False),
    )
