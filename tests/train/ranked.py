"""Training runs that tests do by one process and by several: `torchrun -m tests.train.ranked`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from specc.training.ranks import joined
from tests.train.cases import blobs
from tests.train.specs import LAYERS, LOSS, Notes, spec, trained

SPREAD = [{"name": "norm", "op": "Normalization", "stats": "data"}, *LAYERS]
UNUSED = [
    LAYERS[0],
    {"name": "aside", "op": "Linear", "from": "fc1", "out_features": 5},
    {"name": "act", "op": "ReLU", "from": "fc1"},
    LAYERS[2],
]
WIDE = [
    {"name": "fc1", "op": "Linear", "out_features": 1024},
    {"name": "act", "op": "ReLU"},
    {"name": "body", "op": "Linear", "out_features": 1024},
    {"name": "fc2", "op": "Linear", "out_features": 3},
]
TIED = [*WIDE[:3], {"name": "again", "op": "Linear", "out_features": 1024,
                   "tie": {"weight": "body.weight"}}, WIDE[3]]  # fmt: skip
SELDOM = {"every": 9, "monitor": "val.loss", "mode": "max"}
CLASSES = {
    name: {"op": name, "from": ["logits", "label"]}
    for name in ("accuracy", "f1_score", "auroc", "average_precision", "cohen_kappa")
}
SUM = {**LOSS, "reduction": "sum"}
ADAMW = {"op": "AdamW", "lr": 0.01}
REGRESSION = {
    name: {"op": name, "from": ["logits", "label"]}
    for name in ("mae", "rmse", "r2", "pearson_corrcoef", "spearman_corrcoef")
}


def regression() -> dict[str, Any]:
    layers = [LAYERS[0], LAYERS[1], {"name": "fc2", "op": "Linear", "out_features": 1}]
    made = spec(
        {"metrics": REGRESSION}, layers, loss={"op": "MSELoss", "from": ["logits", "label"]}
    )
    made["data"]["columns"]["label"] = {"dtype": "float32", "shape": [1]}
    return made


def streamed(folder: Path) -> dict[str, Any]:
    x, label = blobs()
    header = "a,b,c,d,label"
    np.savetxt(folder / "t.csv", np.c_[x, label], header=header, comments="", delimiter=",")
    made = spec({"metrics": CLASSES}, SPREAD)
    made["data"] |= {
        "source": {"kind": "csv", "path": str(folder / "t.csv"), "memory": False, "buffer": 50},
        "columns": {"x": {"from": ["a", "b", "c", "d"]}, "label": {"encode": "class"}},
    }
    return made


def scenarios(folder: Path) -> Mapping[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Specs with what else `specc.train` is given."""
    twice = {
        "accumulate": 2, "batch_size": 15, "clip_grad_norm": 0.5, "ema": 0.9, "optimizer": ADAMW, "epochs": 3,
        "scheduler": {"op": "ExponentialLR", "gamma": 0.9}, "metrics": CLASSES,
    }  # fmt: skip
    shard = {"shard": True}
    sharded = {
        "whole": (spec({"optimizer": {"op": "SGD", "lr": 0.05, "momentum": 0.9}}), shard),
        "parts": (spec({"optimizer": ADAMW, "epochs": 1}, WIDE), shard),
        "twice": (spec(twice, SPREAD), shard),
        # Between epochs nothing but the average passes through the weights.
        "average": (
            spec({"ema": 0.9, "epochs": 4, "optimizer": ADAMW, "checkpoint": SELDOM}),
            shard,
        ),
        "tied": (spec({"optimizer": {"op": "SGD", "lr": 0.01}, "epochs": 1}, TIED), shard),
    }
    return {
        "plain": (spec({"metrics": CLASSES, "epochs": 3, "batch_size": 15}), {}),
        "twice": (spec(twice, SPREAD), {}),
        "summed": (spec({"batch_size": 15, "optimizer": {"op": "SGD", "lr": 0.003}}, loss=SUM), {}),
        "regression": (regression(), {}),
        "unused": (spec({"optimizer": ADAMW}, UNUSED), {}),
        "streamed": (streamed(folder), {}),
        "bfloat16": (spec({"precision": "bfloat16"}), {}),
        "compiled": (spec({"compile": "step"}), {}),
        **{f"shards, {name}": made for name, made in sharded.items()},
    }


def arrays(made: Mapping[str, Any]) -> dict[str, Any]:
    x, label = blobs()
    kind = made["data"]["columns"]["label"].get("dtype")
    return {"x": x, "label": label.astype(np.float32)[:, None] if kind == "float32" else label}


def run_all(folder: Path, *, alone: bool) -> dict[str, Any]:
    """Train each scenario into `folder`; what it said and where it is."""
    found = {}
    for name, (made, rest) in scenarios(folder).items():
        notes = Notes()
        given = None if name == "streamed" else arrays(made)
        options = {} if alone else rest
        result = trained(folder / name, made, given, reporter=notes, device="cpu", **options)
        found[name] = {"folder": str(result.folder), "notes": notes.texts}
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    with joined("cpu") as ranks:
        found = run_all(folder, alone=False)
        everywhere = ranks.gathered({name: run["folder"] for name, run in found.items()})
        assert all(folders == everywhere[0] for folders in everywhere)
        if ranks.is_first:
            (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
