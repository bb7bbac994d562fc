"""Mutated specs: whatever is done to a spec, `check` answers with findings and never a traceback."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from specc.api.checking import checked
from specc.diagnostics.codes import CODES

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.json"))
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3.5, 10**9, 10**25, "", "x", "fc1", "batch", "${", "${x}", "${1/0}",
    "${hidden}", "${x.shape}", "${[1]*99999999}", "${batch}", "Linear", "relu", [], [1, 2], {}, {"op": "ReLU"},
    {"from": "x"}, ["x", "y"], "layers.0", "0", "${i}", "conv", {"block": "conv"}, "ReLU",
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*at, key))


def mutated(spec: Any, rng: random.Random) -> Any:
    spec = copy.deepcopy(spec)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        *way, last = rng.choice([p for p in places(spec) if p])
        holder = spec
        for step in way:
            holder = holder[step]
        action = rng.randrange(5)
        if action == 0:
            del holder[last]
        elif action == 1 and isinstance(holder, dict):
            holder[
                rng.choice(["from", "repeat", "when", "op", "name", "dim", "inputs", "junk"])
            ] = rng.choice(VALUES)
        elif action == 2 and isinstance(holder, list):
            holder.insert(last, copy.deepcopy(rng.choice([holder[last], *VALUES])))
        else:
            holder[last] = copy.deepcopy(rng.choice(VALUES))
    return spec


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_mutated_specs_are_answered(path: Path) -> None:
    spec = json.loads(path.read_text("utf-8"))
    for seed in range(120):
        changed = mutated(spec, random.Random(f"{path.stem}-{seed}"))
        if not isinstance(changed, dict):
            continue
        try:
            _, graph, _, found = checked(changed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {json.dumps(changed)[:3000]}") from error
        assert graph is not None or found.has_errors, f"seed {seed}: no graph and no reason"
        assert {d.code for d in found.items} <= set(CODES)
        assert all(d.primary for d in found.items), f"seed {seed}: a finding without a place"
