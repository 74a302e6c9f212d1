"""Resampling agrees with Pillow's to one grey level, and grey with OpenCV's to the bit."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.decode.gif.drawing import allocate_pixels
from curation.decode.lanczos import Resizer

sides = st.one_of(st.integers(1, 40), st.sampled_from([15, 16, 17, 31, 32, 33, 64, 65, 128, 255, 256, 257, 400, 500]))


def resize(rgb: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Resize a picture, uint8 [H, W, 3]; return RGB and grey."""
    rows, columns = rgb.shape[:2]
    pixels = allocate_pixels(columns, rows)
    pixels.view(np.uint8).reshape(*pixels.shape, 4)[:columns, :rows, :3] = rgb.transpose(1, 0, 2)
    planes, grey = Resizer((columns, rows), (width, height)).resize(pixels)
    return np.moveaxis(planes, 0, -1), grey


def resize_with_pillow(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize by Pillow, the width first: some versions choose the order by the size, which changes the rounding."""
    picture = Image.fromarray(rgb).resize((width, rgb.shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))


@settings(max_examples=120, deadline=None)
@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
def test_noise_of_any_size_is_resized_as_by_pillow(rows, columns, width, height, seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    resized, grey = resize(rgb, width, height)
    difference = resized.astype(int) - resize_with_pillow(rgb, width, height)
    assert np.abs(difference).max() <= 1
    np.testing.assert_array_equal(grey, cv2.cvtColor(np.ascontiguousarray(resized), cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize("value", [0, 255])
def test_extremes_are_clipped_as_pillow_clips_them(value):
    rgb = np.full((90, 70, 3), value, np.uint8)
    rgb[::2, ::3] ^= 255
    difference = resize(rgb, 256, 256)[0].astype(int) - resize_with_pillow(rgb, 256, 256)
    assert np.abs(difference).max() <= 1


def test_picture_of_the_target_size_is_unchanged():
    rgb = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    np.testing.assert_array_equal(resize(rgb, 83, 61)[0], rgb)
