"""Resizing of `(N, C, *)`: `interpolate` and the layers that call it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from specc.ir.dims import Dim
from specc.ops import adaptive_pool
from specc.ops.antialias import antialias_weights
from specc.ops.nearest import gathered, resize_agrees
from specc.ops.op import (
    Code,
    DType,
    OnnxBuilder,
    Op,
    OpError,
    Raw,
    Ref,
    Size,
    TensorType,
    TorchWriter,
    example,
    op,
    param,
)  # fmt: skip
from specc.ops.shapes import as_tuple, require_positive, require_rank
from specc.ops.spatial import mixed

RANKS = {
    "nearest": (3, 4, 5), "nearest-exact": (3, 4, 5), "area": (3, 4, 5), "linear": (3,),
    "bilinear": (4,), "bicubic": (4,), "trilinear": (5,),
}  # fmt: skip
_LINEAR = ("linear", "bilinear", "trilinear")

SIZE: Any = param(default=None, ge=1, doc="the new size of all spatial axes, or of each")
SCALE: Any = param(
    default=None, gt=0, doc="`new = floor(old * scale_factor)` for all spatial axes, or for each"
)


def scaled(size: Size, scale: float) -> Size:
    """The size times a factor, rounded down, as PyTorch computes it in float64."""
    if isinstance(size, int):
        return math.floor(size * float(scale))
    exact = Fraction(scale)
    if exact.denominator > 4096:
        raise OpError(
            "T403", f"a symbolic size cannot be scaled by {scale}: the product is rounded",
            param="scale_factor", hint="use a factor such as 2, 1.5 or 0.25, or fixed sizes",
        )  # fmt: skip
    return size * exact.numerator // exact.denominator


class Resampling(Op):
    """Base of the operators that resize."""

    size: int | Dim | tuple[int | Dim, ...] | None
    scale_factor: float | tuple[float, ...] | None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None
    antialias: bool = False

    def _check(self, x: TensorType) -> None:
        require_rank(x, *RANKS[self.mode], name=f"{self.name}` in mode `{self.mode}")
        if not x.dtype.is_floating and not (x.dtype is DType.uint8 and "nearest" in self.mode):
            raise OpError("T404", f"`{self.name}` needs floating-point values, got {x.dtype}")
        if (self.size is None) == (self.scale_factor is None):
            raise OpError("S113", f"`{self.name}` needs one of `size` and `scale_factor`")
        if self.align_corners is not None and self.mode not in (*_LINEAR, "bicubic"):
            raise OpError("S113", f"mode {self.mode} has no `align_corners`", param="align_corners")
        if self.antialias and self.mode not in ("bilinear", "bicubic"):
            raise OpError("S113", f"mode {self.mode} has no `antialias`", param="antialias")
        if self.recompute_scale_factor and self.size is not None:
            raise OpError(
                "S113", "`recompute_scale_factor` means nothing beside `size`",
                param="recompute_scale_factor",
            )  # fmt: skip

    def _per_axis(self, name: str, x: TensorType) -> tuple[Any, ...]:
        values = as_tuple(getattr(self, name), x.rank - 2)
        if len(values) != x.rank - 2:
            raise OpError("S113", f"`{name}` has {len(values)} values for {x}", param=name)
        return values

    def _scales(self, x: TensorType) -> tuple[float, ...] | None:
        """The factors that positions are computed with; `None`: new size over old size."""
        if self.scale_factor is None or self.recompute_scale_factor or self.align_corners:
            return None
        return self._per_axis("scale_factor", x)

    def infer(self, input: TensorType) -> TensorType:
        self._check(input)
        old = input.shape[2:]
        if self.size is not None:
            sizes = self._per_axis("size", input)
        else:
            factors = self._per_axis("scale_factor", input)
            sizes = tuple(scaled(a, s) for a, s in zip(old, factors, strict=True))
        for before, after in zip(old, sizes, strict=True):
            require_positive(after, f"the new size of `{before}`")
        self._check_unchanged(input, sizes)
        if self.mode == "area":
            adaptive_pool.require_poolable(input, sizes, "size" if self.size else "scale_factor")
        if self.antialias:
            self._check_antialias(input, sizes)
        return input.with_shape(*input.shape[:2], *sizes)

    def _check_unchanged(self, x: TensorType, sizes: Sequence[Size]) -> None:
        """Refuse a factor that leaves a size as it is: PyTorch's kernels do not agree on it."""
        scales = self._scales(x)
        if not scales or self.mode == "area" or (self.mode == "bicubic" and not self.antialias):
            return
        for before, after, factor in zip(x.shape[2:], sizes, scales, strict=True):
            if before == after != 1 and factor != 1:
                raise OpError(
                    "T407", f"PyTorch has no one meaning for {factor} times {before} that stays "
                    f"{after}", param="scale_factor",
                    hint="give `size`, or `recompute_scale_factor`: true",
                )  # fmt: skip

    def _check_antialias(self, x: TensorType, sizes: Sequence[Size]) -> None:
        for axis in (2, 3):
            x.static(axis, "the weights of `antialias` depend on it")
        if sizes[1] == 1 != sizes[0] and x.shape[2:] != sizes:
            raise OpError(
                "T407", "PyTorch's `antialias` repeats the first row where the new width is 1",
                param="antialias",
            )  # fmt: skip

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        if "nearest" in self.mode:
            return 0
        taps: int = (4 if self.mode == "bicubic" else 2) ** (outputs[0].rank - 2)
        return 2 * taps * outputs[0].numel

    def onnx(self, g: OnnxBuilder, input: Ref) -> Ref:
        out = self.infer(input.type)
        if self.mode == "area":
            return adaptive_pool.pooled(g, input, input.rank - 2, out.shape[2:], "Mean")
        if self.antialias:
            return self._antialiased(g, input, out)
        if "nearest" in self.mode and (copied := self._copied(g, input, out)) is not None:
            return copied
        scales = self._scales(input.type)
        if scales:
            factors = g.const([1.0, 1.0, *map(float, scales)], DType.float32)
            return g.op("Resize", input, None, factors, type=out, **self._attributes())
        if g.opset >= 18:
            axes = list(range(2, input.rank))
            sizes = g.dims(out.shape[2:])
            return g.op(
                "Resize", input, None, None, sizes, axes=axes, type=out, **self._attributes()
            )
        return g.op("Resize", input, None, None, g.dims(out.shape), type=out, **self._attributes())

    def _copied(self, g: OnnxBuilder, x: Ref, out: TensorType) -> Ref | None:
        """The value gathered axis by axis, if Resize would copy other elements than PyTorch.

        In float64 always: ONNX Runtime has no Resize for it.
        """
        offset = 0.5 if self.mode == "nearest-exact" else 0.0
        factors = self._scales(x.type) or (None,) * (x.rank - 2)
        changes = list(zip(range(2, x.rank), x.type.shape[2:], out.shape[2:], factors, strict=True))
        agreed = all(resize_agrees(*change[1:], offset) for change in changes)
        if agreed and x.type.dtype is not DType.float64:
            return None
        for axis, before, after, factor in changes:
            if before != after:
                x = gathered(g, x, axis, after, factor, offset)
        return x

    def _attributes(self) -> dict[str, Any]:
        if self.mode == "nearest":
            return {
                "mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                "nearest_mode": "floor",
            }  # fmt: skip
        if self.mode == "nearest-exact":
            return {
                "mode": "nearest", "coordinate_transformation_mode": "half_pixel",
                "nearest_mode": "round_prefer_ceil",
            }  # fmt: skip
        corners = "align_corners" if self.align_corners else "half_pixel"
        place = {"coordinate_transformation_mode": corners}
        if self.mode == "bicubic":
            return {"mode": "cubic", "cubic_coeff_a": -0.75, **place}
        return {"mode": "linear", **place}

    def _antialiased(self, g: OnnxBuilder, x: Ref, out: TensorType) -> Ref:
        # ONNX Runtime's own `antialias` is of opset 18 and not PyTorch's in every case.
        scales = self._scales(x.type) or (None, None)
        for axis in (-1, -2):
            rows = antialias_weights(
                x.type.static(axis), out.static(axis), scales[axis], self.mode,
                align_corners=bool(self.align_corners),
            )  # fmt: skip
            x = mixed(g, x, axis, rows)
        return x


