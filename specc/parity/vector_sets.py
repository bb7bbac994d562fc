"""Test vectors in ONNX's own layout: `test_data_set_0/input_0.pb`, `output_0.pb`, and so on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import onnx
from onnx import numpy_helper

from specc.parity.cases import Case, CaseMaker
from specc.parity.companions import VECTORS, Companions
from specc.parity.judge import Array
from specc.runtime.atomic import write_bytes


def chosen_cases(maker: CaseMaker, refused: Collection[str] = ()) -> list[Case]:
    """The cases that become vectors: one of normal values, one of real rows, one other size.

    `refused` are the names of those that the model itself does not take.
    """
    families = [f for f in ("normal", "data", "sizes") if f in maker.families()]
    firsts = (next((c for c in maker.cases(f) if c.name not in refused), None) for f in families)
    return [case for case in firsts if case is not None]


def write_set(folder: Path, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
    """Write one set; the order of the mappings is that of the model."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (("input", inputs), ("output", outputs)):
        for index, (name, value) in enumerate(values.items()):
            tensor = numpy_helper.from_array(value, name)
            write_bytes(folder / f"{kind}_{index}.pb", tensor.SerializeToString())


def read_set(folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs and outputs of one set, by name; `ValueError` where a file is damaged."""
    inputs, outputs = (dict(_tensors(folder, kind)) for kind in ("input", "output"))
    return inputs, outputs


def set_folders(model_path: Path) -> list[Path]:
    """The folders of a model's vectors, in order: those that its certificate names, or all."""
    companions = Companions(model_path)
    listed = companions.listed_vectors()
    if listed:
        return [companions.vectors / name for name in listed]
    found = [p for p in companions.vectors.glob(f"{VECTORS}*") if p.is_dir()]
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
