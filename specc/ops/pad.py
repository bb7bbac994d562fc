"""Padding: layers for one to three axes, and the function `pad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from specc.ir.dims import bounds
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
from specc.ops.shapes import require_positive, require_rank

Amounts = Sequence[tuple[int, int]]
"""Elements before and after each of the last axes, front to back; negative: taken away."""

Mode = Literal["constant", "reflect", "replicate", "circular"]

_ONNX_MODE = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
_END = 2**63 - 1


def amounts(flat: Sequence[int]) -> list[tuple[int, int]]:
    """PyTorch's order, last axis first, as pairs from front to back."""
    return list(zip(flat[::2], flat[1::2], strict=True))[::-1]


def padded_type(x: TensorType, pads: Amounts, mode: str, name: str) -> TensorType:
    """The type of the padded tensor; `OpError` where an axis is too short for the mode."""
    kept = x.rank - len(pads)
    sizes = list(x.shape[:kept])
    for size, (before, after) in zip(x.shape[kept:], pads, strict=True):
        left = size + min(before, 0) + min(after, 0)
        if mode == "constant":  # it cuts first
            require_positive(left + 1, f"what the negative padding leaves of `{size}`")
        most = _most(size, left, mode)
        if most is not None and max(before, after) > most:
            raise OpError(
                "T405", f"`{name}` in mode {mode} cannot add {max(before, after)} elements to an "
                f"axis of {size}", hint=f"at most {most} fit" if most > 0 else None,
            )  # fmt: skip
        sizes.append(require_positive(size + before + after, f"the padded size of `{size}`"))
    return x.with_shape(*sizes)


def _most(size: Size, left: Size, mode: str) -> int | None:
    """How many elements an axis can give, a periodic one of what is left of it; `None`: any."""
    if mode == "reflect":
        return bounds(size - 1)[1]
    return bounds(left)[1] if mode == "circular" else None


def padded(g: OnnxBuilder, x: Ref, pads: Amounts, mode: str = "constant", value: float = 0) -> Ref:
    """The nodes of a padding; what is taken away is cut off where PyTorch cuts it off."""
    grown = [(max(before, 0), max(after, 0)) for before, after in pads]
    cut = [(max(-before, 0), max(-after, 0)) for before, after in pads]
    if mode in ("constant", "circular"):
        return _grown(g, _cut(g, x, cut), grown, mode, value)
    return _cut(g, _grown(g, x, grown, mode, value), cut)


def _cut(g: OnnxBuilder, x: Ref, cut: Amounts) -> Ref:
    kept = x.rank - len(cut)
    wanted = [(kept + i, before, after) for i, (before, after) in enumerate(cut) if before or after]
    if not wanted:
        return x
    shape = list(x.type.shape)
    for axis, before, after in wanted:
        shape[axis] = shape[axis] - before - after
    return g.op(
        "Slice", x, g.const([before for _, before, _ in wanted]),
        g.const([-after if after else _END for _, _, after in wanted]),
        g.const([axis for axis, _, _ in wanted]), type=x.type.with_shape(*shape),
    )  # fmt: skip


def _grown(g: OnnxBuilder, x: Ref, pads: Amounts, mode: str, value: float) -> Ref:
    if not any(before or after for before, after in pads):
        return x
    if mode == "circular" and g.opset < 19:
        return _wrapped(g, x, pads)
    kept = x.rank - len(pads)
    ends = [[0] * kept + [pair[side] for pair in pads] for side in (0, 1)]
    shape = (a + before + after for a, before, after in zip(x.type.shape, *ends, strict=True))
    out = x.type.with_shape(*shape)
    # ONNX Runtime pads every type but int16.
    used = DType.int32 if out.dtype is DType.int16 else out.dtype
    fill = _fill(g, used, value) if mode == "constant" and value else None
    made = g.op(
        "Pad", g.cast(x, used), g.const(ends[0] + ends[1]), fill, mode=_ONNX_MODE[mode],
        type=out.with_dtype(used),
    )  # fmt: skip
    return g.cast(made, out.dtype)


def _fill(g: OnnxBuilder, dtype: DType, value: float) -> Ref:
    if dtype.is_floating:
        return g.const(float(value), dtype)
    return g.const(bool(value) if dtype is DType.bool else int(value), dtype)


def _wrapped(g: OnnxBuilder, x: Ref, pads: Amounts) -> Ref:
    """Circular padding before opset 19, axis by axis."""
    for i, (before, after) in enumerate(pads):
        axis = x.rank - len(pads) + i
        size = x.type.shape[axis]
        parts = [_part(g, x, axis, -before, _END, before)] if before else []
        parts += [x] + ([_part(g, x, axis, 0, after, after)] if after else [])
        shape = list(x.type.shape)
        shape[axis] = size + before + after
        if len(parts) > 1:
            x = g.op("Concat", *parts, axis=axis, type=x.type.with_shape(*shape))
    return x


def _part(g: OnnxBuilder, x: Ref, axis: int, start: int, end: int, size: Size) -> Ref:
    shape = list(x.type.shape)
    shape[axis] = size
    return g.op(
        "Slice", x, g.const([start]), g.const([end]), g.const([axis]),
        type=x.type.with_shape(*shape),
    )  # fmt: skip


