"""The kernel agrees with the reference and with known motion, and handles frames of any size and content."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from curation.flow import reference
from curation.flow.lucas_kanade import all_pairs
from curation.flow.lucas_kanade.templates import allocate_buffers
from curation.flow.lucas_kanade.tracking import track_sources
from curation.jit import CHECKS_BOUNDS
from tests.curation.flow.helpers import Clip, draw_clip, draw_frame, frames

ROOT = Path(__file__).resolve().parents[4]


def compare(grey: Clip) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Compare the kernel with the reference.

    Returns per pair the difference in motion in px, the difference in tracked fraction, and whether both or neither
    motion is in [2, 20].
    """
    motion_px, fraction = all_pairs.measure_all_pairs(grey)
    expected_px, expected_fraction = reference.measure_all_pairs(grey)
    in_range, expected_in_range = ((motion >= 2) & (motion <= 20) for motion in (motion_px, expected_px))
    return np.abs(motion_px - expected_px), np.abs(fraction - expected_fraction), in_range == expected_in_range


def test_drawn_clip_agrees_with_the_reference() -> None:
    motion, fraction, kept = compare(draw_clip())
    assert np.median(motion) <= 0.002
    assert motion.max() <= 0.05
    assert fraction.max() <= 0.02
    assert kept.all()


def test_real_gifs_agree_with_the_reference(real_gifs: Path) -> None:
    measured = []
    for path in sorted(real_gifs.glob("natural/*.gif"))[::9]:
        with Image.open(path) as gif:
            rgb = [
                f.convert("RGB").resize((256, 256))
                for _, f in zip(range(10), ImageSequence.Iterator(gif), strict=False)
            ]
        measured.append(compare(np.stack([reference.to_grey(np.asarray(frame)) for frame in rgb])))
    motion, fraction, kept = (np.concatenate(column) for column in zip(*measured, strict=True))
    assert np.median(motion) <= 0.002
    assert np.quantile(motion, 0.95) <= 0.02
    assert np.quantile(motion, 0.99) <= 0.2
    assert kept.mean() >= 0.998
    assert fraction.mean() <= 0.02


@pytest.mark.parametrize(("dx", "dy"), [(1.5, 0.0), (0.0, -2.25), (3.3, 4.7), (-7.5, 2.0), (9.6, -8.2), (-14.2, 6.1)])
def test_moved_texture_is_measured_to_0_05_px(dx: float, dy: float) -> None:
    clip = np.stack([draw_frame(), draw_frame(dx, dy)])
    motion_px, tracked_fraction = all_pairs.measure_all_pairs(clip)
    assert motion_px[0] == pytest.approx(np.hypot(dx, dy), abs=0.05)
    assert tracked_fraction[0] == 1.0


def test_all_alike_frames_have_no_motion() -> None:
    motion_px, tracked_fraction = all_pairs.measure_all_pairs(np.stack([draw_frame()] * 3))
    assert motion_px.tolist() == [0.0] * 3
    assert tracked_fraction.tolist() == [1.0] * 3


def test_no_corners_give_no_motion_and_tracked_fraction_0() -> None:
    motion_px, tracked_fraction = all_pairs.measure_all_pairs(np.full((3, 50, 50), 77, np.uint8))
    assert motion_px.tolist() == tracked_fraction.tolist() == [0.0] * 3


