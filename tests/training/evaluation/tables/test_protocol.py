"""The authors' protocol where it is known from their code: frames, prompts, filter and noise."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.evaluation.helpers import draw_frames, draw_ucf101
from training.evaluation.config import SamplingConfig, Table1Config
from training.evaluation.inputs.frames import read_frames
from training.evaluation.inputs.video_sets import VideoClip, find_ucf101
from training.evaluation.tables.frame_origins import ModelFrames, Request
from training.evaluation.tables.table1 import Networks, VideoSet
from training.evaluation.tables.work_cache import WorkCache


class RecordingI3D:
    """Returns the frames that it is given."""

    sha256 = "none"

    def extract(self, frames):
        return frames.astype(np.float64)


@pytest.fixture
def video_set(tmp_path):
    return VideoSet(
        name="ucf-101",
        clips=find_ucf101(draw_ucf101(tmp_path, 1)),
        config=Table1Config(num_frames=3, resolution=32),
        sampling=SamplingConfig(motion_px=(2.0, 4.0, 6.0)),
        networks=Networks(i3d=RecordingI3D()),
        work=WorkCache(tmp_path / "work"),
    )


def resize(frame):
    return np.asarray(Image.fromarray(frame).resize((32, 32), Image.Resampling.BICUBIC))


def test_table_1_measures_frames_1_4_7_and_generates_from_frame_0(video_set):
    clip = video_set.clips[0]
    frames = read_frames(clip.path)
    assert np.array_equal(video_set.measure_real(clip), [resize(frames[index]) for index in (1, 4, 7)])
    assert np.array_equal(video_set.make_request(clip).source, resize(frames[0]))
    assert Table1Config().min_frames == 47


@pytest.mark.parametrize("caption", ["a dog runs", "a dog runs."])
def test_table_1_prompts_with_a_full_stop(video_set, caption):
    clip = VideoClip(key="dog", caption=caption, path=video_set.clips[0].path)
    assert video_set.make_request(clip).caption == "a dog runs."


def test_frames_of_one_motion_differ_by_their_noise_alone(model, tmp_path):
    origin = ModelFrames("small", str(model), WorkCache(tmp_path), torch.device("cpu"))

    def generate(key, noise):
        request = Request(key=key, caption="a dog", source=draw_frames([0])[0])
        return origin.get_frames(noise, request, SamplingConfig(motion_px=(4, 4), num_inference_steps=1, noise=noise))

    shared, one, other = generate("a", "shared"), generate("a", "frame"), generate("b", "frame")
    assert np.array_equal(shared[0], shared[1])
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one[0], other[0])
