"""Sums of products by Einstein's convention."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import NamedTuple

from specc.ir.types import show_shape
from specc.ops.kernels import widened
from specc.ops.matmul import numeric
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
from specc.ops.shapes import axis, product, same_size


class Contraction(NamedTuple):
    """An equation whose ellipses are written out, and the size behind each letter."""

    inputs: tuple[str, ...]
    output: str
    sizes: dict[str, Size]


@op("einsum")
class Einsum(Op):
    """Products of all inputs, summed over the letters that the output lacks.

    `"bhqd,bhkd->bhqk"` is `query @ key.T` of every head. A letter that an input has twice takes
    the diagonal; `...` stands for axes that broadcast; without `->` the output has every letter
    that occurs once, in alphabetical order.

    Shape: one size per letter of the output.
    """

    equation: str = param(doc="letters of the inputs' axes, `->`, letters of the output's")

    def infer(self, *operands: TensorType) -> TensorType:
        if not operands:
            raise OpError("T412", "`einsum` needs at least one input", param="equation")
        numeric(self.name, *operands)
        made = self.contraction(operands)
        return operands[0].with_shape(*(made.sizes[letter] for letter in made.output))

    def contraction(self, operands: Sequence[TensorType]) -> Contraction:
        """The equation for these inputs; `OpError` where it does not fit them."""
        left, arrow, right = self.equation.replace(" ", "").partition("->")
        parts = left.split(",")
        if len(parts) != len(operands):
            raise self._error(f"names {len(parts)} inputs, got {len(operands)}")
        ellipsis, wide = self._ellipsis(parts, operands)
        inputs = tuple(
            part.replace("...", ellipsis[len(ellipsis) - hidden :])
            for part, hidden in zip(parts, wide, strict=True)
        )
        sizes = self._sizes(inputs, operands)
        output = right.replace("...", ellipsis) if arrow else ellipsis + _once(left)
        self._check_output(output, sizes)
        return Contraction(inputs, output, sizes)

    def _error(self, message: str) -> OpError:
        return OpError("T412", f"`{self.equation}` {message}", param="equation")

    def _ellipsis(
        self, parts: Sequence[str], operands: Sequence[TensorType]
    ) -> tuple[str, list[int]]:
        """Letters for the axes behind `...`, and how many of them each input has."""
        hidden = []
        for part, kind in zip(parts, operands, strict=True):
            named = len(part.replace("...", "", 1))
            if not all(c in ascii_letters for c in part.replace("...", "", 1)):
                raise self._error("may have letters, `...`, `,` and `->` only")
            more = kind.rank - named
            if more < 0 or (more and "..." not in part):
                raise self._error(f"names {named} axes of {show_shape(kind.shape)}")
            hidden.append(more if "..." in part else 0)
        free = [letter for letter in ascii_letters if letter not in self.equation]
        if max(hidden) > len(free):
            raise self._error("has more axes than there are letters")
        return "".join(free[: max(hidden)]), hidden

    def _sizes(self, inputs: Sequence[str], operands: Sequence[TensorType]) -> dict[str, Size]:
        sizes: dict[str, Size] = {}
        for letters, kind in zip(inputs, operands, strict=True):
            for letter, size in zip(letters, kind.shape, strict=True):
                known = sizes.setdefault(letter, size)
                if known == 1:
                    sizes[letter] = size
                elif size not in (1, known):
                    raise OpError(
                        "T401", f"`{letter}` is both `{known}` and `{size}`", param="equation"
                    )
        return sizes

    def _check_output(self, output: str, sizes: dict[str, Size]) -> None:
        for letter in output:
            if letter not in sizes:
                raise self._error(f"has `{letter}` in its output only")
            if output.count(letter) > 1:
                raise self._error(f"has `{letter}` twice in its output")

    def flops(self, inputs: Sequence[TensorType | None], *_: object) -> Size:
        """Two for every combination of letters, joining one input after the other."""
        made = self.contraction([kind for kind in inputs if kind])
        held, *rest = (set(letters) for letters in made.inputs)
        if not rest:
            return product([made.sizes[letter] for letter in sorted(held)])
        total: Size = 0
        for i, letters in enumerate(rest):
            joined = sorted(held | letters)
            total = total + 2 * product([made.sizes[letter] for letter in joined])
            needed = set(made.output).union(*rest[i + 1 :])
            held = set(joined) & needed
        return total

    def torch(self, py: TorchWriter, *operands: Code) -> str:
        return py.call("torch.einsum", self.equation, *operands)

    def onnx(self, g: OnnxBuilder, *operands: Ref) -> Ref:
        made = self.contraction([ref.type for ref in operands])
        out = self.infer(*(ref.type for ref in operands))
        # Written out, as some runtimes know neither the ellipsis nor the implicit output.
        equation = f"{','.join(made.inputs)}->{made.output}"
        return widened(g, "Einsum", *operands, type=out, dtype=out.dtype, equation=equation)

    examples = (
        example("N 4 T 8", "N 4 L 8", equation="bhqd,bhkd->bhqk"),
        example("N T 8", "T 8 4", "8", equation="nti, tij, i -> nj"),
        example("N 3 4", "N 4 T", equation="...ij,...jk"),
        example("N T 4 4", equation="...ii->...i"),
        example("N T", "T", equation="nt,t"),
        example("int64: N T", equation="nt->tn"),
    )


@op("tensordot")
class TensorDot(Op):
    """Sum of products over pairs of axes, one of each input.

    Shape: the axes of the first that are not summed over, then those of the second.
    """

    dims: int | tuple[tuple[int, ...], tuple[int, ...]] = param(
        default=2, doc="the last axes of `a` with the first of `b`, or two lists of axes"
    )

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        numeric(self.name, a, b)
        left, right = self._axes(a, b)
        if len(left) != len(right):
            raise OpError("T402", f"{len(left)} axes against {len(right)}", param="dims")
        for i, j in zip(left, right, strict=True):
            same_size(self.name, (a, i), (b, j))
        rest = [size for i, size in enumerate(a.shape) if i not in left]
        return a.with_shape(*rest, *(size for j, size in enumerate(b.shape) if j not in right))

    def _axes(self, a: TensorType, b: TensorType) -> tuple[list[int], list[int]]:
        if isinstance(self.dims, int):
            if not 0 <= self.dims <= min(a.rank, b.rank):
                raise OpError("T402", f"there are no {self.dims} axes in both inputs", param="dims")
            return list(range(a.rank - self.dims, a.rank)), list(range(self.dims))
        left, right = self.dims
        return [axis(a, i, "dims") for i in left], [axis(b, j, "dims") for j in right]

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        a, b = inputs
        assert a
        assert b
        summed = product([a.shape[i] for i in self._axes(a, b)[0]])
        return 2 * outputs[0].numel * summed

    def torch(self, py: TorchWriter, a: Code, b: Code) -> str:
        return py.call("torch.tensordot", a, b, **self.given())

    def onnx(self, g: OnnxBuilder, a: Ref, b: Ref) -> Ref:
        left, right = self._axes(a.type, b.type)
        first = ascii_letters[: a.rank]
        fresh = iter(ascii_letters[a.rank :])
        paired = dict(zip(right, left, strict=True))
        second = "".join(first[paired[j]] if j in paired else next(fresh) for j in range(b.rank))
        output = "".join(letter for letter in first + second if (first + second).count(letter) == 1)
        out, equation = self.infer(a.type, b.type), f"{first},{second}->{output}"
        return widened(g, "Einsum", a, b, type=out, dtype=out.dtype, equation=equation)

    examples = (
        example("N 3 4", "3 4 T"),
        example("N T 4", "4 L", dims=1),
        example("N 3 4", "T 4 3", dims=((1, 2), (-1, -2))),
        example("N", "T", dims=0),
    )


def _once(letters: str) -> str:
    return "".join(sorted(c for c in set(letters) if c.isalpha() and letters.count(c) == 1))
