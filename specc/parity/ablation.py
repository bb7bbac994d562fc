"""Whether every input has a say: each is replaced by another sample of itself."""

from __future__ import annotations

import numpy as np

from specc.parity.cases import NORMAL_LIKE, Case, CaseMaker
from specc.parity.judge import changes
from specc.parity.onnx_file import OnnxFile
from specc.parity.reference import Reference

SAMPLES = 4
"""Cases of a family that are tried in place of the first."""


def idle_inputs(
    reference: Reference, maker: CaseMaker, file: OnnxFile
) -> tuple[list[str], list[str]]:
    """Inputs that change no output though the graph reads them (problems), or does not (notes)."""
    problems, notes = [], []
    used = frozenset().union(*file.depends.values())
    for info in maker.interface.inputs:
        if info.name not in used:
            notes.append(f"no output depends on input `{info.name}`")
        elif not _matters(info.name, reference, maker):
            problems.append(f"input `{info.name}` changes no output")
    return problems, notes


def _matters(name: str, reference: Reference, maker: CaseMaker) -> bool:
    """Whether some sample changes some output; without two different samples, nothing is known."""
    tried = False
    for family in NORMAL_LIKE:
        if family not in maker.families():
            continue
        first, *others = _few(maker, family)
        for other in others:
            ours, theirs = first.feeds[name], other.feeds[name]
            if ours.shape != theirs.shape or np.array_equal(ours, theirs):
                continue
            try:
                before = reference.truth(first.feeds)
                after = reference.truth({**first.feeds, name: theirs})
            except Exception:  # values that the model refuses say nothing
                continue
            tried = True
            if changes(before, after):
                return True
    return not tried


def _few(maker: CaseMaker, family: str) -> list[Case]:
    found: list[Case] = []
    for case in maker.cases(family):
        found.append(case)
        if len(found) == SAMPLES:
            break
    return found
