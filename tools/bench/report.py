"""The tables that are printed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench import first_step
from bench.peers import NAMES
from bench.task import Task


class Rates(NamedTuple):
    """Rows per second in one round."""

    whole: float
    loop: float
    """Without what comes after the last epoch, which only specc has."""


def print_rates(task: Task, epochs: int, rounds: Mapping[str, Sequence[Rates]]) -> None:
    """Medians, fastest first, and the ratios that are asked for beside what they should be."""
    medians = {peer: statistics.median(r.whole for r in found) for peer, found in rounds.items()}
    base, ours = medians.get("fused"), medians.get("specc")
    print(f"\n{task.title}, {epochs} epochs")
    print(f"{'':<28}{'rows/s':>12}{'of fused':>10}{'specc is':>10}   rounds")
    for peer, rate in sorted(medians.items(), key=lambda item: -item[1]):
        share = f"{rate / base:.2f}" if base else ""
        ratio = f"{ours / rate:.2f} x" if ours else ""
        each = " ".join(f"{found.whole / 1000:.3g}k" for found in rounds[peer])
        print(f"{NAMES[peer]:<28}{rate:>12,.0f}{share:>10}{ratio:>10}   {each}")
    if base and ours:
        loop = statistics.median(found.loop for found in rounds["specc"])
        print(f"  specc but for evaluating all parts at the end: {loop / base:.2f} of fused")
    for (peer, other), target in task.targets.items():
        if peer in medians and other in medians:
            found = medians[peer] / medians[other]
            what = f"{NAMES[peer]} / {NAMES[other]}"
            print_target(what, f"{found:.2f}", f"at least {target:g}", found >= target)


def print_start(times: Sequence[float]) -> None:
    """The time to the first step."""
    middle = statistics.median(times)
    print(f"\nfrom process start to the first step, csv of {first_step.FILE_SIZE}")
    print_target("specc train", f"{middle:.2f} s", f"under {first_step.TARGET:g} s",
                 middle < first_step.TARGET)  # fmt: skip
    print(f"{'':<2}rounds: {' '.join(f'{value:.2f}' for value in times)}")


def print_target(what: str, value: str, target: str, met: bool) -> None:
    """One number beside what it should be."""
    print(f"  {what:<52}{value:>8}   target: {target:<14}{'met' if met else 'NOT MET'}")
