import numpy as np
import pytest
import scipy.linalg
import torch

from tests.training.evaluation.helpers import NUM_FEATURES, draw_frames
from training.evaluation.errors import EvaluationError
from training.evaluation.metrics.fvd import I3D, find_i3d, frechet_distance, measure_fvd

CPU = torch.device("cpu")


def gaussian(mean: np.ndarray, root: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Draw features whose sample mean and covariance are exactly `mean` and root root^T."""
    drawn = np.random.default_rng(seed).standard_normal((num, len(mean)))
    drawn -= drawn.mean(axis=0)
    drawn = drawn @ np.linalg.inv(np.linalg.cholesky(np.cov(drawn, rowvar=False))).T
    return drawn @ root.T + mean


def published(real: np.ndarray, generated: np.ndarray) -> float:
    """Compute FVD as the published implementations do."""
    one, two = (np.cov(each, rowvar=False) for each in (real, generated))
    square = np.square(real.mean(axis=0) - generated.mean(axis=0)).sum()
    return float(np.real(square + np.trace(one + two - 2 * scipy.linalg.sqrtm(one @ two))))


def test_distance_of_diagonal_gaussians_has_a_closed_form():
    """For covariances diag(a^2) and diag(b^2): |m|^2 + sum (a - b)^2."""
    a, b, mean = np.array([1.0, 2.0, 0.5]), np.array([3.0, 1.0, 0.5]), np.array([1.0, -2.0, 2.0])
    distance = frechet_distance(gaussian(np.zeros(3), np.diag(a), 50, seed=0), gaussian(mean, np.diag(b), 70, seed=1))
    assert distance == pytest.approx(9 + 4 + 1, abs=1e-8)


def test_distance_equals_the_one_from_eigenvalues():
    """tr (S1 S2)^1/2 is also the sum of the square roots of the eigenvalues of S1^1/2 S2 S1^1/2."""
    rng = np.random.default_rng(3)
    roots = rng.standard_normal((2, 5, 5))
    features = [gaussian(np.zeros(5), root, 40, seed) for seed, root in enumerate(roots)]
    one, two = (root @ root.T for root in roots)
    half = scipy.linalg.sqrtm(one)
    expected = np.trace(one + two) - 2 * np.sqrt(np.linalg.eigvalsh(half @ two @ half)).sum()
    assert frechet_distance(*features) == pytest.approx(expected, abs=1e-6)


def test_fvd_equals_the_published_implementations():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((400, 400)) / 20
    real = rng.standard_normal((512, 400)) @ mixing
    generated = rng.standard_normal((512, 400)) @ mixing * 1.1 + 0.05
    assert measure_fvd(real, generated).fvd == pytest.approx(published(real, generated), abs=1e-6)


@pytest.mark.parametrize("wrap", [lambda root: (root, 0.0), lambda root: root + 1e-12j])
def test_results_of_other_scipy_versions_are_accepted(wrap, monkeypatch):
    features = np.random.default_rng(0).standard_normal((2, 30, 4))
    expected, sqrtm = frechet_distance(*features), scipy.linalg.sqrtm
    monkeypatch.setattr(scipy.linalg, "sqrtm", lambda matrix: wrap(sqrtm(matrix)))
    assert frechet_distance(*features) == pytest.approx(expected, abs=1e-9)


def test_distance_of_equal_features_is_0():
    features = np.random.default_rng(0).standard_normal((30, 4))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-8)


def test_features_that_are_not_finite_raise():
    features = np.random.default_rng(0).standard_normal((30, 4))
    with pytest.raises(EvaluationError, match="not finite"):
        frechet_distance(features, np.where(features > 1, np.inf, features))


def test_too_few_videos_raise_and_fewer_than_the_papers_warn():
    features = np.random.default_rng(0).standard_normal((401, 400))
    with pytest.raises(EvaluationError, match=r"from 400 videos: a covariance of 400 features needs at least 401"):
        measure_fvd(features[:400], features[:400])
    with pytest.raises(EvaluationError, match="401 real and 400 generated"):
        measure_fvd(features, features[:400])
    notes = []
    small = measure_fvd(features[:, :4], features[::-1, :4] + 1, notes.append)
    assert small.num_videos == 401
    assert small.bias > 0
    assert len(notes) == 1
    assert "401 videos is biased upwards" in notes[0]


def test_as_many_videos_as_the_papers_do_not_warn():
    features = np.random.default_rng(0).standard_normal((2048, 3))
    notes = []
    measure_fvd(features, features, notes.append)
    assert notes == []


def test_i3d_resizes_and_scales_frames(networks):
    i3d = I3D(find_i3d(networks), CPU)
    still, moving = (i3d.extract(draw_frames(offsets)) for offsets in ([0] * 10, range(0, 20, 2)))
    assert still.shape == (NUM_FEATURES,)
    assert still.dtype == np.float64
    assert still[3] == 0
    assert moving[3] > 0.1
    white = i3d.extract(np.full((10, 64, 64, 3), 255, np.uint8))
    np.testing.assert_allclose(white[:3], 10, atol=1e-4)
    assert len(i3d.sha256) == 64


def test_missing_or_invalid_i3d_raises(tmp_path):
    (tmp_path / "i3d.pt").write_text("weights")
    with pytest.raises(EvaluationError, match="cannot be loaded as TorchScript"):
        I3D(tmp_path / "i3d.pt", CPU)
    for place in (tmp_path / "gone.pt", tmp_path):
        with pytest.raises(EvaluationError, match=r"^there are no weights of I3D at"):
            find_i3d(place)


def test_torchscript_of_another_network_raises(tmp_path):
    other = torch.jit.script(torch.nn.Linear(3, 3))
    torch.jit.save(other, str(tmp_path / "linear.pt"))
    with pytest.raises(EvaluationError, match="I3D failed on a video of 10 frames"):
        I3D(tmp_path / "linear.pt", CPU).extract(draw_frames(range(10)))
