import sys

import numpy as np
import pytest
import torch

from tests.training.evaluation.helpers import draw_frames
from training.evaluation.errors import EvaluationError
from training.evaluation.metrics.pic import DreamSim, load_dreamsim

CPU = torch.device("cpu")


class MeanDifference(torch.nn.Module):
    """A distance with the interface of DreamSim: the mean pixel difference."""

    def forward(self, one, other):
        assert one.shape == other.shape
        return (one - other).abs().mean(dim=(1, 2, 3))


def prepare(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255


def test_score_is_1_minus_the_distance_to_the_source():
    source = np.full((8, 8, 3), 100, np.uint8)
    frames = np.stack([source, source + 51, source - 51, source + 102])
    scores = DreamSim(MeanDifference(), prepare, CPU).score_frames(source, frames)
    np.testing.assert_allclose(scores, [1, 0.8, 0.8, 0.6], atol=1e-6)


def test_installed_package_is_loaded(dreamsim, monkeypatch):
    monkeypatch.syspath_prepend(dreamsim)
    monkeypatch.delitem(sys.modules, "dreamsim", raising=False)
    try:
        loaded = load_dreamsim(CPU, "weights")
    finally:
        sys.modules.pop("dreamsim", None)
    frames = draw_frames([0, 5])
    scores = loaded.score_frames(frames[0], frames)
    assert scores[0] == pytest.approx(1)
    assert scores[1] < 1
    assert len(loaded.sha256) == 64


def test_missing_package_raises(monkeypatch):
    monkeypatch.setitem(sys.modules, "dreamsim", None)
    with pytest.raises(EvaluationError, match="needs the package dreamsim"):
        load_dreamsim(CPU)
