"""Write schemas/ from the operator definitions, and nothing else.

python tools/make_schemas.py            writes schemas/spec.schema.json and schemas/ops.md
python tools/make_schemas.py --check    exits with 1 if they are not fresh
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from specc.cli.describe import describe_op, first_line
from specc.ops import REGISTRY
from specc.spec.schema import published_schema

SCHEMAS = Path(__file__).parent.parent / "schemas"


def schema_text() -> str:
    return json.dumps(published_schema(), indent=1, ensure_ascii=False) + "\n"


def ops_text() -> str:
    names = sorted(REGISTRY, key=lambda n: (not n[0].isupper(), n.lower()))
    lines = [
        "# Operators", "",
        f"The {len(names)} operators of the language, from their definitions in `specc/ops`. "
        "`specc ops NAME` prints one.", "",
    ]  # fmt: skip
    lines += ["| operator | what it does |", "| --- | --- |"]
    lines += [f"| [`{n}`](#{n.lower()}) | {first_line(REGISTRY[n])} |" for n in names]
    for name in names:
        title, _, rest = describe_op(name).partition("\n")
        lines += ["", f"## {title}", "", "```text", rest.strip(), "```"]
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    return {SCHEMAS / "spec.schema.json": schema_text(), SCHEMAS / "ops.md": ops_text()}


def main() -> int:
    stale = [p for p, text in files().items() if not p.is_file() or p.read_text("utf-8") != text]
    if "--check" in sys.argv:
        print("\n".join(f"not fresh: {path.name}" for path in stale) or "fresh")
        return bool(stale)
    for path, text in files().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
