"""What the losses share, and those that compare two tensors element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from specc.ops.op import (
    Code,
    OnnxBuilder,
    Op,
    OpError,
    Raw,
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
from specc.ops.shapes import broadcast, same_dtype


def needs_floating(name: str, x: TensorType, argument: str | None = None) -> TensorType:
    """The input; `OpError` unless it holds floating-point values."""
    if not x.dtype.is_floating:
        which = f" as its `{argument}`" if argument else ""
        raise OpError(
            "T404", f"`{name}` needs floating-point values{which}, got {x.dtype}", input=argument,
            hint='give the column or input `"dtype": "float32"`, or convert it with `to`',
        )  # fmt: skip
    return x


def same_shape(name: str, input: TensorType, target: TensorType, argument: str = "target") -> None:
    """Raise `OpError` unless both shapes are equal: PyTorch would broadcast, mostly by mistake."""
    if input.shape == target.shape:
        return
    raise OpError(
        "T401", f"`{name}` needs equal shapes, got `input` {input} and `{argument}` {target}",
        input=argument,
        hint="`squeeze` or `unsqueeze` one of them"
        if abs(input.rank - target.rank) == 1 else "reshape one of them",
    )  # fmt: skip


class Loss(Op):
    """Base of the losses: how the values of a batch become one number."""

    reduction: Literal["none", "mean", "sum"] = param(
        default="mean", doc="`mean` or `sum` of all values, or `none`: one loss per value"
    )

    function: ClassVar[str]
    """The function of `torch.nn.functional` that does the same."""
    tensors: ClassVar[tuple[str, ...]] = ()
    """Parameters that become buffers; each may be an input instead."""

    def reduced(self, each: TensorType) -> TensorType:
        """The type of the result, from that of the loss per value."""
        return each if self.reduction == "none" else each.with_shape()

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        (scores, *_) = inputs
        assert scores
        return 4 * scores.numel

    def weights(self, *_: TensorType | None) -> Weights:
        for name in self.tensors:
            if (values := self.__dict__[name]) is not None:
                shape = (len(values),) if isinstance(values, tuple) else ()
                yield weight(name, shape, buffer=True)

    def once(self, **inputs: TensorType | None) -> None:
        """Raise `OpError` where some tensors are listed and others are inputs."""
        listed = [name for name in self.tensors if self.__dict__[name] is not None]
        given = [name for name, kind in inputs.items() if kind]
        if listed and given:
            raise OpError(
                "S103", f"`{listed[0]}` is a list, but `{given[0]}` is an input", param=listed[0],
                hint="give each tensor once, and all of them as lists or all as inputs",
            )  # fmt: skip

    def source(self, py: TorchWriter, *inputs: Code, **tensors: Code | None) -> str:
        """The call of the loss; `tensors` are the optional inputs by name."""
        plain = {k: self.__dict__[k] for k in self.params if k not in self.tensors}
        lists = {k: self.__dict__[k] for k in self.tensors if self.__dict__[k] is not None}
        if lists:
            buffers = {k: Raw(f"torch.tensor({list_of(v)})") for k, v in lists.items()}
            layer = py.layer(f"nn.{self.name}", **buffers, **plain)
            return f"{layer}({', '.join(map(str, inputs))})"
        if given := {k: code for k, code in tensors.items() if code}:
            return py.call(f"F.{self.function}", *inputs, **given, **self.given(*plain))
        return py.apply(f"nn.{self.name}", f"F.{self.function}", *inputs, **plain)

    def lowered(self, g: OnnxBuilder, each: Ref) -> Ref:
        """The loss per value, reduced."""
        if self.reduction == "none":
            return each
        kind = "ReduceMean" if self.reduction == "mean" else "ReduceSum"
        return g.op(kind, each, keepdims=0, type=each.type.with_shape())


def list_of(values: Any) -> str:
    """Numbers as Python source of floating-point numbers."""
    if isinstance(values, tuple):
        return f"[{', '.join(map(list_of, values))}]"
    return repr(float(values))


class Unlowered(Loss):
    """Base of the losses that exist in training only; `no_onnx` says why."""

    def onnx(self, *_: object) -> Ref:
        raise OpError("T407", f"`{self.name}` has no ONNX form: {self.no_onnx}")


class Pairwise(Loss):
    """Base of the losses of two floating-point tensors of one shape."""

    def infer(self, input: TensorType, target: TensorType) -> TensorType:
        needs_floating(self.name, input, "input")
        needs_floating(self.name, target, "target")
        same_dtype(self.name, input, target)
        same_shape(self.name, input, target)
        return self.reduced(input)

    def torch(self, py: TorchWriter, input: Code, target: Code) -> str:
        return self.source(py, input, target)


@op("MSELoss")
class MSELoss(Pairwise):
    """Squared error, `(input - target)²`.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    function = "mse_loss"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        gap = g.op("Sub", input, target)
        return self.lowered(g, g.op("Mul", gap, gap))

    examples = (
        example("N 8", "N 8"),
        example("N", "N", reduction="sum"),
        example("N 3 T", "N 3 T", reduction="none"),
    )