@op("interpolate")
class Interpolate(Resampling):
    """Resizes the axes after the first two.

    `nearest-exact` rounds positions as image libraries do, `nearest` rounds down. `linear`,
    `bilinear`, `bicubic` and `trilinear` are for 1, 2, 2 and 3 axes; `area` is adaptive average
    pooling.

    Shape: `(N, C, *) -> (N, C, *size)`; `antialias` and (mostly) `area` need static sizes.
    """

    size: int | Dim | tuple[int | Dim, ...] | None = SIZE
    scale_factor: float | tuple[float, ...] | None = SCALE
    mode: Literal[
        "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"
    ] = param(default="nearest", doc="how new elements come from old ones")
    align_corners: bool | None = param(
        default=None, doc="line up the centers of the corner elements instead of the corners"
    )
    recompute_scale_factor: bool | None = param(
        default=None, doc="compute positions from the sizes instead of `scale_factor`"
    )
    antialias: bool = param(default=False, doc="smooth before shrinking (`bilinear`, `bicubic`)")

    def torch(self, py: TorchWriter, input: Code) -> str:
        return py.call("F.interpolate", input, **self.given())

    examples = (
        example("N 4 H W", scale_factor=2),
        example("N 4 L", size=5),
        example("N 4 H W", size=(5, 13), mode="nearest-exact"),
        example("N 4 3 H W", scale_factor=(1, 2, 0.5), mode="nearest-exact"),
        example("uint8: N 4 H W", scale_factor=2),
        example("N 4 14", size=2),
        example("N 4 H", size=13, mode="nearest-exact"),
        example("N 4 L", scale_factor=1.5, mode="linear"),
        example("N 4 H W", size=(13, 5), mode="bilinear"),
        example("N 4 H W", scale_factor=(2, 1.5), mode="bilinear", align_corners=True),
        example("N 4 H W", size=(1, 1), mode="bilinear"),
        example("N 4 H W", scale_factor=1.75, mode="bilinear", recompute_scale_factor=True),
        example("N 4 H W", size=("${i0.shape[3]}", "${2*i0.shape[2]}"), mode="bilinear"),
        example("N 4 H W", scale_factor=2, mode="bicubic"),
        example("N 4 H W", size=(5, 9), mode="bicubic", align_corners=True),
        example("N 4 3 H W", size=(5, 4, 7), mode="trilinear"),
        example("N 4 3 H W", scale_factor=2, mode="trilinear", align_corners=True),
        example("N 4 9 6", size=(4, 3), mode="area"),
        example("N 4 9 12", size=(4, 5), mode="bilinear", antialias=True),
        example("N 4 9 12", size=(4, 15), mode="bicubic", antialias=True),
        example("N 4 9 12", scale_factor=0.4, mode="bilinear", antialias=True),
        example("N 4 9 12", size=5, mode="bicubic", antialias=True, align_corners=True),
    )


