"""The compiled parts of thumbnails give OpenCV's results."""

import itertools

import cv2
import numpy as np
import pytest

from curation.decode import thumbnail_kernel
from curation.decode.thumbnail import make_thumbnail

SHIFT = thumbnail_kernel.MAX_SHIFT


def draw(seed, side, blur=2.0):
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), blur), None, 0, 255, cv2.NORM_MINMAX)


def blur(grey):
    halved = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(halved.astype(np.float32), (3, 3), 0)


def describe(grey, colours=None):
    blurred, counts = np.empty(32 * 32, np.int16), np.empty(512, np.int32)
    colours = np.zeros((32, 32, 3), np.uint8) if colours is None else colours
    return thumbnail_kernel.describe(grey, colours, 4.0, blurred, counts), blurred, counts


def correlate_all(first, second):
    centre, windows = thumbnail_kernel.cut_centre(first), thumbnail_kernel.sum_windows(second)
    sums = thumbnail_kernel.sum_centre(centre)
    shifts = range(thumbnail_kernel.NUM_SHIFTS)
    return np.array([
        [thumbnail_kernel.correlate(centre, sums, second, y, x, windows[y, x]) for x in shifts] for y in shifts
    ])  # fmt: skip


def correlate_with_opencv(first, second):
    return cv2.matchTemplate(second, first[SHIFT:-SHIFT, SHIFT:-SHIFT].copy(), cv2.TM_CCOEFF_NORMED)


def list_thumbnails():
    """Textured, dark, nearly flat and flat thumbnails, and some that are flat only at the centre or at the edge."""
    textured = [draw(seed, 64)[..., 0] for seed in range(6)]
    flat_inside, flat_outside = textured[0].copy(), np.full((64, 64), 90, np.uint8)
    flat_inside[8:-8, 8:-8] = 37
    flat_outside[24:40, 24:40] = textured[1][24:40, 24:40]
    corner = np.full((64, 64), 201, np.uint8)
    corner[:4, :4] = 0
    return [*textured, textured[2] // 40, textured[3] // 120 + 7, flat_inside, flat_outside, corner, corner[::-1] // 20]


@pytest.mark.parametrize("blur_px", [0.5, 3.0, 30.0])
def test_thumbnail_of_the_default_resolution_equals_opencv(blur_px):
    rgb = draw(1, 256, blur_px)
    grey = np.ascontiguousarray(rgb[..., 1])
    expected = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)
    assert (make_thumbnail(grey, rgb).grey == expected).all()


def test_every_mean_is_rounded_as_in_opencv():
    totals = np.arange(4096) % 4081
    values = totals[:, None] // 16 + (np.arange(16) < totals[:, None] % 16)
    grey = values.reshape(64, 64, 4, 4).transpose(0, 2, 1, 3).reshape(256, 256).astype(np.uint8)
    averages = np.empty((64, 64), np.uint8)
    thumbnail_kernel.average_blocks(grey.view(np.uint32), averages)
    assert (averages == cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA)).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (64, 64), (97, 31), (256, 256)])
def test_colours_are_sampled_from_any_memory_layout(shape):
    rgba = np.random.default_rng(0).integers(0, 256, (*shape, 4), dtype=np.uint8)
    rows, columns = ((np.arange(32) * side + side // 2) // 32 for side in shape)
    expected = rgba[..., :3][rows[:, None], columns]
    read_only = np.ascontiguousarray(rgba[..., :3])
    read_only.flags.writeable = False
    grey = np.ascontiguousarray(rgba[..., 0])
    for rgb in (rgba[..., :3], read_only):
        assert (make_thumbnail(grey, rgb).colours == expected).all()


def test_flat_thumbnails_are_those_with_a_small_standard_deviation():
    exactly_four = np.full((64, 64), 100, np.uint8)
    exactly_four[::2] += 8
    below = exactly_four.copy()
    below[0, 0] -= 1
    for grey in (*list_thumbnails(), exactly_four, below):
        assert describe(grey)[0] == (grey.std() < 4.0)


def test_blurred_values_and_counts_equal_opencv():
    colours = draw(3, 32, 1.0)
    for grey in list_thumbnails():
        _, blurred, counts = describe(grey, colours)
        assert ((blurred.reshape(32, 32) + 2040) / 16 == blur(grey)).all()
        assert (counts == cv2.calcHist([colours], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel()).all()


def test_correlations_equal_opencv():
    for first, second in itertools.product(list_thumbnails(), repeat=2):
        expected = correlate_with_opencv(blur(first), blur(second))
        assert correlate_all(describe(first)[1], describe(second)[1]) == pytest.approx(expected, abs=1e-4)


def test_search_finds_what_the_maximum_of_all_shifts_shows():
    red, green, half = (np.zeros((32, 32, 3), np.uint8) for _ in range(3))
    red[..., 0], green[..., 1], half[:16, :, 0], half[16:, :, 1] = 200, 200, 200, 200
    thumbnails = list_thumbnails()
    thumbnails += [np.roll(thumbnails[0], shift, (0, 1)) for shift in ((4, 2), (-8, 6), (12, -12), (20, 0))]
    for first, second in itertools.product(thumbnails, repeat=2):
        best = max(correlate_with_opencv(*pair).max() for pair in itertools.permutations((blur(first), blur(second))))
        for colours, overlap in ((red, 1.0), (half, 0.5), (green, 0.0)):
            described = *describe(first, red)[1:], *describe(second, colours)[1:]
            found = thumbnail_kernel.reaches_threshold(*described, 0.75, 1.1)
            assert found == (best >= 0.75 or best + overlap >= 1.1)
