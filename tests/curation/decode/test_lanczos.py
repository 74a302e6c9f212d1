"""Compiled resampling gives the bytes that Pillow gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.decode.lanczos import resample, resize

sides = st.one_of(st.integers(1, 40), st.sampled_from([15, 16, 17, 31, 32, 33, 64, 65, 128, 255, 256, 257, 400, 500]))


def resize_with_pillow(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


@settings(max_examples=120, deadline=None)
@given(sides, sides, st.sampled_from([16, 64, 100, 256]), st.integers(0, 2**32 - 1))
def test_noise_of_any_size_is_resampled_as_by_pillow(height, width, side, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resample(pixels, side), resize_with_pillow(pixels, side))


@pytest.mark.parametrize("value", [0, 255])
def test_extremes_are_clipped_as_pillow_clips_them(value):
    pixels = np.full((90, 70, 3), value, np.uint8)
    pixels[::2, ::3] ^= 255
    np.testing.assert_array_equal(resample(pixels, 256), resize_with_pillow(pixels, 256))


def test_later_pictures_of_a_size_are_resized_as_by_pillow():
    rng = np.random.default_rng(0)
    for _ in range(3):
        pixels = rng.integers(0, 256, (61, 83, 3), dtype=np.uint8)
        np.testing.assert_array_equal(resize(pixels, 64), resize_with_pillow(pixels, 64))


def test_size_with_a_different_result_is_resized_by_pillow(monkeypatch):
    # Patched, because no installed Pillow has such a size.
    monkeypatch.setattr("curation.decode.lanczos.resample", lambda pixels, side: np.zeros((side, side, 3), np.uint8))
    rng = np.random.default_rng(0)
    for _ in range(3):
        pixels = rng.integers(1, 256, (62, 84, 3), dtype=np.uint8)
        np.testing.assert_array_equal(resize(pixels, 64), resize_with_pillow(pixels, 64))