@op("Upsample")
class Upsample(Resampling):
    """Resizes the axes after the first two; see `interpolate`.

    Shape: `(N, C, *) -> (N, C, *size)`.
    """

    size: int | tuple[int, ...] | None = SIZE
    scale_factor: float | tuple[float, ...] | None = SCALE
    mode: Literal[
        "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"
    ] = param(default="nearest", doc="how new elements come from old ones")
    align_corners: bool | None = param(
        default=None, doc="line up the centers of the corner elements instead of the corners"
    )
    recompute_scale_factor: bool | None = param(
        default=None, doc="compute positions from the sizes instead of `scale_factor`"
    )

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        return py.apply("nn.Upsample", "F.interpolate", input, **given)

    examples = (
        example("N 4 H W", scale_factor=2),
        example("N 4 H W", scale_factor=2, mode="bilinear", align_corners=True),
        example("N 4 L", size=12, mode="linear"),
        example("N 4 H W", scale_factor=1.5, mode="bicubic"),
    )


class Upsampling2d(Resampling):
    """Base of the two layers whose mode is in their name."""

    size: int | tuple[int, int] | None = SIZE
    scale_factor: float | tuple[float, float] | None = SCALE

    def torch(self, py: TorchWriter, input: Code) -> str:
        given = {name: getattr(self, name) for name in self.params}
        fixed: dict[str, Any] = {"mode": Raw(f'"{self.mode}"')} if self.mode != "nearest" else {}
        if self.align_corners:
            fixed["align_corners"] = Raw("True")
        return py.apply(f"nn.{self.name}", "F.interpolate", input, **given, **fixed)


@op("UpsamplingNearest2d")
class UpsamplingNearest2d(Upsampling2d):
    """Resizes images; each new pixel is a copy of an old one.

    Shape: `(N, C, H, W) -> (N, C, *size)`.
    """

    examples = (example("N 4 H W", scale_factor=2), example("N 4 H W", size=(5, 16)))


@op("UpsamplingBilinear2d")
class UpsamplingBilinear2d(Upsampling2d):
    """Resizes images bilinearly, corner pixels lined up (`align_corners`).

    Shape: `(N, C, H, W) -> (N, C, *size)`.
    """

    mode = "bilinear"
    align_corners = True
    examples = (example("N 4 H W", scale_factor=2), example("N 4 H W", size=(5, 16)))
