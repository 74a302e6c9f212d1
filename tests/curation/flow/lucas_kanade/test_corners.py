"""Compiled corners are OpenCV's, to the last tie."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from curation.flow import reference as flow
from curation.flow.lucas_kanade import all_pairs as lucas_kanade
from curation.flow.lucas_kanade.corners import MIN_SIDE, suits
from tests.curation.drawn import Clip, frames


def corners_of_opencv(frame: Clip) -> NDArray[np.float32]:
    found = flow.find_corners(frame)
    return np.zeros((0, 2), np.float32) if found is None else found[:, 0]


@pytest.mark.parametrize("shape", [(256, 256), (97, 203), (MIN_SIDE, 48), (MIN_SIDE - 1, 48), (90, 64), (3, 3), (5, 1)])
def test_corners_are_those_of_opencv(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    clip = np.stack([
        rng.integers(0, 256, shape), np.kron(rng.integers(0, 256, (40, 40)), np.ones((7, 7)))[: shape[0], : shape[1]],
        cv2.GaussianBlur(rng.integers(0, 256, shape).astype(np.float32), (0, 0), 3), np.full(shape, 9),
    ]).astype(np.uint8)  # fmt: skip
    pyramid, _ = lucas_kanade.build_pyramids(clip)
    corners, num_corners = lucas_kanade.find_all_corners(clip, pyramid[0], np.arange(len(clip)))
    for frame, found, num in zip(clip, corners, num_corners, strict=True):
        np.testing.assert_array_equal(found[:num], corners_of_opencv(frame))


def test_corners_that_tie_are_those_of_opencv() -> None:
    # Only a processor on which OpenCV rounds otherwise may say no here, and then OpenCV finds the corners.
    assert suits(256, 256)
    assert lucas_kanade._compiled_corners_are_those_of_opencv()


@settings(max_examples=60, deadline=None)
@given(frames())
def test_any_frames_have_the_corners_of_opencv(clip: Clip) -> None:
    pyramid, _ = lucas_kanade.build_pyramids(clip)
    corners, num_corners = lucas_kanade.find_all_corners(clip, pyramid[0], np.array([0]))
    found, expected = corners[0, : num_corners[0]], corners_of_opencv(clip[0])
    if not np.array_equal(found, expected):
        # On stripes whole rows of corners tie, and a processor's last bit decides: then they are as strong.
        strength = cv2.cornerMinEigenVal(clip[0], 7)
        strong, stronger = (strength[tuple(points.astype(int).T[::-1])] for points in (found, expected))
        np.testing.assert_allclose(strong, stronger[: len(strong)], rtol=1e-4)
        assert len(found) == len(expected)
