"""Judge the operators by two tables of modules that others wrote.

python tools/check_modules.py                 both tables, whole
python tools/check_modules.py Conv2d LSTM     the cases of these operators
    --list        print every case, not only the numbers
    --opset N     export for this opset (default 20)

The tables are PyTorch's own module tests (`torch.testing._internal.common_modules`) and the
`pytorch-converted` cases of the onnx package. Every case becomes a spec; its generated module
gets the original's weights and must give the original's outputs, and so must ONNX Runtime with
the export. Exits with 1 if a case neither passes nor stands in schemas/refused.json.
"""

from __future__ import annotations

import argparse
import sys
import warnings

import torch
from modules import converted, pytorch_tests
from modules.refused import Refusals, module_classes, refusals
from modules.trial import OPSET
from modules.verdicts import Verdict, table, unexplained, verdicts

from specc.ops import REGISTRY


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="operators; default: all")
    parser.add_argument("--list", action="store_true", help="print every case")
    parser.add_argument("--opset", type=int, default=OPSET, help="opset of the export")
    given = parser.parse_args()
    only, reasons = frozenset(given.names) or None, refusals()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wrong = 0
    for title, cases in (
        ("PyTorch's module tests", pytorch_tests.cases(only)),
        ("pytorch-converted of onnx", converted.cases(only)),
    ):
        found = verdicts(cases, given.opset)
        if given.list:
            print("\n".join(map(_row, found)))
        print(table(title, found, reasons))
        wrong += len(unexplained(found, reasons))
    if only is None:
        print(_classes(reasons))
        wrong += len(missing_classes(reasons))
    return bool(wrong)


def missing_classes(reasons: Refusals) -> list[str]:
    """Classes of `torch.nn` that are neither an operator nor in the reasoned table."""
    return [n for n in module_classes() if n not in REGISTRY and n not in reasons.classes]


def _classes(reasons: Refusals) -> str:
    names, missing = module_classes(), missing_classes(reasons)
    untested = {
        n: pytorch_tests.count(n)
        for n in pytorch_tests.names()
        if n in reasons.classes and not pytorch_tests.is_expressible(n)
    }
    lines = [
        f"torch.nn: {len(names)} classes, {sum(n in REGISTRY for n in names)} are operators, "
        f"{sum(n in reasons.classes for n in names)} stand in the reasoned table",
        *(f"  {name}: {reasons.classes[name]}" for name in names if name in reasons.classes),
        f"  PyTorch has {sum(untested.values())} tests of those that no layers stand for: "
        + ", ".join(f"{name} {n}" for name, n in untested.items()),
    ]
    if missing:
        lines.append(f"  neither: {', '.join(missing)}")
    return "\n".join(lines)


def _row(verdict: Verdict) -> str:
    return f"  {verdict.outcome:17} {verdict.case.name} {verdict.reason}"


if __name__ == "__main__":
    sys.exit(main())
