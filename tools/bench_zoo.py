"""How fast the zoo is, as ratios that mean the same on every machine.

python tools/bench_zoo.py      `specc check` of the largest spec beside an empty Python, and
                               ResNet-152 from its spec beside torchvision's own
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from specc.api.model import load
from zoo.original import SPECS, MissingLibraryError
from zoo.vision import torchvision_models

CHECK_LIMIT = 0.5
"""Seconds that `specc check` may take on the largest spec."""


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def largest_spec() -> Path:
    """The spec with the most layers once all repetition is written out."""
    specs = [p for folder in SPECS.iterdir() if folder.is_dir() for p in folder.glob("*.json")]
    return max(specs, key=lambda path: sum(1 for _ in load(path).graph.walk()))


def run_python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def bench_check(rounds: int) -> None:
    path = largest_spec()
    layers = sum(1 for _ in load(path).graph.walk())
    ours = [seconds(lambda: run_python("-m", "specc", "check", str(path))) for _ in range(rounds)]
    empty = [seconds(lambda: run_python("-c", "pass")) for _ in range(rounds)]
    taken, base = statistics.median(ours), statistics.median(empty)
    print(
        f"specc check {path.stem} ({layers:,} layers): {taken:.2f} s, {taken / base:.0f} times an "
        f"empty Python, {taken / CHECK_LIMIT:.2f} of the {CHECK_LIMIT} s allowed"
    )


def bench_compile(rounds: int) -> None:
    path = SPECS / "vision/resnet152.json"
    theirs = torchvision_models().resnet152
    pairs = [
        (seconds(lambda: load(path).compile()), seconds(lambda: theirs(weights=None)))
        for _ in range(rounds)
    ]
    ours, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"resnet152: load().compile() {ours:.2f} s, torchvision.models.resnet152() {other:.2f} s, "
        f"ratio {ours / other:.2f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    bench_check(rounds)
    try:
        bench_compile(rounds)
    except MissingLibraryError as fault:
        print(f"resnet152: not compared, {fault}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