@op("L1Loss")
class L1Loss(Pairwise):
    """Absolute error, `|input - target|`.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    function = "l1_loss"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        return self.lowered(g, g.op("Abs", g.op("Sub", input, target)))

    examples = (example("N 8", "N 8"), example("N T", "N T", reduction="none"))


def _huber(g: OnnxBuilder, input: Ref, target: Ref, delta: float) -> Ref:
    """`c * (|d| - c / 2)` with `c = min(|d|, delta)`: both branches of the Huber loss in one."""
    kind = input.type.dtype
    size = g.op("Abs", g.op("Sub", input, target))
    near = g.op("Min", size, g.const(delta, kind))
    return g.op("Mul", near, g.op("Sub", size, g.op("Mul", near, g.const(0.5, kind))))


@op("HuberLoss")
class HuberLoss(Pairwise):
    """Squared error up to `delta`, absolute error beyond: `d²/2`, else `delta (|d| - delta/2)`.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    delta: float = param(default=1.0, gt=0, doc="where the square turns into a line")

    function = "huber_loss"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        return self.lowered(g, _huber(g, input, target, self.delta))

    examples = (
        example("N 8", "N 8"),
        example("N T", "N T", delta=0.3, reduction="none"),
        example("N", "N", delta=2.5, reduction="sum"),
    )


@op("SmoothL1Loss")
class SmoothL1Loss(Pairwise):
    """Huber loss divided by `beta`: `d²/(2 beta)` up to `beta`, else `|d| - beta/2`.

    Shape: `(*), (*) -> ()`, both of one shape; with `reduction` `none`: `(*)`.
    """

    beta: float = param(default=1.0, ge=0, doc="where the square turns into a line")

    function = "smooth_l1_loss"

    def onnx(self, g: OnnxBuilder, input: Ref, target: Ref) -> Ref:
        if self.beta == 0:
            return self.lowered(g, g.op("Abs", g.op("Sub", input, target)))
        each = _huber(g, input, target, self.beta)
        if self.beta != 1:
            each = g.op("Div", each, g.const(self.beta, input.type.dtype))
        return self.lowered(g, each)

    examples = (
        example("N 8", "N 8"),
        example("N T", "N T", beta=0.3, reduction="none"),
        example("N T", "N T", beta=0, reduction="sum"),
    )


def fits(name: str, argument: str, x: TensorType, other: TensorType | None) -> None:
    """Raise `OpError` unless `other` broadcasts to the shape of `x`."""
    if other and broadcast(x.shape, other.shape) != x.shape:
        raise OpError("T406", f"`{argument}` {other} of `{name}` does not fit {x}", input=argument)
