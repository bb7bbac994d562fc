"""Test vectors in ONNX's own layout: `test_data_set_0/input_0.pb`, `output_0.pb`, and so on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import numpy_helper

from specc.parity.cases import Case, CaseMaker
from specc.parity.certificate import write_atomically
from specc.parity.judge import Array

PATTERN = "test_data_set_*"


def chosen_cases(maker: CaseMaker) -> list[Case]:
    """The cases that become vectors: one of normal values, one of real rows, one other size."""
    families = [f for f in ("normal", "data", "sizes") if f in maker.families()]
    return [next(maker.cases(family)) for family in families if maker.count_of(family)]


def write_set(folder: Path, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
    """Write one set; the order of the mappings is that of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (("input", inputs), ("output", outputs)):
        for index, (name, value) in enumerate(values.items()):
            tensor = numpy_helper.from_array(value, name)
            write_atomically(folder / f"{kind}_{index}.pb", tensor.SerializeToString())


def read_set(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs and outputs of one set, by name; `ValueError` where a file is damaged."""
    inputs, outputs = (dict(_tensors(folder, kind)) for kind in ("input", "output"))
    return inputs, outputs


def set_folders(model_path: Path) -> list[Path]:
    """The folders of vectors beside a model, in order."""
    found: Sequence[Any] = [p for p in model_path.parent.glob(PATTERN) if p.is_dir()]
    return sorted(found, key=lambda p: (len(p.name), p.name))


def _tensors(folder: Path, kind: str) -> Iterator[tuple[str, Array]]:
    for index in range(sum(1 for _ in folder.glob(f"{kind}_*.pb"))):
        path = folder / f"{kind}_{index}.pb"
        tensor = onnx.TensorProto()
        try:
            tensor.ParseFromString(path.read_bytes())
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise ValueError("its data is in another file")
            yield tensor.name or f"{kind}_{index}", numpy_helper.to_array(tensor)
        except Exception as error:
            raise ValueError(f"`{folder.name}/{path.name}` cannot be read: {error}") from error
