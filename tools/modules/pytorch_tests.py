"""PyTorch's own module tests (`torch.testing._internal.common_modules`) as cases."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from modules.case import Case, Expected, Tensors, doubled, flat, one_layer
from modules.compositions import COMPOSERS, composed
from specc.ops import REGISTRY, Op

WITHOUT_MEANING = ("inplace", "device", "dtype", "size_average", "reduce")
"""Arguments that change no result; the last two are PyTorch's former form of `reduction`."""

RECURRENT = (
    "input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
)  # fmt: skip
"""Recurrent layers hide the order of their arguments behind `*args`."""

STATES = {"hx": ("h_0", "c_0")}
"""An argument that PyTorch takes as a tuple, and the operators' names for its parts."""


def names() -> list[str]:
    """The classes that have tests."""
    return list(dict.fromkeys(_class(info).__name__ for info in _database()))


def cases(only: frozenset[str] | None = None) -> Iterator[Case]:
    """All cases of these classes (default: all that layers can stand for), in eval mode."""
    for info in _database():
        name = _class(info).__name__
        if (only is None or name in only) and is_expressible(name):
            for number, made in enumerate(_inputs(info)):
                yield _case(f"{name}-{number}{_suffix(made)}", _class(info), made)


def is_expressible(name: str) -> bool:
    """Whether an operator, or layers of a spec, stand for a class."""
    return name.removeprefix("Lazy") in REGISTRY or name in COMPOSERS


def count(name: str) -> int:
    """How many tests a class has."""
    return sum(len(_inputs(info)) for info in _database() if _class(info).__name__ == name)


def _database() -> list[Any]:
    from torch.testing._internal.common_modules import module_db

    return list(module_db)


def _class(info: Any) -> type[nn.Module]:
    found = info.module_cls
    assert isinstance(found, type) and issubclass(found, nn.Module)
    return found


def _inputs(info: Any) -> list[Any]:
    torch.manual_seed(0)
    return list(
        info.module_inputs_func(
            info, device="cpu", dtype=torch.float32, requires_grad=False, training=False
        )
    )


def _suffix(made: Any) -> str:
    return f" {made.desc}" if made.desc else ""


def _case(name: str, cls: type[nn.Module], made: Any) -> Case:
    torch.manual_seed(1)
    given, call = made.constructor_input, made.forward_input
    module = cls(*given.args, **given.kwargs).eval()
    if isinstance(module, LazyModuleMixin):
        module(*call.args, **call.kwargs)  # which gives it its weights
    _off_constants(module)
    expected = partial(_expected, module, call.args, call.kwargs)
    called = inspect.signature(module.forward).bind(*call.args, **call.kwargs).arguments
    if cls.__name__ in COMPOSERS:
        layers, inputs, state = composed(module, called)
        return Case(name, cls.__name__, layers, inputs, state, expected)
    op = REGISTRY[cls.__name__.removeprefix("Lazy")]
    inputs, options = _forward(op, called)
    arguments = _constructor(cls, given.args, given.kwargs)
    params, inferred, tensors = _parameters(op, arguments | options)
    state = {k: v for k, v in module.state_dict().items() if k not in tensors}
    found = one_layer(name, op.name, params, inputs | tensors, state, expected, inferred)
    return replace(found, module=cls.__name__)


def _expected(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Expected:
    """What the original gives."""
    wide = copy.deepcopy(module).double()
    single = flat(module(*args, **kwargs))
    return Expected(single, flat(wide(*doubled(args), **doubled(kwargs))))


def _off_constants(module: nn.Module) -> None:
    """Move weights that start as ones or zeros away from them, so that they can be told apart."""
    held = [*module.parameters(), *(b for n, b in module.named_buffers() if "running" in n)]
    with torch.no_grad():
        for tensor in held:
            if (
                tensor.is_floating_point()
                and tensor.numel()
                and bool((tensor == tensor.max()).all())
            ):
                tensor.uniform_(0.5, 1.5)


def _constructor(
    cls: type[nn.Module], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The constructor's arguments by name."""
    if issubclass(cls, nn.RNNBase):
        order = RECURRENT if cls is not nn.RNN else (*RECURRENT[:3], "nonlinearity", *RECURRENT[3:])
        return dict(zip(order, args, strict=False)) | dict(kwargs)
    return dict(inspect.signature(cls).bind(*args, **kwargs).arguments)


def _forward(op: type[Op], called: Mapping[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """What the module is called with: tensors by the operator's names, and options."""
    inputs: Tensors = {}
    options: dict[str, Any] = {}
    expected = op.input_names()
    slots = [*expected.required, *expected.optional]
    for position, (name, value) in enumerate(called.items()):
        if name in op.params and not isinstance(value, torch.Tensor):
            options[name] = value
        elif isinstance(value, tuple) and name in STATES:
            inputs |= dict(zip(STATES[name], value, strict=True))
        elif value is not None:
            own = next(n for n in (name, *STATES.get(name, ()), slots[position]) if n in slots)
            inputs[own] = torch.as_tensor(value)
    return inputs, options


def _parameters(
    op: type[Op], arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], Tensors]:
    """Parameters of the spec, arguments that the compiler must find, and tensor arguments."""
    params: dict[str, Any] = {}
    inferred: dict[str, Any] = {}
    tensors: Tensors = {}
    for name, value in arguments.items():
        if name in op.inferred:
            inferred[name] = tuple(value) if isinstance(value, list) else value
            if name == "normalized_shape" and len(tuple(value)) > 1:
                params["dims"] = len(tuple(value))
        elif isinstance(value, torch.Tensor):
            if value.dim() == 1:
                params[name] = value.tolist()
            else:
                tensors[name] = value
        elif name not in WITHOUT_MEANING:
            params[name] = list(value) if isinstance(value, tuple) else value
    return params, {k: v for k, v in inferred.items() if v is not None}, tensors
