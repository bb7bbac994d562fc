"""Which values a model's integer inputs may hold, as far as its operators say so."""

from __future__ import annotations

from typing import Any

import pytest

from specc.api.model import load

X = {"shape": ["n", 8]}
K = {"shape": ["n", 2], "dtype": "int64"}
LIST = {"shape": ["m"], "dtype": "int64"}
LABELS = {"shape": ["n"], "dtype": "int64"}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], tuple[int | None, int | None]]] = [
    ("gather", {"op": "gather", "dim": 1, "from": ["x", "k"]}, K, (0, 8)),
    ("take_along_dim", {"op": "take_along_dim", "dim": -1, "from": ["x", "k"]}, K, (0, 8)),
    ("index_select", {"op": "index_select", "dim": 1, "from": ["x", "k"]}, LIST, (0, 8)),
    (
        "scatter",
        {"op": "scatter", "dim": 1, "src": 1.0, "from": {"input": "x", "index": "k"}}, K, (0, 8),
    ),
    ("index_add", {"op": "index_add", "dim": 1, "from": ["x", "k", "y"]}, LIST, (0, 8)),
    ("getitem", {"formula": "x[:, k]"}, LIST, (-8, 8)),
    ("loss", {"op": "CrossEntropyLoss", "from": ["x", "k"]}, LABELS, (0, 8)),
    ("symbolic axis", {"op": "gather", "dim": 0, "from": ["x", "k"]}, K, (None, None)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "kind", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_positions_stay_within_an_axis_of_known_size(
    layer: dict[str, Any], kind: dict[str, Any], wanted: tuple[int | None, int | None]
) -> None:
    inputs = {"x": X, "k": kind, "y": {"shape": ["n", "m"]}}
    if "y" not in layer.get("from", []):
        del inputs["y"]
    model = load({"specc": 1, "name": "m", "inputs": inputs, "layers": [layer]})
    (found,) = [info for info in model.interface.inputs if info.name == "k"]
    assert (found.low, found.high) == wanted


def test_the_narrower_of_two_bounds_counts() -> None:
    layers = [
        {"name": "rows", "op": "Embedding", "num_embeddings": 5, "embedding_dim": 3, "from": "k"},
        {"name": "picked", "op": "gather", "dim": 1, "from": ["x", "k"]},
    ]
    model = load(
        {
            "specc": 1, "name": "m", "inputs": {"x": X, "k": K}, "layers": layers,
            "outputs": {"rows": "rows", "picked": "picked"},
        }
    )  # fmt: skip
    assert [(i.low, i.high) for i in model.interface.inputs if i.name == "k"] == [(0, 5)]
