"""Losses refuse what PyTorch would broadcast or compute without sense."""

from __future__ import annotations

from typing import Any

import pytest

from specc.ops import REGISTRY, OpError
from specc.ops.op import DType, TensorType
from tests.ops.test_ops import _input


def kind(text: str) -> TensorType:
    """A tensor type; letters become sizes."""
    info = _input(text)
    letters = {"N": 3, "T": 5, "C": 4}
    shape = tuple(letters.get(s, s) for s in info["shape"])
    return TensorType(DType(info["dtype"]), shape)


REFUSED: list[tuple[str, list[str], dict[str, Any], str]] = [
    ("MSELoss", ["N 1", "N"], {}, "T401"),
    ("MSELoss", ["N", "int64: N"], {}, "T404"),
    ("MSELoss", ["N", "float64: N"], {}, "T404"),
    ("L1Loss", ["N 4", "4"], {}, "T401"),
    ("HuberLoss", ["N 1", "N"], {}, "T401"),
    ("BCEWithLogitsLoss", ["N 1", "N"], {}, "T401"),
    ("BCEWithLogitsLoss", ["N", "int64: N"], {}, "T404"),
    ("BCEWithLogitsLoss", ["N 4", "N 4"], {"pos_weight": (1.0, 2.0)}, "T406"),
    ("BCEWithLogitsLoss", ["N 2", "N 2", "2"], {"pos_weight": (1.0, 2.0)}, "S103"),
    ("CrossEntropyLoss", ["N 4", "int32: N"], {}, "T404"),
    ("CrossEntropyLoss", ["N 4", "int64: N 1"], {}, "T401"),
    ("CrossEntropyLoss", ["N 4", "N"], {}, "T401"),
    ("CrossEntropyLoss", ["N 4", "int64: N"], {"weight": (1.0, 2.0)}, "T401"),
    ("CrossEntropyLoss", ["N 4", "N 4"], {"ignore_index": 1}, "S103"),
    ("CrossEntropyLoss", ["int64: N 4", "int64: N"], {}, "T404"),
    ("NLLLoss", ["N 4", "N 4"], {}, "T404"),
    ("CosineEmbeddingLoss", ["N 4", "N 4", "N 1"], {}, "T401"),
    ("TripletMarginLoss", ["N 4", "N 4", "1 4"], {}, "T401"),
    ("GaussianNLLLoss", ["N 4", "N 4", "4"], {}, "T401"),
    ("CTCLoss", ["T N 4", "int64: 2 5", "int64: N", "int64: N"], {}, "T401"),
]


@pytest.mark.parametrize(("name", "inputs", "params", "code"), REFUSED)
def test_is_refused(name: str, inputs: list[str], params: dict[str, Any], code: str) -> None:
    with pytest.raises(OpError) as refusal:
        REGISTRY[name](**params).infer(*map(kind, inputs))
    assert refusal.value.code == code


def test_a_mismatch_by_one_axis_says_how_to_mend_it() -> None:
    with pytest.raises(OpError) as refusal:
        REGISTRY["MSELoss"]().infer(kind("N 1"), kind("N"))
    assert refusal.value.input == "target"
    assert "squeeze" in (refusal.value.hint or "")
