"""The kernel against the definition, against the truth, and at the edges of what a frame can be."""

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

from curation.flow import reference as flow
from curation.flow.lucas_kanade import all_pairs as lucas_kanade
from curation.flow.lucas_kanade.templates import new_work
from curation.flow.lucas_kanade.tracking import track_sources
from curation.jit import CHECKS_BOUNDS
from tests.curation.drawn import Clip, draw_clip, draw_frame, frames

ROOT = Path(__file__).resolve().parents[2]


def compare(grey: Clip) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return per pair the difference in motion and in tracked fraction, and whether [2, 20] agrees."""
    mine, my_fraction = lucas_kanade.measure_all_pairs(grey)
    theirs, their_fraction = flow.measure_all_pairs(grey)
    kept, theirs_kept = (mine >= 2) & (mine <= 20), (theirs >= 2) & (theirs <= 20)
    return np.abs(mine - theirs), np.abs(my_fraction - their_fraction), kept == theirs_kept


# Agreement


def test_a_drawn_clip_measures_as_the_definition_does() -> None:
    motion, fraction, kept = compare(draw_clip())
    assert np.median(motion) <= 0.002
    assert motion.max() <= 0.05
    assert fraction.max() <= 0.02
    assert kept.all()


def test_real_gifs_measure_as_the_definition_does(real_gifs: Path) -> None:
    measured = []
    for path in sorted(real_gifs.glob("natural/*.gif"))[::9]:
        with Image.open(path) as gif:
            rgb = [
                f.convert("RGB").resize((256, 256))
                for _, f in zip(range(10), ImageSequence.Iterator(gif), strict=False)
            ]
        measured.append(compare(np.stack([flow.to_grey(np.asarray(frame)) for frame in rgb])))
    motion, fraction, kept = (np.concatenate(column) for column in zip(*measured, strict=True))
    assert np.median(motion) <= 0.002
    assert np.quantile(motion, 0.95) <= 0.02
    assert np.quantile(motion, 0.99) <= 0.2
    assert kept.mean() >= 0.998
    assert fraction.mean() <= 0.02


# Truth


@pytest.mark.parametrize(("dx", "dy"), [(1.5, 0.0), (0.0, -2.25), (3.3, 4.7), (-7.5, 2.0), (9.6, -8.2), (-14.2, 6.1)])
def test_a_moved_texture_has_moved_by_hypot(dx: float, dy: float) -> None:
    clip = np.stack([draw_frame(), draw_frame(dx, dy)])
    motion_px, tracked_fraction = lucas_kanade.measure_all_pairs(clip)
    assert motion_px[0] == pytest.approx(np.hypot(dx, dy), abs=0.05)
    assert tracked_fraction[0] == 1.0


def test_frames_all_alike_have_not_moved() -> None:
    motion_px, tracked_fraction = lucas_kanade.measure_all_pairs(np.stack([draw_frame()] * 3))
    assert motion_px.tolist() == [0.0] * 3
    assert tracked_fraction.tolist() == [1.0] * 3


def test_no_corners_are_no_motion_and_nothing_tracked() -> None:
    motion_px, tracked_fraction = lucas_kanade.measure_all_pairs(np.full((3, 50, 50), 77, np.uint8))
    assert motion_px.tolist() == tracked_fraction.tolist() == [0.0] * 3


# Properties


@settings(max_examples=150, deadline=None)
@given(frames())
def test_any_frames_give_numbers_in_range(clip: Clip) -> None:
    motion_px, tracked_fraction = lucas_kanade.measure_all_pairs(clip)
    assert motion_px.shape == tracked_fraction.shape == (len(clip) * (len(clip) - 1) // 2,)
    assert np.isfinite(motion_px).all()
    assert ((motion_px == 0) | (motion_px > 1)).all()
    assert ((tracked_fraction >= 0) & (tracked_fraction <= 1)).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_corners_at_any_pixel_can_be_tracked(data: st.DataObject) -> None:
    clip = data.draw(frames())
    _, height, width = clip.shape
    pixels = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    chosen = [*data.draw(st.lists(pixels, min_size=1, max_size=6)), (0, 0), (width - 1, height - 1)]
    corners = np.array([chosen], np.float32)
    pyramid, num_levels = lucas_kanade.build_pyramids(clip)
    motion_px, tracked_fraction = np.zeros((2, len(clip) - 1), np.float32)
    track_sources(
        pyramid, num_levels, np.array([0]), corners, np.array([len(chosen)]), new_work(),
        motion_px, tracked_fraction, np.zeros(2, np.int64)
    )  # fmt: skip
    assert np.isfinite(motion_px).all()
    assert ((tracked_fraction >= 0) & (tracked_fraction <= 1)).all()


def test_bounds_hold_when_they_are_checked() -> None:
    if CHECKS_BOUNDS:
        pytest.skip("this is the run with bounds checking")
    chosen = "any_frames or any_pixel or all_alike or no_corners"
    files = [__file__, str(Path(__file__).with_name("test_corners.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *files]
    done = subprocess.run(
        command, env=os.environ | {"NUMBA_BOUNDSCHECK": "1"}, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


# The same bits


def test_again_is_the_same_bits() -> None:
    clip = draw_clip()
    first, again = lucas_kanade.measure_all_pairs(clip), lucas_kanade.measure_all_pairs(clip.copy())
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("cuts", [[0, 7], [0, 1, 7], [0, 3, 5, 7], list(range(8))])
def test_split_by_sources_is_the_same_bits(cuts: list[int]) -> None:
    clip = draw_clip()
    parts = [lucas_kanade.measure_all_pairs(clip, range(a, b)) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), lucas_kanade.measure_all_pairs(clip))


def test_more_targets_than_lanes_are_the_same_bits() -> None:
    short = draw_clip(5)
    clip = np.concatenate([short[:1], np.repeat(short[1:], 20, axis=0)])
    motion_px, _ = lucas_kanade.measure_all_pairs(clip, range(1))
    expected, _ = lucas_kanade.measure_all_pairs(short, range(1))
    np.testing.assert_array_equal(motion_px, np.repeat(expected, 20))


def test_threads_do_not_disturb_each_other() -> None:
    clip = draw_clip()
    expected = lucas_kanade.measure_all_pairs(clip)
    measured: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    threads = [threading.Thread(target=lambda: measured.append(lucas_kanade.measure_all_pairs(clip))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in measured:
        np.testing.assert_array_equal(result, expected)
    assert len(measured) == 4


def test_pairs_are_ordered_by_source_then_target() -> None:
    clip = draw_clip(4)
    alone = [lucas_kanade.measure_all_pairs(clip[[i, j]])[0][0] for i in range(4) for j in range(i + 1, 4)]
    assert lucas_kanade.measure_all_pairs(clip)[0].tolist() == alone


# What goes in, and what it takes


@pytest.mark.parametrize("num_frames", [0, 1])
def test_too_few_frames_have_no_pairs(num_frames: int) -> None:
    motion_px, tracked_fraction = lucas_kanade.measure_all_pairs(np.zeros((num_frames, 9, 9), np.uint8))
    assert len(motion_px) == len(tracked_fraction) == 0


@pytest.mark.parametrize("grey", [np.zeros((2, 9, 9), np.float32), np.zeros((2, 9, 9, 3), np.uint8)])
def test_anything_but_grey_frames_is_refused(grey: Clip) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        lucas_kanade.measure_all_pairs(grey)


def test_memory_is_what_the_formula_tells() -> None:
    clip = np.stack([draw_frame(t) for t in range(30)])
    lucas_kanade.measure_all_pairs(clip[:2])
    code = (
        "import resource, sys, numpy as np; from curation import lucas_kanade as k\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "clip = np.tile(np.random.default_rng(0).integers(0, 256, (1, 128, 128), dtype=np.uint8), (400, 1, 1))\n"
        "k.measure_all_pairs(clip[:2, :64, :64]); before = peak(); k.measure_all_pairs(clip, range(2))\n"
        "print(peak() - before, k.count_working_bytes(*clip.shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    grown, told = map(int, done.stdout.split())
    assert grown <= told * 1.1 + 2**20
    assert lucas_kanade.count_working_bytes(572, 256, 256) < 80e6
