"""Measured motion equals the length of the drawn motion."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.flow.reference import find_corners, measure_all_pairs, measure_motion, to_grey, track
from examples.draw_gifs import texture


def draw_grey(dx: float, dy: float, num_frames: int = 2, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a texture that moves by (dx, dy) pixels per frame, uint8 [T, 256, 256]."""
    y, x = np.mgrid[0:256, 0:256].astype(np.float64)
    return np.stack([to_grey(texture(x - dx * t, y - dy * t, seed)) for t in range(num_frames)])


@pytest.mark.parametrize(
    ("dx", "dy"),
    [(1.5, 0), (0, 2.25), (3, 4), (-2.4, 0.7), (5.3, -1.1), (-8, -6), (12.4, 3.3), (1.02, 0)],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_moving_texture_is_measured_to_0_05_px(dx: float, dy: float, seed: int) -> None:
    source, target = draw_grey(dx, dy, seed=seed)
    corners = find_corners(source)
    assert corners is not None
    inner = corners[((corners > 48) & (corners < 208)).all(axis=(1, 2))]
    motion_px, tracked_fraction = track(source, target, inner)
    assert motion_px == pytest.approx(math.hypot(dx, dy), abs=0.05)
    assert tracked_fraction == 1
    # Corners at the border count too. Some leave the frame and are matched elsewhere.
    assert measure_motion(source, target)[0] == pytest.approx(math.hypot(dx, dy), abs=0.2)


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (0.5, 0), (0.6, -0.7)])
def test_displacements_up_to_one_pixel_are_excluded(dx: float, dy: float) -> None:
    motion_px, tracked_fraction = measure_motion(*draw_grey(dx, dy))
    assert motion_px == 0
    assert tracked_fraction > 0.9


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_frame_has_no_motion(level: int) -> None:
    flat = np.full((256, 256), level, np.uint8)
    textured = draw_grey(0, 0)[0]
    assert find_corners(flat) is None
    assert measure_motion(flat, textured) == (0, 0)


def test_lost_corners_are_excluded_from_the_mean() -> None:
    source, target = draw_grey(3, 0)
    cut = target.copy()
    cut[:, :128] = 128
    motion_px, tracked_fraction = measure_motion(source, cut)
    assert tracked_fraction < measure_motion(source, target)[1]
    assert 1 < motion_px < 20


def test_still_corners_are_excluded_from_the_mean() -> None:
    source, target = draw_grey(4, 0)
    half = source.copy()
    half[:, 128:] = target[:, 128:]
    motion_px, _ = measure_motion(source, half)
    assert motion_px == pytest.approx(4, abs=0.3)


def test_all_pairs_equal_single_measurements_in_order() -> None:
    grey = np.concatenate([draw_grey(1.7, 0.4, 5), np.full((1, 256, 256), 90, np.uint8), draw_grey(0, 3, 2, seed=1)])
    motion_px, tracked_fraction = measure_all_pairs(grey)
    alone = [measure_motion(grey[i], grey[j]) for i, j in zip(*np.triu_indices(len(grey), k=1), strict=True)]
    assert motion_px.dtype == tracked_fraction.dtype == np.float32
    assert np.array_equal(np.stack([motion_px, tracked_fraction], axis=1), np.array(alone, np.float32))
    assert len(np.unique(motion_px)) > 10


def test_pairs_can_be_measured_by_ranges_of_source_frames() -> None:
    grey = draw_grey(2, 1, 6)
    pieces = [measure_all_pairs(grey, sources) for sources in (range(2), range(2, 3), range(3, 6))]
    for whole, piece in zip(measure_all_pairs(grey), zip(*pieces, strict=True), strict=True):
        assert np.array_equal(whole, np.concatenate(piece))


def test_one_frame_has_no_pairs() -> None:
    motion_px, tracked_fraction = measure_all_pairs(draw_grey(1, 1, 1))
    assert motion_px.shape == tracked_fraction.shape == (0,)


def test_no_corners_give_no_motion() -> None:
    assert track(*draw_grey(2, 2), None) == (0, 0)


def test_grey_uses_the_bt601_weights() -> None:
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert to_grey(rgb).tolist() == [[76, 150, 29, 255]]
