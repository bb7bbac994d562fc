"""Recurrent networks over whole sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

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


class Recurrent(Op):
    """Base of the recurrent networks, which differ in their gates and in their state."""

    hidden_size: int = param(ge=1, doc="size of the hidden state")
    num_layers: int = param(default=1, ge=1, doc="layers, each reading the one before")
    bias: bool = param(default=True, doc="add learned biases")
    batch_first: bool = param(default=False, doc="the batch is axis 0 instead of axis 1")
    dropout: float = param(default=0.0, ge=0, le=1, doc="share zeroed between layers, in training")
    bidirectional: bool = param(default=False, doc="read the sequence backwards as well")

    inferred = ("input_size",)
    gate_order: ClassVar[tuple[int, ...]]
    """Where ONNX's gates stand among PyTorch's."""
    states: ClassVar[tuple[str, ...]] = ("h_0",)
    unpack = "{0}, {1}"
    order: ClassVar[tuple[str, ...]] = (
        "num_layers", "bias", "batch_first", "dropout", "bidirectional"
    )  # fmt: skip

    # -- shapes -----------------------------------------------------------------------------

    @property
    def directions(self) -> int:
        """Two if the sequence is read backwards as well."""
        return 2 if self.bidirectional else 1

    @property
    def out_size(self) -> int:
        """Size of what one direction gives out."""
        return self.hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Sizes of the states: the hidden one, then any other."""
        return (self.hidden_size,) * len(self.states)

    def shapes(self, input: TensorType, *states: TensorType | None) -> dict[str, TensorType]:
        """The results by name."""
        require_rank(input, 2, 3, name=self.name)
        if not input.dtype.is_floating:
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {input.dtype}")
        input.static(-1, "it is the input size")
        batch = self._batch(input)
        kinds = [
            input.with_shape(self.num_layers * self.directions, *batch, size)
            for size in self.state_sizes
        ]
        self._check_states(kinds, states)
        output = input.with_shape(*input.shape[:-1], self.directions * self.out_size)
        names = (name.replace("_0", "_n") for name in self.states)
        return {"output": output, **dict(zip(names, kinds, strict=True))}

    def _batch(self, input: TensorType) -> tuple[Size, ...]:
        return () if input.rank == 2 else (input.shape[0 if self.batch_first else 1],)

    def _check_states(
        self, wanted: Sequence[TensorType], given: Sequence[TensorType | None]
    ) -> None:
        missing = [n for n, kind in zip(self.states, given, strict=False) if kind is None]
        if missing and len(missing) < len(given):
            raise OpError("S102", f"`{self.name}` needs `{missing[0]}` beside the other state")
        for name, kind, right in zip(self.states, given, wanted, strict=False):
            if kind and kind != right:
                raise OpError(
                    "T401", f"`{name}` must be {right}, got {kind}", input=name,
                    hint=f"the axes are (layers * directions, {'batch, ' * (right.rank > 2)}size)",
                )  # fmt: skip

    # -- weights ----------------------------------------------------------------------------

    def suffixes(self, layer: int) -> Iterator[str]:
        """The ends of the weights' names, for each direction of a layer."""
        yield f"l{layer}"
        if self.bidirectional:
            yield f"l{layer}_reverse"

    def weights(self, input: TensorType, *_: object) -> Weights:
        rows = len(self.gate_order) * self.hidden_size
        for layer in range(self.num_layers):
            width = input.static(-1) if layer == 0 else self.directions * self.out_size
            for suffix in self.suffixes(layer):
                yield weight(f"weight_ih_{suffix}", (rows, width), input.dtype)
                yield weight(f"weight_hh_{suffix}", (rows, self.out_size), input.dtype)
                if self.bias:
                    yield weight(f"bias_ih_{suffix}", (rows,), input.dtype)
                    yield weight(f"bias_hh_{suffix}", (rows,), input.dtype)
                if self.out_size != self.hidden_size:
                    shape = (self.out_size, self.hidden_size)
                    yield weight(f"weight_hr_{suffix}", shape, input.dtype)

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        """Two per matrix element and step, one per bias, one per element of a gate."""
        x = inputs[0]
        assert x
        step: Size = self.num_layers * self.directions * len(self.gate_order) * self.hidden_size
        for tensor in self.weights(x):
            step = step + tensor.type.numel * tensor.type.rank
        return step * product(x.shape[:-1])

    # -- PyTorch ----------------------------------------------------------------------------

    def source(self, py: TorchWriter, input: Code, *states: Code | None) -> str:
        """The call of the module; two states are passed as a tuple."""
        layer = py.layer(
            f"nn.{self.name}", input_size=input.type.static(-1), hidden_size=self.hidden_size,
            **self.given(*self.order),
        )  # fmt: skip
        given = ", ".join(str(state) for state in states if state)
        if not given:
            return f"{layer}({input})"
        return f"{layer}({input}, ({given}))" if len(states) > 1 else f"{layer}({input}, {given})"

    # -- ONNX -------------------------------------------------------------------------------

    def attributes(self) -> dict[str, Any]:
        """What the ONNX operator is told beside its size and direction."""
        return {}

    def lowered(self, g: OnnxBuilder, input: Ref, *states: Ref | None) -> tuple[Ref, ...]:
        """One ONNX node a layer, between the changes of the order of axes."""
        results = self.shapes(input.type, *(s.type if s else None for s in states))
        x = self._time_first(g, input)
        starts = [self._by_layer(g, state, input.rank == 2) for state in states]
        ends: list[tuple[Ref, ...]] = []
        for layer in range(self.num_layers):
            y, *end = self._node(g, x, layer, [s[layer] if s else None for s in starts])
            ends.append(tuple(end))
            last = layer == self.num_layers - 1
            x = self._output(g, y, results["output"] if last else None, input.rank)
        final = zip(*ends, strict=True)
        kinds = list(results.values())[1:]
        return (
            x,
            *(self._joined(g, parts, kind) for parts, kind in zip(final, kinds, strict=True)),
        )

    def _time_first(self, g: OnnxBuilder, input: Ref) -> Ref:
        if input.rank == 2:
            length, width = input.type.shape
            return g.op(
                "Unsqueeze", input, g.const([1]), type=input.type.with_shape(length, 1, width)
            )
        return g.transposed(input, 1, 0, 2) if self.batch_first else input

    def _by_layer(self, g: OnnxBuilder, state: Ref | None, unbatched: bool) -> list[Ref]:
        if state is None:
            return []
        if unbatched:
            rows, size = state.type.shape
            state = g.op(
                "Unsqueeze", state, g.const([1]), type=state.type.with_shape(rows, 1, size)
            )
        if self.num_layers == 1:
            return [state]
        part = state.type.with_shape(self.directions, *state.type.shape[1:])
        counts = g.const([self.directions] * self.num_layers)
        return list(g.ops("Split", state, counts, axis=0, types=(part,) * self.num_layers))

    def _node(
        self, g: OnnxBuilder, x: Ref, layer: int, starts: Sequence[Ref | None]
    ) -> tuple[Ref, ...]:
        kernel = self.gates(g, "weight_ih", layer, x.type.shape[-1])
        loop = self.gates(g, "weight_hh", layer, self.hidden_size)
        return self.node(g, x, kernel, loop, layer, starts)

    def gates(self, g: OnnxBuilder, kind: str, layer: int, width: Size) -> Ref:
        """The matrices of a layer's directions with the gates in ONNX's order."""
        names = [f"{kind}_{suffix}" for suffix in self.suffixes(layer)]
        rows = len(self.gate_order) * self.hidden_size
        return g.packed(names, self.gate_order, (self.directions, rows, width))

    def node(
        self, g: OnnxBuilder, x: Ref, kernel: Ref, loop: Ref, layer: int,
        starts: Sequence[Ref | None],
    ) -> tuple[Ref, ...]:  # fmt: skip
        """The ONNX node of one layer: all states, then the last of each."""
        length, batch, _ = x.type.shape
        names = [f"bias_{kind}_{n}" for n in self.suffixes(layer) for kind in ("ih", "hh")]
        shape = (self.directions, 2 * len(self.gate_order) * self.hidden_size)
        bias = g.packed(names, self.gate_order, shape) if self.bias else None
        end = x.type.with_shape(self.directions, batch, self.hidden_size)
        kinds = (x.type.with_shape(length, *end.shape), *(end for _ in self.states))
        return g.ops(
            self.name, x, kernel, loop, bias, None, *starts, types=kinds,
            hidden_size=self.hidden_size, **self.attributes(),
            direction="bidirectional" if self.bidirectional else None,
        )  # fmt: skip

    def _output(self, g: OnnxBuilder, y: Ref, final: TensorType | None, rank: int) -> Ref:
        """`(L, directions, N, H)` as the next layer, or the caller, takes it."""
        length, directions, batch, size = y.type.shape
        swap = final is not None and rank == 3 and self.batch_first
        shape = final.shape if final else (length, batch, directions * size)
        if swap:
            y = g.transposed(y, 2, 0, 1, 3)
        elif self.bidirectional and rank == 3:
            y = g.transposed(y, 0, 2, 1, 3)
        return g.reshape(y, shape)

    def _joined(self, g: OnnxBuilder, parts: Sequence[Ref], kind: TensorType) -> Ref:
        first = parts[0]
        shape = (self.num_layers * self.directions, *first.type.shape[1:])
        whole = first
        if len(parts) > 1:
            whole = g.op("Concat", *parts, axis=0, type=first.type.with_shape(*shape))
        return whole if kind.rank == 3 else g.op("Squeeze", whole, g.const([1]), type=kind)


