"""Shape rules that several operators share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from specc.ir.dims import Size, bounds
from specc.ir.types import OpError, Shape, TensorType, show_shape


def as_tuple(value: Any, rank: int) -> tuple[Any, ...]:
    """A parameter given as one value for all axes, or as one per axis."""
    return tuple(value) if isinstance(value, tuple) else (value,) * rank


def require_rank(x: TensorType, *ranks: int, name: str) -> None:
    """Raise `OpError` unless the input has one of the ranks."""
    if x.rank not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise OpError(
            "T402",
            f"`{name}` needs an input of {wanted} dimensions, got {show_shape(x.shape)}",
        )


def require_positive(size: Size, what: str, param: str | None = None) -> Size:
    """Raise `OpError` if a size can only be zero or negative."""
    high = bounds(size)[1]
    if high is not None and high < 1:
        raise OpError("T405", f"{what} would be {size}", param=param)
    return size


def axis(x: TensorType, index: int, param: str = "dim") -> int:
    """A possibly negative axis index, counted from the front; `OpError` if there is none."""
    if not -x.rank <= index < x.rank:
        raise OpError(
            "T402", f"there is no axis {index} in {show_shape(x.shape)}", param=param,
            hint=f"axes run from {-x.rank} to {x.rank - 1}" if x.rank else None,
        )  # fmt: skip
    return index % x.rank


def broadcast(*shapes: Shape) -> Shape:
    """The shape of an elementwise result; `OpError` if the sizes do not fit.

    Two symbolic sizes fit only if they are equal for all values of their symbols.
    """
    rank = max(map(len, shapes), default=0)
    result: list[Size] = []
    for position in range(-rank, 0):
        sizes = [s[position] for s in shapes if len(s) >= -position]
        wide = [s for s in sizes if s != 1]
        if any(s != wide[0] for s in wide):
            other = next(s for s in wide if s != wide[0])
            raise OpError(
                "T406",
                f"shapes {' and '.join(map(show_shape, shapes))} do not fit: "
                f"`{wide[0]}` against `{other}` at axis {position}",
            )
        result.append(wide[0] if wide else 1)
    return tuple(result)


def window(size: Size, kernel: int, stride: int, padding: int, dilation: int = 1) -> Size:
    """Output size of a sliding window: `floor((size + 2p - d(k-1) - 1) / s + 1)`."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def product(sizes: Sequence[Size]) -> Size:
    """The product of sizes; 1 for none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def same_size(name: str, *axes: tuple[TensorType, int]) -> Size:
    """The one size that all these axes of inputs have; `OpError` where two differ."""
    (first, index), *others = axes
    size = first.shape[index]
    for other, at in others:
        if other.shape[at] != size:
            raise OpError(
                "T401",
                f"`{name}` needs equal sizes: `{size}` of {show_shape(first.shape)} against "
                f"`{other.shape[at]}` of {show_shape(other.shape)}",
            )
    return size


def same_dtype(name: str, *inputs: TensorType) -> None:
    """Raise `OpError` unless all inputs have one element type."""
    dtypes = dict.fromkeys(str(x.dtype) for x in inputs)
    if len(dtypes) > 1:
        raise OpError("T404", f"`{name}` needs inputs of one dtype, got {' and '.join(dtypes)}")


def require_shape(name: str, kind: TensorType, *allowed: Shape) -> None:
    """Raise `OpError` unless the argument called `name` has one of the shapes."""
    if kind.shape not in allowed:
        wanted = " or ".join(map(show_shape, allowed))
        raise OpError(
            "T401", f"`{name}` must be {wanted}, got {show_shape(kind.shape)}", input=name
        )