@settings(max_examples=150, deadline=None)
@given(frames())
def test_any_frames_give_finite_results_in_range(clip: Clip) -> None:
    motion_px, tracked_fraction = all_pairs.measure_all_pairs(clip)
    assert motion_px.shape == tracked_fraction.shape == (len(clip) * (len(clip) - 1) // 2,)
    assert np.isfinite(motion_px).all()
    assert ((motion_px == 0) | (motion_px > 1)).all()
    assert ((tracked_fraction >= 0) & (tracked_fraction <= 1)).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_corner_at_any_pixel_can_be_tracked(data: st.DataObject) -> None:
    clip = data.draw(frames())
    _, height, width = clip.shape
    pixels = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    points = [*data.draw(st.lists(pixels, min_size=1, max_size=6)), (0, 0), (width - 1, height - 1)]
    corners = np.array([points], np.float32)
    pyramid, num_levels = all_pairs.build_pyramids(clip)
    motion_px, tracked_fraction = np.zeros((2, len(clip) - 1), np.float32)
    track_sources(
        pyramid, num_levels, np.array([0]), corners, np.array([len(points)]), allocate_buffers(),
        motion_px, tracked_fraction, np.zeros(2, np.int64)
    )  # fmt: skip
    assert np.isfinite(motion_px).all()
    assert ((tracked_fraction >= 0) & (tracked_fraction <= 1)).all()


@pytest.mark.slow
def test_no_array_index_is_out_of_bounds() -> None:
    if CHECKS_BOUNDS:
        pytest.skip("already running with bounds checking")
    selected = "any_frames or any_pixel or all_alike or no_corners"
    files = [__file__, str(Path(__file__).with_name("test_corners.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", selected, *files]
    done = subprocess.run(
        command, env=os.environ | {"NUMBA_BOUNDSCHECK": "1"}, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_repeated_measurement_is_bit_identical() -> None:
    clip = draw_clip()
    first, second = all_pairs.measure_all_pairs(clip), all_pairs.measure_all_pairs(clip.copy())
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("cuts", [[0, 7], [0, 1, 7], [0, 3, 5, 7], list(range(8))])
def test_slices_by_source_frames_are_bit_identical(cuts: list[int]) -> None:
    clip = draw_clip()
    parts = [all_pairs.measure_all_pairs(clip, range(a, b)) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), all_pairs.measure_all_pairs(clip))


def test_more_targets_than_lanes_are_bit_identical() -> None:
    short = draw_clip(5)
    clip = np.concatenate([short[:1], np.repeat(short[1:], 20, axis=0)])
    motion_px, _ = all_pairs.measure_all_pairs(clip, range(1))
    expected, _ = all_pairs.measure_all_pairs(short, range(1))
    np.testing.assert_array_equal(motion_px, np.repeat(expected, 20))


def test_threads_get_bit_identical_results() -> None:
    clip = draw_clip()
    expected = all_pairs.measure_all_pairs(clip)
    measured: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    threads = [threading.Thread(target=lambda: measured.append(all_pairs.measure_all_pairs(clip))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in measured:
        np.testing.assert_array_equal(result, expected)
    assert len(measured) == 4


def test_pairs_are_ordered_by_source_then_target() -> None:
    clip = draw_clip(4)
    single = [all_pairs.measure_all_pairs(clip[[i, j]])[0][0] for i in range(4) for j in range(i + 1, 4)]
    assert all_pairs.measure_all_pairs(clip)[0].tolist() == single


@pytest.mark.parametrize("num_frames", [0, 1])
def test_too_few_frames_have_no_pairs(num_frames: int) -> None:
    motion_px, tracked_fraction = all_pairs.measure_all_pairs(np.zeros((num_frames, 9, 9), np.uint8))
    assert len(motion_px) == len(tracked_fraction) == 0


@pytest.mark.parametrize("grey", [np.zeros((2, 9, 9), np.float32), np.zeros((2, 9, 9, 3), np.uint8)])
def test_array_that_is_not_grey_frames_raises_value_error(grey: Clip) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        all_pairs.measure_all_pairs(grey)


def test_memory_is_as_documented() -> None:
    code = (
        "import resource, numpy as np; from curation.flow.lucas_kanade.all_pairs import measure_all_pairs\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "clip = np.tile(np.random.default_rng(0).integers(0, 256, (1, 128, 128), dtype=np.uint8), (400, 1, 1))\n"
        "measure_all_pairs(clip[:2, :64, :64]); before = peak(); measure_all_pairs(clip, range(2))\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    pyramid_bytes = 400 * sum((128 // 2**level + 32) ** 2 for level in range(3))
    result_bytes = 4 * 400**2
    assert int(done.stdout) <= 1.1 * (pyramid_bytes + result_bytes) + 2**20
