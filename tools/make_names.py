"""Write the table of optimizers, schedulers and metrics that `specc check` knows without torch.

python tools/make_names.py          writes specc/passes/training_names.json
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from specc.training.metrics import ALIASES, KINDS
from specc.training.optimizers import OPTIMIZERS, SCHEDULERS

TARGET = Path(__file__).parent.parent / "specc" / "passes" / "training_names.json"


def arguments(kind: type) -> list[str]:
    parameters = list(inspect.signature(kind.__init__).parameters.values())[2:]
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def table() -> dict[str, dict[str, list[str]]]:
    return {
        "optimizers": {name: arguments(kind) for name, kind in sorted(OPTIMIZERS.items())},
        "schedulers": {name: arguments(kind) for name, kind in sorted(SCHEDULERS.items())},
        "metrics": {name: [] for name in sorted([*KINDS, *ALIASES])},
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(table(), indent=1) + "\n", "utf-8")
    print(f"wrote {TARGET}")
