"""What moves while a model is trained, and can be put back to where a checkpoint found it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from specc.training.checkpoint import random_state, restore_random_state
from specc.training.compiling import ChosenStep, Note, used_weights
from specc.training.data.splitting import mix
from specc.training.problems import TrainError
from specc.training.setup import Setup
from specc.training.state import LoopState, LossSum
from specc.training.step import Group


class Course:
    """Model, optimizer, scheduler, average, scaler and counters, advanced a step at a time."""

    def __init__(self, setup: Setup, note: Note) -> None:
        self.setup, self.settings = setup, setup.settings
        self.module, self.device = setup.forward.module, setup.batches.device
        self.state, self.losses = LoopState(), LossSum(setup.weights.ranks)
        self.step = ChosenStep(setup.step, self.settings.compile, self.settings.accumulate, note)
        self._per_step = setup.scheduler if self.settings.interval == "step" else None

    def join(self) -> None:
        """Meet the other ranks, if there are any."""
        self.setup.weights.join(self._used_weights)

    def _used_weights(self) -> list[Tensor]:
        first = next(self.setup.batches.ordered())
        return used_weights(self.setup.step, (first,))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of a whole epoch."""
        return math.ceil(self.setup.batches.per_epoch / self.settings.accumulate)

    @property
    def steps(self) -> int:
        """How many steps there are at most."""
        if self.settings.steps is not None:
            return self.settings.steps
        return self.steps_per_epoch * (self.settings.epochs or 0)

    @property
    def epoch_is_complete(self) -> bool:
        """Whether all batches of the current epoch are used up."""
        return self.state.batch >= self.setup.batches.per_epoch

    def groups(self) -> Iterator[Group]:
        """The batches of each step that is left of the current epoch."""
        self.module.train()
        self.setup.forward.loss_module.train()
        batches = self.setup.batches.epoch(self.settings.seed, self.state.epoch, self.state.batch)
        while group := tuple(islice(batches, self.settings.accumulate)):
            yield group

    def advance(self, group: Group) -> None:
        """Take one step."""
        state, rows = self.state, sum([share.whole for share in group])
        self.losses.add(self.step(group, state.step, self.steps - state.step), rows)
        if self.setup.ema:
            self.setup.ema.update()
        state.rows += rows
        state.batch += len(group)
        state.step += 1
        if self._per_step:
            self._per_step.step()

    def end_epoch(self, watched: float) -> None:
        """Go to the next epoch; `watched` is the value that a plateau scheduler follows."""
        scheduler = self.setup.scheduler
        if scheduler is not None and self._per_step is None:
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(watched)
            else:
                scheduler.step()
        self.state.next_epoch()

    def mean_loss(self) -> float:
        """The mean loss over the rows of the epoch so far."""
        self.state.loss_sum = self.losses.drain(self.state.loss_sum)
        return self.state.loss_sum / max(self.state.rows, 1)

    @property
    def is_finite(self) -> bool:
        """Whether every weight is, on every rank."""
        return self.setup.weights.is_finite

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────

    def snapshot(self) -> dict[str, Any]:
        """All that decides how training goes on, apart from the weights."""
        setup = self.setup
        self.mean_loss()
        return {
            "loop": self.state.to_plain(),
            "settings": self._own_settings(),
            "optimizer": setup.optimizer.state_dict(),
            "scheduler": setup.scheduler.state_dict() if setup.scheduler else None,
            "ema": list(setup.ema.average) if setup.ema else None,
            "scaler": setup.step.precision.scaler.state_dict()
            if setup.step.precision.scaler else None,
            "compiled": self.step.compiled,
            "random": setup.weights.ranks.gathered(random_state(self.device)),
        }  # fmt: skip

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Go back to a snapshot; raises `TrainError` L608 if it is of other settings."""
        setup, scaler = self.setup, self.setup.step.precision.scaler
        self._check(plain)
        kept = plain["optimizer"]
        if plain["settings"] != self._own_settings():
            # A changed rate or schedule is meant to count from here on.
            kept["param_groups"] = setup.optimizer.state_dict()["param_groups"]
        elif setup.scheduler:
            setup.scheduler.load_state_dict(plain["scheduler"])
        setup.optimizer.load_state_dict(kept)
        _lay_out_alike(setup.optimizer)
        if setup.ema:
            setup.ema.load(plain["ema"])
        if scaler:
            scaler.load_state_dict(plain["scaler"])
        self.state, self.losses = LoopState.from_plain(plain["loop"]), LossSum(setup.weights.ranks)
        self.step.compiled, self.step.whole = plain["compiled"], None
        # Last, since building models and metrics may have drawn random numbers.
        self.draw_from(plain["random"])

    def draw_from(self, states: Sequence[Mapping[str, Tensor]] = ()) -> None:
        """Let each rank draw its own random numbers, as before if there were as many ranks."""
        ranks = self.setup.weights.ranks
        if len(states) == ranks.size:
            restore_random_state(states[ranks.rank], self.device)
        elif states or not ranks.is_first:
            place = mix(self.settings.seed, self.state.step * ranks.size + ranks.rank)
            torch.manual_seed(int(place[0]) >> 1)

    def _own_settings(self) -> dict[str, Any]:
        """The settings that optimizer and scheduler were made of."""
        ops = {"optimizer": self.settings.optimizer, "scheduler": self.settings.scheduler}
        return {key: [op.op, dict(op.arguments)] if op else None for key, op in ops.items()}

    def _check(self, plain: Mapping[str, Any]) -> None:
        setup = self.setup
        has = {"ema": setup.ema, "scaler": setup.step.precision.scaler}
        for what, own in has.items():
            if (own is None) != (plain[what] is None):
                which = "model's spec" if own is None else "checkpoint"
                raise TrainError("L608", f"the {which} has no `{what}` and the other has")
        groups = plain["optimizer"]["param_groups"]
        sizes = [len(group["params"]) for group in groups]
        if sizes != [len(group["params"]) for group in setup.optimizer.param_groups]:
            raise TrainError("L608", "the checkpoint has other groups of weights", "optimizer")


def _lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer's tensors lie in memory as their weights do, which fused kernels rely on."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.ndim == 4:
                state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
