import numpy as np
import pytest

from curation.decode.scene_cuts import SceneDetector
from curation.decode.thumbnail import make_thumbnail
from curation.flow import reference as flow
from examples.draw_scenes import EDITS, draw_edit, film, to_arrays


def find_scenes(frames):
    detector = SceneDetector()
    for rgb in frames:
        detector.add(make_thumbnail(flow.to_grey(rgb), rgb))
    return detector.scenes


@pytest.mark.parametrize("kind", EDITS)
def test_what_an_editor_did_is_seen_for_what_it_is(kind):
    clips = [draw_edit(kind, seed) for seed in range(4)]
    assert [find_scenes(to_arrays(clip.frames)) for clip in clips] == [clip.scenes for clip in clips]


def test_three_scenes_are_three_shots():
    frames = [frame for seed in (1, 2, 3) for frame in to_arrays(film(seed, 3))]
    assert find_scenes(frames) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_frames_without_texture_say_nothing():
    black, white = (np.full((64, 64, 3), value, np.uint8) for value in (0, 255))
    scene = to_arrays(film(1, 2), 64)
    assert find_scenes([black, white, black]) == [0, 0, 0]
    assert find_scenes([black, *scene, white, *scene]) == [0] * 6


def test_frames_of_one_pixel_can_be_looked_at():
    assert find_scenes([np.zeros((1, 1, 3), np.uint8)] * 2) == [0, 0]
