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


KINDS_OF = {float: "number", int: "number", bool: "boolean", str: "text", tuple: "list"}
ANNOTATED = {"float": "number", "int": "number", "bool": "boolean"}


def kind_of(parameter: inspect.Parameter) -> str:
    """What an argument takes, by its default, or by its annotation where it has none."""
    annotation = str(getattr(parameter.annotation, "__name__", parameter.annotation))
    if parameter.default in (None, parameter.empty):
        return ANNOTATED.get(annotation, "any")
    if "list" in annotation.lower():
        return "any"  # a number for all groups, or one for each
    return KINDS_OF.get(type(parameter.default), "any")


def arguments(kind: type) -> dict[str, str]:
    parameters = list(inspect.signature(kind.__init__).parameters.values())[2:]
    named = (p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return {p.name: kind_of(p) for p in named}


def table() -> dict[str, dict[str, dict[str, str]]]:
    return {
        "optimizers": {name: arguments(kind) for name, kind in sorted(OPTIMIZERS.items())},
        "schedulers": {name: arguments(kind) for name, kind in sorted(SCHEDULERS.items())},
        "metrics": {name: {} for name in sorted([*KINDS, *ALIASES])},
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(table(), indent=1) + "\n", "utf-8")
    print(f"wrote {TARGET}")
