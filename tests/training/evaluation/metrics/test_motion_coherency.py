import math
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curation.decode import read_frames
from examples.draw_gifs import texture
from training.evaluation.errors import EvaluationError
from training.evaluation.metrics.motion_coherency import measure_frames, measure_motion_coherency, summarise_motion

REQUESTED = (2, 4, 6, 8, 11, 14)


def draw(dx: float = 0.0, dy: float = 0.0, seed: int = 3) -> np.ndarray:
    """Draw a texture shifted by (dx, dy) pixels."""
    y, x = np.mgrid[0:128, 0:128].astype(np.float64)
    return texture(x - dx, y - dy, seed)


def test_measured_motion_of_shifted_frames_is_the_shift():
    clips = [(draw(seed=seed), [draw(dx, seed=seed) for dx in REQUESTED]) for seed in (3, 4)]
    coherency = measure_motion_coherency(clips, REQUESTED)
    np.testing.assert_allclose(coherency.measured_px, REQUESTED, atol=0.5)
    assert coherency.averaged.pearson > 0.999
    assert coherency.averaged.rms_px < 0.5
    assert coherency.single.pearson > 0.99
    assert coherency.num_clips == 2
    assert coherency.num_still_frames == 0


def test_diagonal_motion_is_measured_by_its_length():
    assert measure_frames(draw(), [draw(3, 4)])[0] == pytest.approx(5, abs=0.3)


def test_motion_equals_the_motion_in_the_flow_table_of_a_data_set(small_shards: Path, listing: Path):
    """Training data and evaluation share one measure: the same two frames get the same number, to the last bit."""
    rows = pq.read_table(small_shards / "clips.parquet", columns=["clip_key", "uri", "num_pairs"]).to_pylist()
    measured = next(row for row in rows if row["num_pairs"])
    frames = read_frames(listing.parent / measured["uri"], 128).rgb
    flow = pq.read_table(small_shards / "flow").filter(pc.field("clip_key") == measured["clip_key"])
    for source in (0, 5):
        expected = flow.filter(pc.field("source_index") == source).sort_by("target_index")["motion_px"]
        assert np.array_equal(measure_frames(frames[source], frames[source + 1 :]), expected.to_numpy())


def test_motion_that_ignores_the_request_has_no_correlation():
    clips = [(draw(), [draw(6 + noise) for noise in (0.3, -0.3, 0.3, -0.3, 0.3, -0.3)])]
    coherency = measure_motion_coherency(clips, REQUESTED)
    assert abs(coherency.averaged.pearson) < 0.4
    assert coherency.averaged.rms_px > 3


def test_source_without_corners_has_motion_0():
    grey = np.full((64, 64, 3), 127, np.uint8)
    coherency = measure_motion_coherency([(grey, [grey, grey])], [3, 4])
    assert coherency.measured_px == (0, 0)
    assert coherency.num_still_frames == 2
    assert coherency.averaged.pearson is None
    assert coherency.averaged.rms_px == pytest.approx(math.sqrt((9 + 16) / 2))
    assert coherency.averaged.norm_px == pytest.approx(5)


def test_averaged_agreement_averages_over_clips_before_comparing():
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
def test_clips_that_do_not_fit_the_request_raise(clips, sentence):
    with pytest.raises(EvaluationError, match=sentence):
        measure_motion_coherency(clips, [1, 2])
