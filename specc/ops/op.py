"""What an operator is: parameters, shape rule, weights, torch source, ONNX lowering, examples.

Everything known about an operator stands in one class, registered with `@op("Name")`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, dataclass_transform

from specc.ir.dims import Size
from specc.ir.graph import Weight
from specc.ir.types import DType, OpError, TensorType
from specc.ops.catalog import CATALOG
from specc.ops.writers import Code, OnnxBuilder, Raw, Ref, TorchWriter

Outputs = TensorType | tuple[TensorType, ...] | dict[str, TensorType]
Weights = Iterator[Weight]
Exactness = Literal["exact", "rounding", "discrete", "random"]

REQUIRED: Any = object()
"""Stands for the default of a parameter that has none."""


class Param(NamedTuple):
    """One compile-time parameter of an operator, with its bounds and its documentation."""

    default: Any
    doc: str
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    @property
    def required(self) -> bool:
        """Whether the spec must give it."""
        return self.default is REQUIRED


def param(
    *,
    default: Any = REQUIRED,
    doc: str,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Declare a parameter; the annotation beside it says which values it takes."""
    return Param(default, doc, ge, gt, le, lt)


class Example(NamedTuple):
    """Inputs as text (`"N 16"`, `"int64<10: N T"`) and parameters that an operator must handle."""

    inputs: tuple[str, ...]
    params: Mapping[str, Any]


def example(*inputs: str, **params: Any) -> Example:
    """An example that the table-driven test runs through every target."""
    return Example(inputs, params)


class InputNames(NamedTuple):
    """The tensor arguments of an operator."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    variadic: bool


@dataclass_transform(
    kw_only_default=True, frozen_default=True, eq_default=False, field_specifiers=(param,)
)
class Op:
    """An operator with its parameters bound. Subclasses are registered with `@op`.

    A plain collector of parameters instead of `dataclasses`: that would compile a constructor
    for each of some hundred operators whenever `specc` starts.
    """

    name: ClassVar[str]
    params: ClassVar[dict[str, Param]] = {}
    examples: ClassVar[Sequence[Example]] = ()
    inferred: ClassVar[tuple[str, ...]] = ()
    """PyTorch's arguments that the compiler works out and a spec may not state."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """PyTorch's defaults of inferred arguments that it takes by name."""
    scalars: ClassVar[tuple[str, ...]] = ()
    """Tensor arguments for which a plain number may stand."""
    check: ClassVar[Exactness] = "rounding"
    """How closely two right implementations agree."""
    unpack: ClassVar[str] = ""
    """How Python takes several results apart, `"{0}, ({1}, {2})"`; default: a flat tuple."""
    no_onnx: ClassVar[str] = ""
    """Why the operator has no ONNX form; empty where it has one."""
    training_only: ClassVar[bool] = False
    """Whether the operator does nothing once a model is in eval mode."""

    def __init_subclass__(cls) -> None:
        own = {k: v for k, v in vars(cls).items() if isinstance(v, Param)}
        cls.params = {**cls.params, **own}

    def __init__(self, **params: Any) -> None:
        for name, spec in self.params.items():
            value = params.pop(name, spec.default)
            if value is REQUIRED:
                raise OpError("S102", f"`{self.name}` needs `{name}`", hint=spec.doc)
            self.__dict__[name] = tuple(value) if isinstance(value, list) else value
        if params:
            raise TypeError(f"{self.name} has no parameter {', '.join(params)}")

    infer: Callable[..., Outputs]
    torch: Callable[..., str | Code]
    onnx: Callable[..., Ref | tuple[Ref, ...]]

    def weights(self, *inputs: Any, **named: Any) -> Weights:
        """The parameters and buffers it owns, named as in PyTorch's module."""
        yield from ()

    def flops(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Size:
        """Floating-point operations, a multiply-add counted as two; default: one per output."""
        if self.check == "exact":
            return 0
        total: Size = 0
        for kind in outputs:
            total = total + kind.numel
        return total

    def index_bounds(self, *types: TensorType | None) -> Mapping[str, tuple[int, int]]:
        """For integer arguments: which values are allowed, `low` up to but not `high`.

        `types` are those of the inputs; an argument that nothing is known of is left out.
        """
        return {}

    def given(self, *names: str) -> dict[str, Any]:
        """The named parameters (default: all) whose value is not their default."""
        return {
            name: value
            for name in names or self.params
            if (value := self.__dict__[name]) != self.params[name].default
        }

    @classmethod
    @cache
    def input_names(cls) -> InputNames:
        """The tensor arguments, read off the signature of `infer`."""
        parameters = list(inspect.signature(cls.infer).parameters.values())[1:]
        plain = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        return InputNames(
            tuple(p.name for p in plain if p.default is p.empty),
            tuple(p.name for p in plain if p.default is not p.empty),
            any(p.kind is p.VAR_POSITIONAL for p in parameters),
        )

    @classmethod
    def doc(cls) -> str:
        """The documentation of the operator."""
        return inspect.cleandoc(cls.__doc__ or "")

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in self.given().items())
        return f"{self.name}({given})"


class Registry(Mapping[str, type[Op]]):
    """Every operator by its name in specs; a module is imported when one of its operators is asked
    for, since a spec uses few of them and `specc check` should answer at once.
    """

    def __init__(self, catalog: Mapping[str, str]) -> None:
        self._catalog, self._made = catalog, dict[str, type[Op]]()

    def add(self, name: str, cls: type[Op]) -> None:
        """Register a class; `@op` does it."""
        self._made[name] = cls

    def loaded(self) -> dict[str, type[Op]]:
        """The operators whose modules have been imported."""
        return dict(self._made)

    def __getitem__(self, name: str) -> type[Op]:
        if name not in self._made:
            import_module(f"specc.ops.{self._catalog[name]}")
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._catalog or name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter({**self._catalog, **self._made})

    def __len__(self) -> int:
        return len({**self._catalog, **self._made})


REGISTRY = Registry(CATALOG)

OpClass = TypeVar("OpClass", bound=type[Op])


def op(name: str) -> Callable[[OpClass], OpClass]:
    """Register an operator class under its PyTorch name."""

    def register(cls: OpClass) -> OpClass:
        cls.name = name
        REGISTRY.add(name, cls)
        return cls

    return register


def as_outputs(result: Outputs) -> tuple[tuple[str, TensorType], ...]:
    """The results of `infer` with their names: `("", type)` for a single one."""
    if isinstance(result, TensorType):
        return (("", result),)
    if isinstance(result, dict):
        return tuple(result.items())
    return tuple((str(i), kind) for i, kind in enumerate(result))


def weight(
    name: str, shape: Iterable[Size], dtype: DType = DType.float32, *, buffer: bool = False
) -> Weight:
    """Declare a parameter (or a buffer) for `Op.weights`."""
    return Weight(name, TensorType(dtype, tuple(shape)), is_buffer=buffer)


__all__ = [
    "REGISTRY",
    "REQUIRED",
    "Code",
    "DType",
    "Exactness",
    "Example",
    "OnnxBuilder",
    "Op",
    "OpError",
    "Outputs",
    "Param",
    "Raw",
    "Ref",
    "Size",
    "TensorType",
    "TorchWriter",
    "Weights",
    "as_outputs",
    "example",
    "op",
    "param",
    "weight",
]  # fmt: skip
