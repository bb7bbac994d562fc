"""Pointwise nonlinearities without parameters: PyTorch's modules and its functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Ref,
    TensorType,
    TorchWriter,
    example,
    op,
)  # fmt: skip


class Unary(Op):
    """An operator of one floating-point tensor that keeps its shape."""

    function: ClassVar[str]
    """The function that PyTorch has beside the module."""

    def infer(self, input: TensorType) -> TensorType:
        if not input.dtype.is_floating:
            raise OpError(
                "T404", f"`{self.name}` needs floating-point values, got {input.dtype}",
                hint="convert the input with `to`",
            )  # fmt: skip
        return input

    def torch(self, py: TorchWriter, input: Code) -> str:
        if self.name[0].isupper():
            arguments = {name: self.__dict__[name] for name in self.params}
            return py.apply(f"nn.{self.name}", self.function, input, **arguments)
        return py.call(self.function, input, **self.given())


class OfNumbers(Unary):
    """A nonlinearity that PyTorch also has for integers."""

    def infer(self, input: TensorType) -> TensorType:
        if input.dtype is DType.bool:
            raise OpError("T404", f"`{self.name}` needs numbers, got {input.dtype}")
        return input


class ToFloating(Unary):
    """A nonlinearity that takes integers and booleans as floating-point numbers."""

    def infer(self, input: TensorType) -> TensorType:
        return input if input.dtype.is_floating else input.with_dtype(DType.float32)


def as_function(cls: type[Op], name: str) -> None:
    """Register the function of a module that is registered already, with the same parameters."""
    op(name)(type(name, (cls,), {"__doc__": cls.__doc__, "__module__": cls.__module__}))


def clipped(g: OnnxBuilder, x: Ref, low: float | None, high: float | None) -> Ref:
    """`x` kept between two numbers, for integers too."""
    kind = x.type.dtype
    wide = kind if kind.is_floating or kind in (DType.int32, DType.int64) else DType.int32
    number = float if kind.is_floating else int
    bounds = [None if b is None else g.const(number(b), wide) for b in (low, high)]
    return g.cast(g.op("Clip", g.cast(x, wide), *bounds), kind)


def relu(g: OnnxBuilder, x: Ref) -> Ref:
    """`max(x, 0)`, for integers too."""
    return g.op("Relu", x) if x.type.dtype.is_floating else clipped(g, x, 0, None)


def softplus(g: OnnxBuilder, x: Ref) -> Ref:
    """`log(1 + exp(x))`."""
    if x.type.dtype is not DType.float64:
        return g.op("Softplus", x)
    # ONNX Runtime has no kernel in double precision.
    tail = g.op("Exp", g.op("Neg", g.op("Abs", x)))
    bent = g.op("Log", g.op("Add", tail, g.const(1.0, DType.float64)))
    return g.op("Add", g.op("Relu", x), bent)


def _relu6(g: OnnxBuilder, x: Ref) -> Ref:
    return clipped(g, x, 0, 6)


def _floating(op_type: str) -> Callable[[OnnxBuilder, Ref], Ref]:
    def lower(g: OnnxBuilder, x: Ref) -> Ref:
        return g.op(op_type, x if x.type.dtype.is_floating else g.cast(x, DType.float32))

    return lower


def _silu(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Mul", x, g.op("Sigmoid", x))


def _mish(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Mul", x, g.op("Tanh", softplus(g, x)))


def _logsigmoid(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Neg", softplus(g, g.op("Neg", x)))


def _hardsigmoid(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _softsign(g: OnnxBuilder, x: Ref) -> Ref:
    if x.type.dtype is DType.float32:
        return g.op("Softsign", x)
    return g.op("Div", x, g.op("Add", g.op("Abs", x), g.const(1.0, x.type.dtype)))


def _tanhshrink(g: OnnxBuilder, x: Ref) -> Ref:
    return g.op("Sub", x, g.op("Tanh", x))


def unary(
    module: str, function: str, onnx: str | Callable[[OnnxBuilder, Ref], Ref], doc: str,
    base: type[Unary] = Unary,
) -> None:  # fmt: skip
    """Register a module and the function of the same meaning."""

    def lower(_: Op, g: OnnxBuilder, input: Ref) -> Ref:
        return g.op(onnx, input) if isinstance(onnx, str) else onnx(g, input)

    examples = [example("N 8"), example("-9<=float32<9: N 3 5")]
    if base is not Unary:
        examples += [example("int64: N T"), example("int8: N")]
    if base is ToFloating:
        examples.append(example("bool: N T"))
    members = {
        "__doc__": f"{doc}\n\nShape: unchanged.", "__module__": __name__, "function": function,
        "onnx": lower, "examples": tuple(examples),
    }  # fmt: skip
    cls = op(module)(type(module, (base,), members))
    as_function(cls, function.rpartition(".")[2])


unary("ReLU", "F.relu", relu, "`max(x, 0)`.", OfNumbers)
unary("ReLU6", "F.relu6", _relu6, "`min(max(x, 0), 6)`.", OfNumbers)
unary("Sigmoid", "torch.sigmoid", _floating("Sigmoid"), "`1 / (1 + exp(-x))`.", ToFloating)
unary("Tanh", "torch.tanh", _floating("Tanh"), "Hyperbolic tangent.", ToFloating)
unary("LogSigmoid", "F.logsigmoid", _logsigmoid, "`log(sigmoid(x))`.")
unary("SiLU", "F.silu", _silu, "`x * sigmoid(x)`, also called swish.")
unary("Mish", "F.mish", _mish, "`x * tanh(softplus(x))` (https://arxiv.org/abs/1908.08681).")
unary("Hardsigmoid", "F.hardsigmoid", _hardsigmoid, "`min(max(x + 3, 0), 6) / 6`.")
unary("Hardswish", "F.hardswish", "HardSwish", "`x * hardsigmoid(x)`.")
unary("SELU", "F.selu", "Selu",
      "Self-normalizing ELU with fixed constants (https://arxiv.org/abs/1706.02515).")  # fmt: skip
unary("Softsign", "F.softsign", _softsign, "`x / (1 + |x|)`.")
unary("Tanhshrink", "F.tanhshrink", _tanhshrink, "`x - tanh(x)`.")
