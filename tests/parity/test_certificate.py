"""The certificate file, the test vectors beside it, and the proof without PyTorch."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest

from specc.diagnostics.model import SpeccError
from specc.parity.certificate import (
    FILE_NAME,
    Certificate,
    sealed,
    summary,
    write_certificate,
)
from specc.parity.companions import Companions
from specc.parity.vector_sets import read_set
from specc.parity.vectors import verify_vectors, write_vectors
from specc.parity.verify import prove
from tests.parity.faults import CNN_FAULTS, one_nan
from tests.parity.models import CNN, Cnn, Edit, cnn_nodes, onnx_model, trained

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "schemas/parity.schema.json").read_bytes())
MODULE = trained(Cnn())
ROWS = {
    "image": np.random.default_rng(0).random((40, 3, 8, 8)),
    "other": np.random.default_rng(1).random((40, 8)),
}


def exported(folder: Path, edit: Edit | None = None) -> tuple[Path, Certificate]:
    """A folder as an export leaves it: the model, its certificate and its vectors."""
    path = folder / "model.onnx"
    path.write_bytes(onnx_model(CNN, cnn_nodes(), MODULE.state_dict(), edit).SerializeToString())
    certificate = prove(MODULE, path, CNN, rows=ROWS, spec=b"{}")
    write_certificate(certificate, folder / FILE_NAME)
    write_vectors(folder, MODULE, CNN, rows=ROWS)
    return path, certificate


def replant(path: Path, edit: Edit) -> None:
    """Put a fault into the model, and its digest into the certificate, as a forger would."""
    model = onnx.load(path)
    edit(model)
    path.write_bytes(model.SerializeToString())
    proof = json.loads(path.with_name(FILE_NAME).read_bytes())
    proof["digests"]["onnx"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(FILE_NAME).write_text(json.dumps(proof))


@pytest.mark.parametrize("edit", [None, CNN_FAULTS["tanh gelu"], CNN_FAULTS["an extra axis"]])
def test_the_file_keeps_to_its_schema(tmp_path: Path, edit: Edit | None) -> None:
    path, certificate = exported(tmp_path, edit)
    record = json.loads(path.with_name(FILE_NAME).read_bytes())
    jsonschema.Draft202012Validator(SCHEMA).validate(record)
    assert record["verdict"] == certificate.verdict == ("fail" if edit else "pass")
    assert record["specc_parity"] == 1 and len(record["cases"]) == len(certificate.cases)
    assert {*record["versions"]} >= {"python", "torch", "onnx", "onnxruntime", "numpy"}
    assert not list(tmp_path.glob(".*"))


def test_the_schema_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    _, certificate = exported(tmp_path)
    for change in ({"verdict": "maybe"}, {"extra": 1}, {"digests": {"onnx": "abc"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(certificate.as_json() | change, SCHEMA)


def test_a_proof_is_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert exported(tmp_path / "a")[1] == exported(tmp_path / "b")[1]


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    path, certificate = exported(tmp_path)
    assert certificate.digests["onnx"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert certificate.digests["spec"] == hashlib.sha256(b"{}").hexdigest()
    other = prove(trained(Cnn(), 1), path, CNN)
    assert other.digests["weights"] != certificate.digests["weights"]


def test_the_summary_goes_into_the_metadata_and_the_seal_follows(tmp_path: Path) -> None:
    path, certificate = exported(tmp_path)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, summary(certificate))
    path.write_bytes(model.SerializeToString())
    assert verify_vectors(path).verdict == "fail"
    write_certificate(sealed(certificate, path), path.with_name(FILE_NAME))
    assert verify_vectors(path).verdict == "pass"
    assert {p.key: p.value for p in model.metadata_props}["specc.parity.verdict"] == "pass"


def test_data_rows_tell_the_share_of_equal_predictions(tmp_path: Path) -> None:
    _, certificate = exported(tmp_path)
    data = [f for f in certificate.families if f.family == "data" and f.output == "logits"]
    assert data and all(f.equal_predictions == 1.0 for f in data)


def test_vectors_are_in_the_layout_of_onnx(tmp_path: Path) -> None:
    _, certificate = exported(tmp_path)
    assert [v.family for v in certificate.vectors] == ["normal", "data", "sizes"]
    for index, vector in enumerate(certificate.vectors):
        folder = tmp_path / vector.folder
        assert folder.name == f"test_data_set_{index}"
        assert {p.name for p in folder.iterdir()} == {
            "input_0.pb", "input_1.pb", "output_0.pb", "output_1.pb",
        }  # fmt: skip
        inputs, outputs = read_set(folder)
        assert list(inputs) == ["image", "other"] and list(outputs) == ["hidden", "logits"]
        assert outputs["logits"].dtype == np.float32


def test_a_model_is_proven_again_without_torch(tmp_path: Path) -> None:
    path, _ = exported(tmp_path)
    code = (
        "import sys; from pathlib import Path; from specc.parity.vectors import verify_vectors;"
        "certificate = verify_vectors(Path(sys.argv[1]));"
        "assert 'torch' not in sys.modules; print(certificate.verdict)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "pass"


def test_a_recheck_keeps_to_the_schema_and_names_its_cases(tmp_path: Path) -> None:
    path, certificate = exported(tmp_path)
    again = verify_vectors(path)
    jsonschema.validate(again.as_json(), SCHEMA)
    assert again.verdict == "pass"
    assert {c.name for c in again.cases} == {v.case for v in certificate.vectors}


@pytest.mark.parametrize(
    "fault", ["tanh gelu", "layer norm epsilon", "float16 weights", "a NaN", "output missing"]
)
def test_vectors_catch_faults(tmp_path: Path, fault: str) -> None:
    path, _ = exported(tmp_path)
    replant(path, CNN_FAULTS[fault])
    again = verify_vectors(path)
    assert again.verdict == "fail"
    assert not any("proven file" in failure for failure in again.failures)


def test_vectors_are_enough_without_a_certificate(tmp_path: Path) -> None:
    path, _ = exported(tmp_path)
    path.with_name(FILE_NAME).unlink()
    again = verify_vectors(path)
    assert again.verdict == "pass"
    assert any("an estimate" in note for note in again.notes)
    model = onnx.load(path)
    one_nan(model)
    path.write_bytes(model.SerializeToString())
    assert verify_vectors(path).verdict == "fail"


def test_a_changed_model_is_not_the_proven_one(tmp_path: Path) -> None:
    path, _ = exported(tmp_path)
    model = onnx.load(path)
    model.doc_string = "touched"
    path.write_bytes(model.SerializeToString())
    again = verify_vectors(path)
    assert again.verdict == "fail"
    assert again.failures[0] == "`model.onnx` is not the proven file"


def refusal(path: Path) -> str:
    with pytest.raises(SpeccError) as refused:
        verify_vectors(path)
    (finding,) = refused.value.diagnostics
    return finding.code


def test_what_cannot_be_read_is_refused_with_a_code(tmp_path: Path) -> None:
    path, certificate = exported(tmp_path)
    damaged = tmp_path / "test_data_set_0/input_0.pb"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    assert refusal(path) == "P705"
    damaged.write_bytes(whole)
    for text in ("{", "[]", '{"verdict": "pass"}', '{"families": 3}'):
        path.with_name(FILE_NAME).write_text(text)
        assert refusal(path) == "P705"
    write_certificate(replace(certificate), path.with_name(FILE_NAME))
    path.write_bytes(b"not a model")
    assert refusal(path) == "P705"
    lone = tmp_path / "lone"
    lone.mkdir()
    (lone / "model.onnx").write_bytes(whole)
    assert refusal(lone / "model.onnx") == "P708"


def test_a_lost_set_of_vectors_is_missed(tmp_path: Path) -> None:
    path, _ = exported(tmp_path)
    shutil.rmtree(tmp_path / "test_data_set_1")
    again = verify_vectors(path)
    assert again.verdict == "fail" and "`test_data_set_1` is missing" in again.failures


def test_a_certificate_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    path, _ = exported(tmp_path)
    proof = json.loads(path.with_name(FILE_NAME).read_bytes())
    proof["vectors"][0]["folder"] = "../test_data_set_0"
    path.with_name(FILE_NAME).write_text(json.dumps(proof))
    assert "../test_data_set_0" not in Companions(path).listed_vectors()
