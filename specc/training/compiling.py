"""Compiled training: the model, or a whole step with its optimizer, as one program."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from specc.training.batches import Batch, Share
from specc.training.step import Group, TrainStep

Note = Callable[[str], None]
TRIED = (10, 60)
"""`auto` measures the steps from the first of these numbers to the second."""
BASE_SECONDS, SECONDS_PER_WEIGHT = 20.0, 0.5
"""About what it takes to compile a step, so that `auto` errs on the side of not compiling."""
IMPLEMENTATIONS = ("fused", "foreach")
GAIN = 0.5
"""The share of a step's time that compiling saves, as far as can be told beforehand."""


class Compiled:
    """A function that is compiled at its first call; a plain one where that fails."""

    def __init__(
        self, function: Callable[..., Any], note: Note, plain: Callable[..., Any], **options: Any
    ) -> None:
        self._plain, self._note = plain, note
        self._run = torch.compile(function, **options)
        self._proven = self.failed = False

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        if self._proven:
            return self._run(*arguments)
        try:
            # Dynamo takes the gradients into the program only if it is told to.
            with torch._dynamo.config.patch(trace_autograd_ops=True):
                result = self._run(*arguments)
        # Compilers fail in many ways; the plain function shows whether the fault is the model's.
        except Exception as error:
            self._note(f"not compiled: {_reason(error)}")
            self._run, self.failed = self._plain, True
            result = self._plain(*arguments)
        self._proven = True
        return result


def _reason(error: BaseException) -> str:
    text = str(error)
    if "InvalidCxxCompiler" in text or "C++ compiler" in text:
        return "there is no C++ compiler"
    return (text.splitlines() or [type(error).__name__])[0].rstrip(".")


class WholeStep:
    """Forward pass, loss, gradients, clipping and optimizer as one program.

    The learning rates become tensors, which a scheduler can change without compiling anew.
    """

    def __init__(self, eager: TrainStep, group: Group, note: Note) -> None:
        self.eager, self.rows = eager, group[0].rows
        self._parameters = used_weights(eager, group)
        self._gradients = [torch.zeros_like(p) for p in self._parameters]
        self._optimize = inspect.unwrap(type(eager.optimizer).step)
        self._attached = False
        self._before = [dict(options) for options in eager.optimizer.param_groups]
        for options in eager.optimizer.param_groups:
            options |= {key: False for key in IMPLEMENTATIONS if key in options}
            if not isinstance(options["lr"], Tensor):
                device = self._parameters[0].device
                options["lr"] = torch.tensor(options["lr"], dtype=torch.float64, device=device)
        for module in (eager.forward.module, eager.forward.loss_module):
            _make_importable(module)
        # Schedulers warn unless the wrapped `step` was called, which is not in the program.
        eager.optimizer._opt_called = True  # type: ignore[attr-defined]
        # Nothing that the program depends on ever changes: `fits` sees to the shapes, and this
        # object's tensors stay. Checking it all anew in each step would cost as much as the step.
        options = {
            "guard_filter_fn": torch.compiler.skip_all_guards_unsafe, "size_asserts": False,
        }  # fmt: skip
        program, plain = _with_own_code(self._step), self._plain_step
        self.program = Compiled(
            program, note, plain, fullgraph=True, dynamic=False, options=options
        )  # fmt: skip

    def fits(self, group: Group) -> bool:
        """Whether the program was made for groups of this size."""
        return len(group) == 1 and group[0].rows == self.rows

    def __call__(self, group: Group) -> Tensor:
        """The loss of the group before the step."""
        if not self.fits(group):
            self._attached = False
            return self.eager(group)
        if not self._attached:
            self._attach()
        loss: Tensor = self.program(group[0].batch)
        return loss

    def _plain_step(self, batch: Batch) -> Tensor:
        """The eager step, after which this object is of no more use."""
        for options, before in zip(self.eager.optimizer.param_groups, self._before, strict=True):
            options |= {key: before[key] for key in IMPLEMENTATIONS if key in before}
            if not isinstance(before["lr"], Tensor):
                options["lr"] = float(options["lr"])
        return self.eager([Share(batch, self.rows, self.rows)])

    def _attach(self) -> None:
        for parameter in self.eager.parameters:
            parameter.grad = None
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        self._attached = True

    def _step(self, batch: Batch) -> Tensor:
        loss = self.eager.precision.loss(self.eager.forward, batch)
        gradients = torch.autograd.grad(loss, self._parameters)
        # Into tensors that stay, since the optimizer is not traced with fresh ones.
        for kept, gradient in zip(self._gradients, gradients, strict=True):
            kept.copy_(gradient)
        with torch.no_grad():
            if self.eager.clip_grad_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._parameters, self.eager.clip_grad_norm)
            self._optimize(self.eager.optimizer)
        return loss.detach()


