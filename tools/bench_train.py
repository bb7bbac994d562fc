"""How fast `specc train` is beside other ways to train the same network, as ratios of one run.

    python tools/bench_train.py                    # all tasks, all peers that are installed
    python tools/bench_train.py mlp cnn --rounds 5 --epochs 20 --peers specc,fused

tasks: mlp, cnn, encoder (rows in memory), csv (a million rows, end to end), start (the time from
       process start to the first step)
peers: fused, specc, step (specc with compile "step"), textbook, lightning, keras

A process a peer, in turn, so that what else the machine does falls on all of them, with the same
number of threads; medians of the rounds. With rows in memory the clock starts after the first
epoch, which pays for compiling and caches, and stops at the end of the last; with a csv it starts
with the process. specc runs with progress, metrics, validation, checkpoints and logs, and its
clock stops only when it has evaluated all parts once more at the end; the loops train, and but
for mlp validate after each epoch. What has a target is judged by it.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.peers import PEERS
from bench.running import KNOWN, Plan, installed, measure, run


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chosen(given: str, known: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    names = given.split(",")
    if wrong := [name for name in names if name not in known]:
        parser.error(f"there is no peer {wrong[0]!r}; peers: {', '.join(known)}")
    return names


def parsed() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=", ".join(KNOWN))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="default: as many as the task takes")
    parser.add_argument("--threads", type=int, default=cores(), help="default: the cores")
    parser.add_argument("--peers", default=",".join(PEERS))
    for hidden, kind in (("--one", str), ("--folder", Path), ("--began", float)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if wrong := [name for name in options.tasks if name not in KNOWN]:
        parser.error(f"there is no task {wrong[0]!r}; tasks: {', '.join(KNOWN)}")
    if options.epochs is not None and options.epochs < 2:
        parser.error("the first epoch is warm-up, so there have to be 2 or more")
    return options, chosen(options.peers, list(PEERS), parser)


def main() -> None:
    options, peers = parsed()
    if options.one:
        task = options.tasks[0]
        measure(task, options.one, options.epochs, options.folder, options.began)
        return
    plan = Plan(
        Path(__file__), options.rounds, options.epochs, options.threads, installed(peers)
    )  # fmt: skip
    print(f"Python {platform.python_version()}, torch {version('torch')}, {plan.threads} threads")
    for task in options.tasks or KNOWN:
        run(task, plan)


if __name__ == "__main__":
    main()
