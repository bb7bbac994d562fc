"""How fast the zoo is, as ratios that mean the same on every machine.

python tools/bench_zoo.py      `specc check` of the specs that cost most, and ResNet-152 from its
                               spec beside torchvision's own

Times are those of the processor, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from zoo.original import SPECS, MissingLibraryError
from zoo.vision import torchvision_models

from specc.api.checking import check
from specc.api.model import load

CHECK_LIMIT = 0.5
"""Seconds that `specc check` may take on the largest spec."""


def spent() -> float:
    """Seconds of processor time of this process and of those that it has waited for."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def seconds(work: Callable[[], object]) -> float:
    began = spent()
    work()
    return spent() - began


def costly_specs() -> list[Path]:
    """The spec with the most layers, and the one that takes longest to check."""
    specs = [p for folder in SPECS.iterdir() if folder.is_dir() for p in folder.glob("*.json")]
    for path in specs:
        check(path)  # imports the operators that it needs
    largest = max(specs, key=lambda path: sum(1 for _ in load(path).graph.walk()))
    slowest = max(specs, key=lambda path: seconds(lambda: check(path)))
    return list(dict.fromkeys([largest, slowest]))


def run_check(path: Path) -> None:
    command = [sys.executable, "-m", "specc", "check", str(path)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def bench_check(rounds: int) -> None:
    for path in costly_specs():
        layers = sum(1 for _ in load(path).graph.walk())
        taken = statistics.median(seconds(lambda: run_check(path)) for _ in range(rounds))  # noqa: B023
        print(
            f"specc check {path.stem} ({layers:,} layers): {taken:.2f} s, "
            f"{taken / CHECK_LIMIT:.2f} of the {CHECK_LIMIT} s allowed"
        )


def bench_compile(rounds: int) -> None:
    path = SPECS / "vision/resnet152.json"
    theirs = torchvision_models().resnet152
    model = load(path)
    works: dict[str, Callable[[], object]] = {
        "load().compile()": lambda: load(path).compile(),
        "compile() once more": model.compile,
        "torchvision.models.resnet152()": lambda: theirs(weights=None),
    }
    for work in works.values():
        work()
    rows = [[seconds(work) for work in works.values()] for _ in range(rounds)]
    taken = [statistics.median(column) for column in zip(*rows, strict=True)]
    for what, time in zip(works, taken, strict=True):
        print(f"resnet152: {what} {time:.3f} s, ratio {time / taken[-1]:.3f}")


def bench_from_start(rounds: int) -> None:
    """The same in processes of their own, so with all that has to be imported first."""
    ours = f"import specc; specc.load({str(SPECS / 'vision/resnet152.json')!r}).compile()"
    theirs = "from zoo.vision import torchvision_models as m; m().resnet152(weights=None)"

    def run(code: str) -> None:
        tools, root = Path(__file__).parent, Path(__file__).parents[1]
        path = os.pathsep.join([str(tools), str(root), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)

    rows = [[seconds(lambda: run(code)) for code in (ours, theirs)] for _ in range(rounds)]  # noqa: B023
    own, other = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"resnet152 from process start: {own:.2f} s, torchvision {other:.2f} s, "
          f"ratio {own / other:.3f}")  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    bench_check(rounds)
    try:
        bench_compile(rounds)
        bench_from_start(rounds)
    except MissingLibraryError as fault:
        print(f"resnet152: not compared, {fault}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