def _with_own_code(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method with a code object that no other has.

    Dynamo keeps programs by code object, and unchecked it would take another run's for this.
    """
    function = inspect.unwrap(method.__func__)  # type: ignore[attr-defined]
    own = FunctionType(function.__code__.replace(), function.__globals__)
    return MethodType(own, method.__self__)  # type: ignore[attr-defined]


def _make_importable(module: nn.Module) -> None:
    """Give generated source a place among the modules, where Dynamo looks functions up."""
    space = inspect.unwrap(type(module).forward).__globals__
    if space["__name__"] not in sys.modules:
        made = ModuleType(space["__name__"])
        made.__dict__.update(space)
        sys.modules[made.__name__] = made


def used_weights(eager: TrainStep, group: Group) -> list[Tensor]:
    """The weights that the loss depends on; found without a trace on the training itself."""
    modules = (eager.forward.module, eager.forward.loss_module)
    with torch.random.fork_rng(devices=[]):
        for module in modules:
            module.eval()
        eager.gradients(group)
        for module in modules:
            module.train()
    return [p for p in eager.parameters if p.grad is not None]


def obstacle(step: TrainStep, accumulate: int) -> str | None:
    """Why a whole step can't be compiled, if so."""
    if isinstance(step.optimizer, torch.optim.LBFGS):
        return "`LBFGS` evaluates the loss several times a step"
    if step.precision.scaler:
        return "the scaler of `float16` decides each step anew"
    if step.ranks > 1:
        return "it is shared by several processes"
    return "batches are accumulated" if accumulate > 1 else None


class ChosenStep:
    """Takes each step as the spec says: eagerly, as one program, or as pays (`auto`).

    The first step is always eager, since it makes the optimizer's state.
    """

    def __init__(self, eager: TrainStep, how: str | None, accumulate: int, note: Note) -> None:
        self.eager, self.note = eager, note
        self.whole: WholeStep | None = None
        self.compiled = {"step": True, "auto": None}.get(how or "", False)
        self._times: list[float] = []
        if self.compiled is not False and (why := obstacle(eager, accumulate)):
            if how == "step":
                note(f"the step is not compiled: {why}")
            self.compiled = False

    def __call__(self, group: Group, number: int, left: int) -> Tensor:
        """The loss of a group before step `number`, with `left` to come."""
        if number == 0 or not self.compiled:
            if self.compiled is None:
                self._consider(number, left)
            return self.eager(group)
        if self.whole is None:
            self.note("compiling the training step")
            self.whole = WholeStep(self.eager, group, self.note)
        loss = self.whole(group)
        if self.whole.program.failed:
            self.whole, self.compiled = None, False
        return loss

    def _consider(self, number: int, left: int) -> None:
        if number in TRIED:
            self._times.append(time.perf_counter())
        if number < TRIED[1]:
            return
        if len(self._times) < len(TRIED):  # resumed within the trial
            self.compiled = False
            return
        seconds = (self._times[1] - self._times[0]) / (TRIED[1] - TRIED[0])
        cost = BASE_SECONDS + SECONDS_PER_WEIGHT * len(self.eager.parameters)
        self.compiled = left * seconds * GAIN > cost
