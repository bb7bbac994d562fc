"""The processes that train one model together: each is a rank, with its share of every batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from specc.diagnostics.model import Diagnostic, SpeccError
from specc.runtime.launched import LAUNCHER, is_launched

T = TypeVar("T")
SETTLE_SECONDS = 0.1


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run; all must call the same methods in the same order."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    def share(self, low: int, high: int) -> tuple[int, int]:
        """This rank's rows of those from `low` to `high`; the first ranks have the odd ones."""
        each, odd = divmod(high - low, self.size)
        start = low + self.rank * each + min(self.rank, odd)
        return start, start + each + (self.rank < odd)

    def gathered(self, value: T) -> list[T]:
        """The value of every rank, in their order."""
        if self.alone:
            return [value]
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def from_first(self, value: T) -> T:
        """The first rank's value."""
        if self.alone:
            return value
        values = [value]
        dist.broadcast_object_list(values, 0)
        return values[0]

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in the tensor itself."""
        if not self.alone:
            dist.all_reduce(tensor)
        return tensor

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Set these tensors to what they are on the first rank."""
        if not self.alone:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Work in which ranks don't talk: if it fails on any, all end, and one says why."""
        problem: Exception | None = None
        try:
            yield
        except Exception as error:
            problem = error
        failed = self.gathered(problem is not None)
        if any(failed):
            tells = failed.index(True) == self.rank
            raise problem if problem and tells else Told from problem

    def told_once(self, error: BaseException) -> BaseException:
        """What to raise for an error that every rank has: the first one tells it."""
        return error if self.is_first else Told


Told = SystemExit(0)
"""Ends a rank whose error another one tells; not as a failure, so that the launcher shows that."""
ALONE = Ranks()


def own_device(device: str) -> str:
    """The device of this process: `auto` is a GPU if there is one, and each rank has its own.

    Raises `SpeccError` L610 for a device that is not there.
    """
    kind = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cuda" and "LOCAL_RANK" in os.environ:
        kind = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        torch.empty(0, device=kind)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        message = f"there is no device `{kind}`: {reason}"
        raise SpeccError([Diagnostic("L610", message)]) from error
    return kind


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes that a launcher started to train together, or this one alone.

    Their group ends with the block that made it, unless an error ends the block: then others
    may be waiting for this process, and learn of its end by losing it.
    """
    if dist.is_available() and dist.is_initialized():
        yield Ranks(dist.get_rank(), dist.get_world_size())
        return
    if not is_launched():
        yield ALONE
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    # Small Python values travel through gloo, which needs no GPU.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    ranks = Ranks(dist.get_rank(), dist.get_world_size())
    try:
        yield ranks
        ranks.gathered(None)  # no one leaves before all have come to the end
    except RuntimeError as error:
        if not lost_another(error):
            raise
        raise ranks.told_once(_lost()) from error
    dist.destroy_process_group()
    # DistributedDataParallel keeps gloo's threads alive. One that is still putting away the last
    # exchange needs Python for it, and aborts a process whose Python has begun to end.
    time.sleep(SETTLE_SECONDS)


def _lost() -> BaseException:
    # Our own launcher tells it, and knows which one.
    if LAUNCHER in os.environ:
        return Told
    return SpeccError([Diagnostic("L613", "another process of this run has ended")])


def lost_another(error: BaseException) -> bool:
    """Whether an error says that another process of the run is gone."""
    text = str(error).lower()
    signs = ("connection closed by peer", "connection reset by peer", "broken pipe", "gloo")
    return isinstance(error, dist.DistError) or any(sign in text for sign in signs)
