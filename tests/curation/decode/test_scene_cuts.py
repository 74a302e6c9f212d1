"""Scene cuts are found in drawn clips; fades, flashes and pans are not mistaken for cuts."""

import numpy as np
import pytest

from curation.decode.scene_cuts import SceneDetector
from curation.decode.thumbnail import make_thumbnail
from curation.flow.reference import to_grey
from examples.draw_scenes import EDITS, draw_edit, film, to_arrays


def find_scenes(frames):
    detector = SceneDetector()
    for rgb in frames:
        detector.add(make_thumbnail(to_grey(rgb), rgb))
    return detector.scenes


@pytest.mark.parametrize("kind", EDITS)
def test_scenes_of_each_kind_of_edit_are_found(kind):
    clips = [draw_edit(kind, seed) for seed in range(4)]
    assert [find_scenes(to_arrays(clip.frames)) for clip in clips] == [clip.scenes for clip in clips]


def test_three_scenes_are_numbered_in_order():
    frames = [frame for seed in (1, 2, 3) for frame in to_arrays(film(seed, 3))]
    assert find_scenes(frames) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_flat_frames_keep_the_current_scene():
    black, white = (np.full((64, 64, 3), value, np.uint8) for value in (0, 255))
    scene = to_arrays(film(1, 2), 64)
    assert find_scenes([black, white, black]) == [0, 0, 0]
    assert find_scenes([black, *scene, white, *scene]) == [0] * 6


def test_frames_of_one_pixel_are_one_scene():
    assert find_scenes([np.zeros((1, 1, 3), np.uint8)] * 2) == [0, 0]
