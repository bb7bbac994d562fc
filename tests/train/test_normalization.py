from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from specc.training.normalization import RunningMoments
from tests.train.cases import CrossEntropy, Normalization, blob_data, interface, load, run

SECTION = {"epochs": 1, "optimizer": {"op": "SGD", "lr": 0.0}}


def test_statistics_are_of_the_training_part_alone(tmp_path: Path) -> None:
    module = nn.Sequential(Normalization(4), nn.Linear(4, 4), Normalization(4), nn.Linear(4, 3))
    run(tmp_path, SECTION, module=module, fit_layers=["0", "2"])
    x = blob_data().parts["train"]["x"].astype(np.float64)
    np.testing.assert_allclose(module[0].mean, x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(module[0].std, x.std(0), rtol=1e-6)
    with torch.no_grad():
        hidden = module[1](module[0](torch.from_numpy(x).float())).double().numpy()
    np.testing.assert_allclose(module[2].mean, hidden.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(module[2].std, hidden.std(0), rtol=1e-5)


def test_images_are_normalized_by_channel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=(50, 2, 4, 3)) * np.array([1, 10]).reshape(2, 1, 1)
    arrays = {"x": x, "label": rng.integers(0, 3, 50)}
    data = load(tmp_path, {"label": {"dtype": "int64"}}, inputs={"x": (2, 4, 3)},
                kind="memory", arrays=arrays)  # fmt: skip
    module = nn.Sequential(Normalization(2), nn.Flatten(), nn.Linear(24, 3))
    given = interface({"x": (2, 4, 3)}, {"logits": (3,)})
    run(tmp_path, SECTION, module=module, fit_layers=["0"], dataset=data, interface=given,
        loss_module=CrossEntropy())  # fmt: skip
    np.testing.assert_allclose(module[0].mean, x.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(module[0].std, x.std((0, 2, 3)), rtol=1e-5)


def test_parts_join_to_the_whole_far_from_zero_and_constants_get_1() -> None:
    values = torch.randn(1000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = torch.cat([values * 1e-3 + 1e6, torch.full((1000, 1), 0.1)], 1)
    moments = RunningMoments()
    for part in values.split(300):
        moments.add(part)
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-14, atol=0)
    expected = values[:, :2].std(0, correction=0)
    torch.testing.assert_close(moments.deviation()[:2], expected, rtol=1e-6, atol=0)
    assert moments.deviation()[2] == 1
