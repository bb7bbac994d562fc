"""schemas/refused.json: what of `torch.nn` is no operator, or only part of one, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

PATH = Path(__file__).parent.parent.parent / "schemas" / "refused.json"


@dataclass(frozen=True)
class Refusals:
    """The reasoned table."""

    classes: Mapping[str, str]
    """Classes of `torch.nn` that are no operator."""
    without_onnx: Mapping[str, str]
    """Operators, or forms of them, that train but cannot be exported."""
    cases: Mapping[str, str]
    """What a refusal of a single case says (a regular expression), with the reason for it."""

    def onnx_reason(self, name: str) -> str | None:
        """Why an operator has no ONNX form; `None` if it is not in the table."""
        return self.without_onnx.get(name)

    def case_reason(self, message: str) -> str | None:
        """Why a message of refusal is right; `None` if it is not in the table."""
        found = (r for pattern, r in self.cases.items() if self.matches(pattern, message))
        return next(found, None)

    @staticmethod
    def matches(pattern: str, message: str) -> bool:
        """Whether a pattern of `cases` is about a message."""
        return re.fullmatch(pattern, message) is not None


def refusals() -> Refusals:
    """The table as it is shipped."""
    made = json.loads(PATH.read_text("utf-8"))
    return Refusals(made["classes"], made["without_onnx"], made["cases"])


def module_classes() -> list[str]:
    """Every class of `torch.nn` that is a module."""
    found = vars(nn).items()
    return sorted(n for n, c in found if isinstance(c, type) and issubclass(c, nn.Module))
