"""`specc train` on several devices: as many processes, started by PyTorch's own launcher."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from specc.cli.options import BAD, FAILED, FINE, Output
from specc.diagnostics.model import Diagnostic, SpeccError
from specc.runtime.launched import LAUNCHER, is_launched


def launch(devices: int, device: str, arguments: Sequence[str], out: Output) -> int:
    """Run `specc` with these arguments once for each device; the exit code of all together.

    Raises `SpeccError` L614 if there are not so many devices.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check(devices, device)
    # The launcher would tell what the processes tell themselves, and what is told below.
    logging.disable(logging.CRITICAL)
    os.environ[LAUNCHER] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=devices, max_restarts=0, run_id=str(os.getpid()),
        rdzv_backend="c10d", rdzv_endpoint="localhost:0",
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "specc", *arguments)
    except ChildFailedError as error:
        return _failed(error.failures, out)
    except SignalException:
        return FAILED
    return FINE


def _check(devices: int, device: str) -> None:
    import torch

    from specc.training.ranks import own_device

    kind, _, number = own_device(device).partition(":")
    there = torch.cuda.device_count() if kind == "cuda" else devices
    if number and devices > 1:
        message = f"`{device}` is one device, and {devices} are asked for"
        raise SpeccError([Diagnostic("L614", message, hint=f"leave it at `--device {kind}`")])
    if devices > there:
        message = f"{devices} devices are asked for, and there are {there}"
        hint = "`--device cpu` takes processes on the CPU instead"
        raise SpeccError([Diagnostic("L614", message, hint=hint)])


def _failed(failures: Mapping[int, Any], out: Output) -> int:
    killed = [
        f"process {rank} was killed by {signal.Signals(-failure.exitcode).name}"
        for rank, failure in sorted(failures.items())
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM
    ]
    if killed:
        hint = "`specc train --resume` goes on from the last checkpoint"
        out.findings([Diagnostic("L613", "; ".join(killed), hint=hint)])
    return BAD if any(f.exitcode == BAD for f in failures.values()) else FAILED


@contextmanager
def group(device: str) -> Iterator[Callable[[], AbstractContextManager[object]]]:
    """The processes that train together; gives what to check in, so that one tells the errors."""
    if not is_launched():
        yield nullcontext
        return
    from specc.training.ranks import joined, own_device

    with joined(own_device(device)) as ranks:
        yield ranks.agreed
