"""What an operator may ask of the two targets, and the values it hands to them.

The targets implement these protocols; operators only know the protocols, so that imports go
one way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from specc.ir.dims import Size
from specc.ir.types import DType, Shape, TensorType

ATOM, POWER, UNARY, PRODUCT, SUM, SHIFT, AND, XOR, OR, COMPARE, NOT = range(11)
"""Python's operator precedence, tightest first, as far as tensors use it."""


class Raw(str):
    """Source text that is passed on as it stands, such as `self.training`."""


class Code(NamedTuple):
    """A piece of Python source that computes a tensor.

    `str(code)` is safe as an argument; `code.atom` is safe before a dot or a bracket.
    """

    text: str
    type: TensorType
    precedence: int = ATOM

    def __str__(self) -> str:
        return self.text

    @property
    def atom(self) -> str:
        """The source, in parentheses where a method call would bind too tightly."""
        return self.within(ATOM)

    def within(self, precedence: int) -> str:
        """The source, in parentheses unless it binds at least as tightly."""
        return self.text if self.precedence <= precedence else f"({self.text})"


class Ref(NamedTuple):
    """A value of the ONNX graph under construction, by name; `type` where it is known."""

    name: str
    type: TensorType

    @property
    def rank(self) -> int:
        """The number of axes."""
        return self.type.rank


class TorchWriter(Protocol):
    """Writes one class of the generated source."""

    in_sequence: bool
    """Whether the layer stands in an `nn.Sequential`, where only modules can."""

    def layer(self, constructor: str, **arguments: Any) -> str:
        """Make `self.<name> = constructor(...)` and return `self.<name>`.

        Arguments are passed by name, in PyTorch's order; those that the operator has no
        default for are printed by position.
        """

    def apply(self, module: str, function: str, *inputs: Code, **arguments: Any) -> str:
        """A call of a module without weights: the module where the layer is named or stands
        in a `Sequential`, else its function. `arguments` go to either; a `Raw` one only to the
        function.
        """

    def call(self, function: str, *arguments: Any, **keywords: Any) -> str:
        """The source of a call; an argument that is a `Code`, a number or a size fits in."""

    def binary(self, operator: str, left: Code, right: Code) -> Code:
        """`left operator right`, with the parentheses that Python needs."""

    def tensor(self, initial: str, *, buffer: bool = False, persistent: bool = True) -> str:
        """Make the layer's path itself a parameter (or buffer); `initial` makes the tensor."""

    def size(self, size: Size) -> str:
        """Source for a size: a number, or something like `batch` or `x.shape[1] // 2`."""

    def sizes(self, shape: Sequence[Size]) -> str:
        """Sizes as arguments, separated by commas; the one that can be is written `-1`."""

    def device(self) -> str:
        """Source for the device of the model's tensors, to make a new one there."""

    def support(self, source: str) -> None:
        """Put a class or function that PyTorch lacks before the model, once."""


class OnnxBuilder(Protocol):
    """Writes the nodes of one operator."""

    @property
    def opset(self) -> int:
        """The version of the operator set that is written."""

    def op(
        self, op_type: str, *inputs: Ref | None, type: TensorType | None = None, **attributes: Any
    ) -> Ref:
        """Add a node with one result; attributes that are `None` are left out.

        `type` is the result's type; default: that of the first input.
        """

    def ops(
        self, op_type: str, *inputs: Ref | None, types: Sequence[TensorType], **attributes: Any
    ) -> tuple[Ref, ...]:
        """Add a node with several results."""

    def weight(self, name: str) -> Ref:
        """A parameter or buffer of this layer, under its name in the `state_dict`."""

    def transposed(self, value: Ref, *perm: int) -> Ref:
        """The value with its axes permuted (default: reversed); a weight is stored that way."""

    def packed(self, names: Sequence[str], order: Sequence[int], shape: Sequence[Size]) -> Ref:
        """Weights of this layer as one stored tensor of this shape.

        Each is cut along axis 0 into `len(order)` equal parts that are put into that order;
        the results are joined along axis 0.
        """

    def const(self, value: Any, dtype: DType = DType.int64) -> Ref:
        """A constant: a number or (nested) lists of numbers."""

    def dims(self, shape: Sequence[Size]) -> Ref:
        """A shape as a 1-D int64 tensor; symbolic sizes are computed from the inputs' shapes."""

    def reshape(self, value: Ref, shape: Shape) -> Ref:
        """The value in another shape of the same size."""

    def cast(self, value: Ref, dtype: DType) -> Ref:
        """The value with another element type; the value itself where it has it already."""
