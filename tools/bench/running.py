"""One process for each peer, in turn, round after round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench import first_step
from bench.cnn import Cnn
from bench.encoder import Encoder
from bench.mlp import Mlp
from bench.peers import NAMES, NEEDS, PEERS, Clock
from bench.report import Rates, print_rates, print_start
from bench.tabular import Tabular
from bench.task import Task

TASKS: Mapping[str, Task] = {task.name: task for task in (Mlp(), Cnn(), Encoder(), Tabular())}
KNOWN = (*TASKS, first_step.NAME)


@dataclass(frozen=True)
class Plan:
    """How to measure."""

    script: Path
    """What `measure` is reached through in a process of its own."""
    rounds: int
    epochs: int | None
    threads: int
    peers: Sequence[str]

    @property
    def environment(self) -> dict[str, str]:
        """Torch, MKL and pyarrow of every peer take as many threads."""
        threads = str(self.threads)
        # Python keeps bytecode unless told not to, and without it starting takes longer.
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}


def installed(peers: Sequence[str]) -> list[str]:
    """Those that can run; says which cannot."""
    found = []
    for peer in peers:
        if peer in NEEDS and find_spec(NEEDS[peer]) is None:
            print(f"{NAMES[peer]}: left out, `{NEEDS[peer]}` is not installed")
        else:
            found.append(peer)
    return found


def measure(name: str, peer: str, epochs: int, folder: Path, began: float) -> None:
    """Train in this process, and print the rate and the number of weights."""
    task, clock = TASKS[name], Clock(began)
    found = PEERS[peer](task, folder, epochs, clock)
    print(json.dumps([*clock.rates(task, epochs), found]))


def run(name: str, plan: Plan) -> None:
    """Measure one task and print what came out."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if name == first_step.NAME:
            first_step.prepare(folder)
            times = [first_step.seconds(folder, plan.environment) for _ in range(plan.rounds)]
            print_start(times)
            return
        task = TASKS[name]
        task.prepare(folder)
        epochs = plan.epochs or task.epochs
        print_rates(task, epochs, _rates(task, epochs, folder, plan))


def _rates(task: Task, epochs: int, folder: Path, plan: Plan) -> dict[str, list[Rates]]:
    rates: dict[str, list[Rates]] = {peer: [] for peer in plan.peers}
    sizes = {}
    for _ in range(plan.rounds):
        for peer in plan.peers:
            rate, sizes[peer] = _measured(task, peer, epochs, folder, plan)
            rates[peer].append(rate)
    if len(set(sizes.values())) > 1:
        sys.exit(f"{task.name}: the peers trained different networks, by their weights: {sizes}")
    return rates


def _measured(task: Task, peer: str, epochs: int, folder: Path, plan: Plan) -> tuple[Rates, int]:
    call = [sys.executable, str(plan.script), task.name, "--one", peer, "--epochs", str(epochs)]
    call += ["--folder", str(folder), "--began", str(time.time())]
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=plan.environment)
    if done.returncode:
        sys.exit(f"{task.name}, {NAMES[peer]} failed:\n{done.stderr[-2000:]}")
    whole, loop, weights = json.loads(done.stdout.splitlines()[-1])
    return Rates(whole, loop), int(weights)