class PadLayer(Op):
    """Base of the padding layers."""

    axes: ClassVar[int]
    mode: ClassVar[str] = "constant"
    padding: int | tuple[int, ...] = param(
        doc="elements at every end, or `(left, right, top, …)`, the last axis first; "
        "negative: cut off"
    )
    value: float

    check = "exact"

    def _amounts(self) -> list[tuple[int, int]]:
        flat = (self.padding,) * (2 * self.axes) if isinstance(self.padding, int) else self.padding
        return amounts(flat)

    def infer(self, input: TensorType) -> TensorType:
        if self.mode == "constant" and input.rank < self.axes:
            raise OpError("T402", f"`{self.name}` needs {self.axes} axes, got {input}")
        if self.mode != "constant":
            require_rank(input, self.axes + 2, self.axes + 1, name=self.name)
            _refuse_bool(self.name, self.mode, input)
        return padded_type(input, self._amounts(), self.mode, self.name)

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        return f"{py.layer(f'nn.{self.name}', **given)}({input})"

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return padded(g, input, self._amounts(), self.mode, getattr(self, "value", 0))


def _refuse_bool(name: str, mode: str, x: TensorType) -> None:
    if x.dtype is DType.bool and mode in ("reflect", "replicate"):
        raise OpError("T404", f"`{name}` in mode {mode} does not take {x.dtype}")


_INPUTS = ("N 4 L", "N 4 H W", "N 3 4 H W")
_UNBATCHED = ("3 L", "3 H W", "2 3 H W")
_DOCS = {
    "constant": "Adds elements of one value around the last {n}.",
    "zero": "Adds zeros around the last {n}.",
    "reflect": "Continues the last {n} by reflection about the border, which is not repeated.",
    "replicate": "Continues the last {n} with copies of the border.",
    "circular": "Continues the last {n} periodically.",
}


def _pad_layer(prefix: str, mode: str, axes: int) -> None:
    """Register one padding layer."""
    kind = "int | tuple[" + ", ".join(["int"] * (2 * axes)) + "]"
    flat = (1, 2, 0, 1, 2, 0)[: 2 * axes]
    extra = {"value": 1.5} if prefix == "Constant" else {}
    words = _DOCS["zero" if prefix == "Zero" else mode].format(
        n="axis" if axes == 1 else f"{axes} axes"
    )
    cut = (-1, 2, 1, -1, 0, 1)[: 2 * axes]
    namespace = {
        "__doc__": f"{words}\n\nShape: the padded axes grow by what is added at both ends.",
        "__module__": __name__, "__annotations__": {"padding": kind}, "axes": axes, "mode": mode,
        "examples": (
            example(_INPUTS[axes - 1], padding=1, **extra),
            example(_UNBATCHED[axes - 1], padding=flat, **extra),
            example(_INPUTS[axes - 1], padding=cut, **extra),
            example(f"int64<9: {_INPUTS[axes - 1]}", padding=flat, **dict.fromkeys(extra, 7)),
        ),
    }  # fmt: skip
    if prefix == "Constant":
        namespace["value"] = param(doc="the value of the new elements")
        namespace["__annotations__"] = {"padding": kind, "value": "float"}
    op(f"{prefix}Pad{axes}d")(type(f"{prefix}Pad{axes}d", (PadLayer,), namespace))


for _axes in (1, 2, 3):
    _pad_layer("Constant", "constant", _axes)
    _pad_layer("Zero", "constant", _axes)
    _pad_layer("Reflection", "reflect", _axes)
    _pad_layer("Replication", "replicate", _axes)
    _pad_layer("Circular", "circular", _axes)


@op("pad")
class Pad(Op):
    """Adds elements at the ends of the last axes.

    `pad` lists how many before and after the last axis, then the one before it, and so on; a
    negative number cuts off. Modes other than `constant` pad the last 1 to 3 axes of an input
    that has one or two more.

    Shape: the padded axes grow by what is added at both ends.
    """

    pad: tuple[int, ...] = param(doc="`(left, right, top, bottom, …)`, the last axis first")
    mode: Mode = param(default="constant", doc="what the new elements are")
    value: float | None = param(default=None, doc="their value in mode `constant`; `null`: 0")

    check = "exact"

    def infer(self, input: TensorType) -> TensorType:
        axes, odd = divmod(len(self.pad), 2)
        if odd or axes > input.rank:
            raise OpError(
                "S113", f"`pad` needs two numbers per axis of {input}, got {len(self.pad)} numbers",
                param="pad",
            )  # fmt: skip
        if self.mode != "constant":
            self._check_mode(input, axes)
        return padded_type(input, amounts(self.pad), self.mode, self.name)

    def _check_mode(self, input: TensorType, axes: int) -> None:
        if self.value:
            raise OpError("S113", f"mode {self.mode} takes no value", param="value")
        if not 1 <= axes <= 3:
            raise OpError("S113", f"mode {self.mode} pads 1 to 3 axes, got {axes}", param="pad")
        require_rank(input, axes + 2, axes + 1, name=self.name)
        _refuse_bool(self.name, self.mode, input)

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("F.pad", input, self.pad, **self.given("mode", "value"))

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        return padded(g, input, amounts(self.pad), self.mode, self.value or 0)

    examples = (
        example("N T 4", pad=(1, 2)),
        example("N T 4", pad=(0, 0, -1, 1, 0, 2), value=-1.5),
        example("bool: N T", pad=(1, 0), value=1),
        example("int16: N T", pad=(1, 1, 2, 0), value=3),
        example("N T 4", pad=(-1, -1)),
        example("N C H W", pad=(1, 2, 0, 3), mode="reflect"),
        example("N T 4", pad=(5, -1), mode="replicate"),
        example("N C H W", pad=(-2, 2, 1, 0), mode="circular"),
        example("bool: N C H W", pad=(2, 2, 1, 0), mode="circular"),
        example("int16: N 4 L", pad=(3, 2), mode="reflect"),
    )
