"""Compiled corners equal OpenCV's, including the order of ties."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from curation.flow import reference
from curation.flow.lucas_kanade.all_pairs import build_pyramids, corners_match_opencv, find_all_corners
from curation.flow.lucas_kanade.corners import MIN_SIDE, supports_size
from tests.curation.flow.helpers import Clip, frames


def find_with_opencv(frame: Clip) -> NDArray[np.float32]:
    corners = reference.find_corners(frame)
    return np.zeros((0, 2), np.float32) if corners is None else corners[:, 0]


@pytest.mark.parametrize("shape", [(256, 256), (97, 203), (MIN_SIDE, 48), (MIN_SIDE - 1, 48), (90, 64), (3, 3), (5, 1)])
def test_corners_equal_opencv(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    clip = np.stack([
        rng.integers(0, 256, shape), np.kron(rng.integers(0, 256, (40, 40)), np.ones((7, 7)))[: shape[0], : shape[1]],
        cv2.GaussianBlur(rng.integers(0, 256, shape).astype(np.float32), (0, 0), 3), np.full(shape, 9),
    ]).astype(np.uint8)  # fmt: skip
    pyramid, _ = build_pyramids(clip)
    corners, num_corners = find_all_corners(clip, pyramid[0], np.arange(len(clip)))
    for frame, frame_corners, num in zip(clip, corners, num_corners, strict=True):
        np.testing.assert_array_equal(frame_corners[:num], find_with_opencv(frame))


def test_tied_corners_equal_opencv() -> None:
    # May fail only on a processor where OpenCV rounds differently. There, OpenCV finds the corners.
    assert supports_size(256, 256)
    assert corners_match_opencv()


@settings(max_examples=60, deadline=None)
@given(frames())
def test_corners_of_any_frames_equal_opencv(clip: Clip) -> None:
    pyramid, _ = build_pyramids(clip)
    corners, num_corners = find_all_corners(clip, pyramid[0], np.array([0]))
    first, expected = corners[0, : num_corners[0]], find_with_opencv(clip[0])
    if not np.array_equal(first, expected):
        # On stripes, whole rows of corners tie and the processor decides; then their scores are equal.
        strength = cv2.cornerMinEigenVal(clip[0], 7)
        scores, expected_scores = (strength[tuple(points.astype(int).T[::-1])] for points in (first, expected))
        np.testing.assert_allclose(scores, expected_scores[: len(scores)], rtol=1e-4)
        assert len(first) == len(expected)
