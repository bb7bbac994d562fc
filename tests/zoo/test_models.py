"""The models of `specs/models`: against references in plain PyTorch, in ONNX, and in training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from zoo.models import ORIGINALS
from zoo.original import Original, Tensors

import specc
from specc.ir.dims import evaluate
from specc.parity.perturb import perturbed
from specc.parity.verify import prove

ROOT = Path(__file__).resolve().parents[2]

LARGE = {"unet", "mlp_mixer", "vit", "vit_tiny", "diffusion_unet"}
CASES = [
    pytest.param(about, id=about.name, marks=[pytest.mark.slow] if about.name in LARGE else [])
    for about in ORIGINALS
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(model: specc.Model, module: torch.nn.Module, inputs: Tensors) -> Tensors:
    made = module(*(inputs[value.name] for value in model.graph.inputs))
    return made if isinstance(made, dict) else {model.graph.outputs[0][0]: made}


@pytest.mark.parametrize("about", CASES)
def test_same_weights_and_same_bits_as_the_reference(about: Original) -> None:
    torch.manual_seed(0)
    original = perturbed(about.make().eval(), seed=0)
    model = specc.load(about.path)
    module = model.compile(seed=1).eval()
    module.load_state_dict(original.state_dict(), strict=True)
    if about.parameters is not None:
        assert sum(p.numel() for p in module.parameters()) == about.parameters
    inputs = about.inputs()
    with torch.no_grad():
        wanted, actual = about.call(original, inputs), run(model, module, inputs)
    assert set(actual) == set(wanted)
    for name, value in wanted.items():
        assert value.isfinite().all()
        assert value.numel() == 1 or value.std() > 0
        torch.testing.assert_close(actual[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("opset", [20, 23])
@pytest.mark.parametrize("about", ORIGINALS, ids=lambda about: about.name)
def test_the_export_is_proven(about: Original, opset: int) -> None:
    model = specc.load(about.path, about.small)
    module = model.compile(seed=0).eval()
    data = model.to_onnx(module.state_dict(), opset=opset)
    proof = prove(
        module, data, model.interface, fresh=True, options={"cases": 2},
        reweight=lambda new: model.to_onnx(new, opset=opset),
    )  # fmt: skip
    assert proof.verdict == "pass", proof.failures


@pytest.mark.parametrize("about", ORIGINALS, ids=lambda about: about.name)
def test_sizes_are_those_of_the_graph(about: Original) -> None:
    model = specc.load(about.path, about.small)
    module = model.compile(seed=0).eval()
    for step in (0, 1, 2):
        sizes = {name: _size(dim, step) for name, dim in model.dims.items()}
        inputs = {v.name: _filled(v, sizes) for v in model.graph.inputs}
        with torch.no_grad():
            actual = run(model, module, inputs)
        for name, value in model.graph.outputs:
            wanted = tuple(evaluate(size, sizes) for size in value.type.shape)
            assert tuple(actual[name].shape) == wanted


def _size(dim: Any, step: int) -> int:
    first = -(-dim.min // dim.multiple_of) * dim.multiple_of
    return int(first + step * dim.multiple_of)


def _filled(value: Any, sizes: dict[str, int]) -> torch.Tensor:
    shape = [evaluate(size, sizes) for size in value.type.shape]
    if value.type.dtype.is_floating:
        return torch.randn(shape)
    return torch.zeros(shape, dtype=torch.int64)


def test_every_model_has_a_reference() -> None:
    files = {path.stem for path in (ROOT / "specs" / "models").glob("*.json")}
    assert files == {about.name for about in ORIGINALS}


# -- training ------------------------------------------------------------------------------------


def document(name: str, **changes: Any) -> dict[str, Any]:
    """The spec of a model with other parameters, and what it needs for training."""
    made: dict[str, Any] = json.loads((ROOT / "specs" / "models" / f"{name}.json").read_text())
    made["params"] |= changes.pop("params", {})
    return made | changes


def trained(
    model: specc.Model, runs: Path, arrays: dict[str, np.ndarray] | None = None
) -> tuple[Path, list[float]]:
    result = specc.train(model, runs=runs, arrays=arrays)
    lines = (result.folder / "metrics.jsonl").read_text().splitlines()
    return result.folder, [json.loads(line)["train"]["loss"] for line in lines]


def memory(arrays: dict[str, np.ndarray], **shapes: list[Any]) -> dict[str, Any]:
    columns = {
        name: {"dtype": str(array.dtype), "shape": shapes.get(name, list(array.shape[1:]))}
        for name, array in arrays.items()
    }
    return {"source": {"kind": "memory"}, "columns": columns, "split": {"train": 0.8, "val": 0.2}}


ADAM = {"optimizer": {"op": "Adam", "lr": 0.01}, "epochs": 8, "batch_size": 32, "seed": 0}


def test_the_variational_autoencoder_samples_in_training_only(tmp_path: Path) -> None:
    path = ROOT / "specs" / "models" / "variational_autoencoder.json"
    model = specc.load(path, ["train.epochs=6"])
    folder, losses = trained(model, tmp_path)
    assert losses[-1] < 0.8 * losses[0]
    module = model.compile(seed=0)
    image = torch.rand(3, 64) * 16
    first, second = module(image), module(image)
    assert torch.equal(first["mean"], second["mean"])
    assert not torch.equal(first["logits"], second["logits"])
    module.eval()
    assert torch.equal(module(image)["logits"], module(image)["logits"])
    proof = specc.export(folder)
    assert proof.proven, proof.certificate.failures
    import onnx

    graph = onnx.load(proof.model or "").graph
    assert [output.name for output in graph.output] == ["code", "reconstruction"]
    names = {tensor.name for tensor in graph.initializer}
    assert "mean.weight" in names or "mean.weight.T" in names
    assert not [name for name in names if name.startswith("logvar")]


def test_the_evidence_lower_bound_is_the_formula_of_the_paper() -> None:
    model = specc.load(ROOT / "specs" / "models" / "variational_autoencoder.json")
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(5, 64, generator=generator) * 16
    logits = torch.randn(5, 64, generator=generator)
    mean, logvar = (torch.randn(5, 8, generator=generator) for _ in range(2))
    assert model.loss is not None
    given = {"image": image, "logits": logits, "mean": mean, "logvar": logvar}
    actual = model.compile_loss()(**{v.name: given[v.name] for v in model.loss.inputs})
    posterior = torch.distributions.Normal(mean, (logvar / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(8), torch.ones(8))
    pixels = torch.distributions.Bernoulli(logits=logits, validate_args=False)
    likelihood = pixels.log_prob(image / 16).sum(1)
    bound = likelihood - torch.distributions.kl_divergence(posterior, prior).sum(1)
    torch.testing.assert_close(actual, -bound.mean())


def test_two_towers_learn_from_the_other_documents_of_the_batch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    topic = rng.integers(1, 20, 240)
    arrays = {
        "query": np.stack([2 * topic - 1, rng.integers(1, 40, 240)], 1),
        "document": np.stack([2 * topic, 2 * topic - 1, 0 * topic], 1),
    }
    loss = {"layers": [
        {"name": "own", "formula": "arange(scores.shape[0])"},
        {"op": "CrossEntropyLoss", "from": ["scores", "own"]},
    ]}  # fmt: skip
    source = document(
        "two_tower", params={"words": 40}, data=memory(arrays), train={"loss": loss, **ADAM}
    )
    folder, losses = trained(specc.load(source), tmp_path, arrays)
    assert losses[-1] < 0.7 * losses[0]
    assert specc.export(folder).proven


def test_experts_learn_with_two_losses(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(240, 7, 6)).astype(np.float32)
    arrays = {"x": x, "target": np.abs(x)}
    loss = [{"op": "MSELoss", "from": ["y", "target"]}, {"formula": "balance", "weight": 0.01}]
    source = document(
        "mixture_of_experts", params={"width": 6, "hidden": 12},
        data=memory(arrays, target=["${seq}", "${width}"]), train={"loss": loss, **ADAM},
    )  # fmt: skip
    folder, losses = trained(specc.load(source), tmp_path, arrays)
    assert losses[-1] < 0.5 * losses[0]
    proof = specc.export(folder)
    assert proof.proven, proof.certificate.failures


def test_the_tagger_learns_tags_and_skips_padding(tmp_path: Path) -> None:
    tokens = np.random.default_rng(0).integers(1, 12, (240, 8))
    arrays = {"tokens": tokens, "tag": np.where(np.arange(8) < 6, tokens % 3, -1)}
    loss = {"layers": [
        {"name": "by_class", "op": "transpose", "dim0": 1, "dim1": 2, "from": "logits"},
        {"op": "CrossEntropyLoss", "from": ["by_class", "tag"], "ignore_index": -1},
    ]}  # fmt: skip
    source = document(
        "gru_tagger", params={"words": 12, "tags": 3},
        data=memory(arrays, tag=["${seq}"]), train={"loss": loss, **ADAM | {"epochs": 3}},
    )  # fmt: skip
    _, losses = trained(specc.load(source), tmp_path, arrays)
    assert losses[-1] < 0.2 * losses[0]
