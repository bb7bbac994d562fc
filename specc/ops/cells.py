"""Single steps of recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Outputs,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    Weights,
    example,
    op,
    param,
    weight,
)  # fmt: skip
from specc.ops.shapes import product, require_rank


class Cell(Op):
    """Base of the recurrent cells, which differ in their gates."""

    hidden_size: int = param(ge=1, doc="size of the hidden state")
    bias: bool = param(default=True, doc="add learned biases")

    inferred = ("input_size",)
    gates: ClassVar[int]

    def state(self, input: TensorType, **states: TensorType | None) -> TensorType:
        """The type of a state; `OpError` where an input does not fit."""
        require_rank(input, 1, 2, name=self.name)
        if not input.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {input.dtype}")
        input.static(-1, "it is the input size")
        wanted = input.with_shape(*input.shape[:-1], self.hidden_size)
        for name, kind in states.items():
            if kind and kind != wanted:
                raise OpError("T401", f"`{name}` must be {wanted}, got {kind}", input=name)
        return wanted

    def weights(self, input: TensorType, *_: object) -> Weights:
        rows = self.gates * self.hidden_size
        yield weight("weight_ih", (rows, input.static(-1)), input.dtype)
        yield weight("weight_hh", (rows, self.hidden_size), input.dtype)
        if self.bias:
            yield weight("bias_ih", (rows,), input.dtype)
            yield weight("bias_hh", (rows,), input.dtype)

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        """Two per matrix element, one per bias, one per element of a gate."""
        x = inputs[0]
        assert x
        step: Size = self.gates * self.hidden_size
        for tensor in self.weights(x):
            step = step + tensor.type.numel * tensor.type.rank
        return step * product(x.shape[:-1])

    def layer(self, py: TorchWriter, input: Code, *, extra: Sequence[str] = ()) -> str:
        """The source of the module."""
        return py.layer(
            f"nn.{self.name}", input_size=input.type.static(-1), hidden_size=self.hidden_size,
            **self.given("bias", *extra),
        )  # fmt: skip

    def affine(self, g: OnnxBuilder, x: Ref, end: str) -> Ref:
        """`x @ weight.T + bias` for the weights of one side, `ih` or `hh`."""
        kernel = g.weight(f"weight_{end}")
        bias = g.weight(f"bias_{end}") if self.bias else None
        out = x.type.with_shape(*x.type.shape[:-1], kernel.type.shape[0])
        if x.rank == 2:
            return g.op("Gemm", x, kernel, bias, transB=1, type=out)
        made = g.op("MatMul", x, g.transposed(kernel), type=out)
        return g.op("Add", made, bias) if bias else made

    def loop(self, g: OnnxBuilder, state: Ref | None) -> Ref | None:
        """What the state adds to the gates; a state of zeros leaves the bias."""
        if state:
            return self.affine(g, state, "hh")
        return g.weight("bias_hh") if self.bias else None

    def split(self, g: OnnxBuilder, gates: Ref) -> tuple[Ref, ...]:
        """The gates, each of the size of the state."""
        part = gates.type.with_shape(*gates.type.shape[:-1], self.hidden_size)
        sizes = g.const([self.hidden_size] * self.gates)
        return g.ops("Split", gates, sizes, axis=-1, types=(part,) * self.gates)


def _sum(g: OnnxBuilder, a: Ref, b: Ref | None) -> Ref:
    return g.op("Add", a, b) if b else a


@op("RNNCell")
class RNNCell(Cell):
    """One step of an Elman network, `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`.

    Shape: `(N, in)` or `(in,)`, state `(N, hidden_size)`, zeros if absent; `in` must be static.
    """

    nonlinearity: Literal["tanh", "relu"] = param(default="tanh", doc="applied to the state")

    gates = 1

    def infer(self, input: TensorType, hx: TensorType | None = None) -> TensorType:
        return self.state(input, hx=hx)

    def torch(self, py: TorchWriter, input: Code, hx: Code | None = None) -> str:
        return py.call(self.layer(py, input, extra=("nonlinearity",)), *filter(None, (input, hx)))

    def onnx(self, g: OnnxBuilder, input: Ref, hx: Ref | None = None) -> Ref:
        gate = _sum(g, self.affine(g, input, "ih"), self.loop(g, hx))
        return g.op(self.nonlinearity.capitalize(), gate)

    examples = (
        example("N 6", "N 5", hidden_size=5),
        example("6", "5", hidden_size=5, nonlinearity="relu"),
        example("N 6", hidden_size=5, bias=False),
    )


@op("GRUCell")
class GRUCell(Cell):
    """One step of gated recurrent units (https://arxiv.org/abs/1406.1078).

    Shape: `(N, in)` or `(in,)`, state `(N, hidden_size)`, zeros if absent; `in` must be static.
    """

    gates = 3

    def infer(self, input: TensorType, hx: TensorType | None = None) -> TensorType:
        return self.state(input, hx=hx)

    def torch(self, py: TorchWriter, input: Code, hx: Code | None = None) -> str:
        return py.call(self.layer(py, input), *filter(None, (input, hx)))

    def onnx(self, g: OnnxBuilder, input: Ref, hx: Ref | None = None) -> Ref:
        reset, update, new = self.split(g, self.affine(g, input, "ih"))
        loop = self.loop(g, hx)
        if loop:
            own = self.split(g, loop)
            reset = g.op("Sigmoid", g.op("Add", reset, own[0]))
            update = g.op("Sigmoid", g.op("Add", update, own[1]))
            new = g.op("Add", new, g.op("Mul", reset, own[2]))
        else:
            update = g.op("Sigmoid", update)
        new = g.op("Tanh", new)
        # (1 - z) * n + z * h == n + z * (h - n)
        change = g.op("Sub", hx, new) if hx else g.op("Neg", new)
        return g.op("Add", new, g.op("Mul", update, change))

    examples = (
        example("N 6", "N 5", hidden_size=5),
        example("6", "5", hidden_size=5),
        example("N 6", hidden_size=5),
        example("N 6", hidden_size=5, bias=False),
    )


@op("LSTMCell")
class LSTMCell(Cell):
    """One step of long short-term memory (https://arxiv.org/abs/1402.1128).

    Shape: `(N, in)` or `(in,)`, states `h_0` and `c_0` of `(N, hidden_size)`, zeros if absent.
    Results: `h_1` and `c_1`. `in` must be static.
    """

    gates = 4

    def infer(
        self, input: TensorType, h_0: TensorType | None = None, c_0: TensorType | None = None
    ) -> Outputs:
        if (h_0 is None) != (c_0 is None):
            raise OpError("S102", "`LSTMCell` takes both `h_0` and `c_0`, or neither")
        state = self.state(input, h_0=h_0, c_0=c_0)
        return {"h_1": state, "c_1": state}

    def torch(
        self, py: TorchWriter, input: Code, h_0: Code | None = None, c_0: Code | None = None
    ) -> str:
        layer = self.layer(py, input)
        return f"{layer}({input}, ({h_0}, {c_0}))" if h_0 else f"{layer}({input})"

    def onnx(
        self, g: OnnxBuilder, input: Ref, h_0: Ref | None = None, c_0: Ref | None = None
    ) -> tuple[Ref, Ref]:
        gates = _sum(g, self.affine(g, input, "ih"), self.loop(g, h_0))
        into, forget, cell, out = self.split(g, gates)
        new = g.op("Mul", g.op("Sigmoid", into), g.op("Tanh", cell))
        if c_0:
            new = g.op("Add", g.op("Mul", g.op("Sigmoid", forget), c_0), new)
        return g.op("Mul", g.op("Sigmoid", out), g.op("Tanh", new)), new

    examples = (
        example("N 6", "N 5", "N 5", hidden_size=5),
        example("6", "5", "5", hidden_size=5, bias=False),
        example("N 6", hidden_size=5),
        example("N 6", hidden_size=9, bias=False),
    )
