import math

import numpy as np
import pytest

from curation.flow.reference import measure_motion, to_grey
from examples.draw_gifs import texture
from training.evaluation.errors import EvaluationError
from training.evaluation.metrics.motion_coherency import measure_frames, measure_motion_coherency, summarise_motion

REQUESTED = (2, 4, 6, 8, 11, 14)


def draw(dx: float = 0.0, dy: float = 0.0, seed: int = 3) -> np.ndarray:
    """A texture moved by (dx, dy) pixels."""
    y, x = np.mgrid[0:128, 0:128].astype(np.float64)
    return texture(x - dx, y - dy, seed)


def test_translated_frames_are_measured_as_they_were_moved():
    clips = [(draw(seed=seed), [draw(dx, seed=seed) for dx in REQUESTED]) for seed in (3, 4)]
    coherency = measure_motion_coherency(clips, REQUESTED)
    np.testing.assert_allclose(coherency.measured_px, REQUESTED, atol=0.5)
    assert coherency.averaged.pearson > 0.999
    assert coherency.averaged.rms_px < 0.5
    assert coherency.single.pearson > 0.99
    assert coherency.num_clips == 2
    assert coherency.num_still_frames == 0


def test_a_diagonal_motion_counts_by_its_length():
    assert measure_frames(draw(), [draw(3, 4)])[0] == pytest.approx(5, abs=0.3)


def test_the_number_is_that_of_curation():
    source, frame = draw(), draw(5, 2)
    assert measure_frames(source, [frame])[0] == measure_motion(to_grey(source), to_grey(frame))[0]


def test_a_model_that_ignores_the_request_is_found_out():
    clips = [(draw(), [draw(6 + noise) for noise in (0.3, -0.3, 0.3, -0.3, 0.3, -0.3)])]
    coherency = measure_motion_coherency(clips, REQUESTED)
    assert abs(coherency.averaged.pearson) < 0.4
    assert coherency.averaged.rms_px > 3


def test_a_source_without_a_corner_counts_as_no_motion():
    grey = np.full((64, 64, 3), 127, np.uint8)
    coherency = measure_motion_coherency([(grey, [grey, grey])], [3, 4])
    assert coherency.measured_px == (0, 0)
    assert coherency.num_still_frames == 2
    assert coherency.averaged.pearson is None
    assert coherency.averaged.rms_px == pytest.approx(math.sqrt((9 + 16) / 2))
    assert coherency.averaged.norm_px == pytest.approx(5)


def test_averaging_over_clips_comes_before_the_comparison():
    """Two clips that err to either side are right on average, and wrong one by one."""
    coherency = summarise_motion([2, 4], np.array([[1.0, 3.0], [3.0, 5.0]]))
    assert coherency.measured_px == (2, 4)
    assert coherency.deviation_px == (1, 1)
    assert coherency.averaged.rms_px == 0
    assert coherency.single.rms_px == pytest.approx(1)
    assert coherency.single.norm_px == pytest.approx(2)
    assert coherency.single.pearson == pytest.approx(np.corrcoef([2, 4, 2, 4], [1, 3, 3, 5])[0, 1])


@pytest.mark.parametrize(
    ("clips", "sentence"),
    [
        ([], "no frames"),
        ([(draw(), [draw(1)])], "^clip 0 has 1 frames to measure, but 2 motions"),
        ([(draw(), [draw(1), draw(2)[:64]])], "128 x 64 and its source 128 x 128"),
    ],
)
def test_what_cannot_be_compared_is_refused(clips, sentence):
    with pytest.raises(EvaluationError, match=sentence):
        measure_motion_coherency(clips, [1, 2])
