"""Write specc/ops/catalog.py: which module of `specc.ops` has which operator.

python tools/make_catalog.py
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import specc.ops
from specc.ops.op import REGISTRY

TARGET = Path(specc.ops.__file__).parent / "catalog.py"


def catalog_text() -> str:
    for module in pkgutil.iter_modules(specc.ops.__path__):
        import_module(f"specc.ops.{module.name}")
    made = {name: cls.__module__.rpartition(".")[2] for name, cls in REGISTRY.loaded().items()}
    lines = [f'    "{name}": "{made[name]}",' for name in sorted(made)]
    head = '"""Which module has which operator; written by `tools/make_catalog.py`."""\n\n'
    return head + "CATALOG: dict[str, str] = {\n" + "\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(catalog_text(), "utf-8")