class OneState(Recurrent):
    """A recurrent network whose only state is the hidden one."""

    def infer(self, input: TensorType, h_0: TensorType | None = None) -> Outputs:
        return self.shapes(input, h_0)

    def torch(self, py: TorchWriter, input: Code, h_0: Code | None = None) -> str:
        return self.source(py, input, h_0)

    def onnx(self, g: OnnxBuilder, input: Ref, h_0: Ref | None = None) -> tuple[Ref, ...]:
        return self.lowered(g, input, h_0)


@op("GRU")
class GRU(OneState):
    """Gated recurrent units (https://arxiv.org/abs/1406.1078), the reset after the product.

    Shape: `(L, N, in)`, with `batch_first` `(N, L, in)`, or `(L, in)`; state `h_0` of
    `(layers * directions, N, hidden_size)`, zeros if absent. Results: `output`, whose last axis
    joins the directions, and the last state `h_n`. `in` must be static.
    """

    gate_order = (1, 0, 2)

    def attributes(self) -> dict[str, Any]:
        return {"linear_before_reset": 1}

    examples = (
        example("T N 6", hidden_size=5),
        example("N T 6", "2 N 5", hidden_size=5, num_layers=2, batch_first=True),
        example("T N 6", "4 N 3", hidden_size=3, num_layers=2, bidirectional=True, bias=False),
        example("T 6", "2 5", hidden_size=5, bidirectional=True, batch_first=True),
    )


@op("RNN")
class RNN(OneState):
    """Elman network, `h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh)`.

    Shape: `(L, N, in)`, with `batch_first` `(N, L, in)`, or `(L, in)`; state `h_0` of
    `(layers * directions, N, hidden_size)`, zeros if absent. Results: `output`, whose last axis
    joins the directions, and the last state `h_n`. `in` must be static.
    """

    nonlinearity: Literal["tanh", "relu"] = param(default="tanh", doc="applied to every state")

    gate_order = (0,)
    order = ("num_layers", "nonlinearity", *Recurrent.order[1:])

    def attributes(self) -> dict[str, Any]:
        return {"activations": [self.nonlinearity.capitalize()] * self.directions}

    examples = (
        example("T N 6", hidden_size=5),
        example(
            "N T 6", "2 N 5", hidden_size=5, num_layers=2, batch_first=True, nonlinearity="relu"
        ),
        example("T N 6", "2 N 5", hidden_size=5, bidirectional=True, bias=False),
        example("T 6", hidden_size=5, num_layers=2),
    )
