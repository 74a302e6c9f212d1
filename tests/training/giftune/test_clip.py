import dataclasses

import numpy as np
import pytest
import torch

from training.errors import TrainingError
from training.giftune.clip import CLIP_FILE, decode_clip, encode_clip, make_clip, read_clip, write_clip

FRAMES = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3)
DURATIONS = np.arange(10, 110, 10, dtype=np.int32)


def test_selected_frames_keep_the_total_duration(quick):
    clip = make_clip(FRAMES, DURATIONS, " a clip ", quick(num_frames=3, first_frame=1, frame_step=2))
    assert clip.frames[:, 0, 0, 0].tolist() == [1, 3, 5]
    assert clip.durations_ms.tolist() == [20 + 30, 40 + 50, 60 + 70]
    assert clip.prompt == "a clip"


def test_a_short_gif_gives_all_its_frames(quick):
    assert len(make_clip(FRAMES[:4], DURATIONS[:4], "a clip", quick(num_frames=24)).frames) == 4


def test_a_single_frame_and_an_empty_caption_raise(quick):
    with pytest.raises(TrainingError, match="1 of the GIF's 4 frames, from frame 3 on, every 1; it needs 2 or more"):
        make_clip(FRAMES[:4], DURATIONS[:4], "a clip", quick(first_frame=3))
    with pytest.raises(TrainingError, match="the caption is empty"):
        make_clip(FRAMES, DURATIONS, " ", quick())


def test_a_written_clip_is_read_again(clip, tmp_path):
    write_clip(tmp_path, clip)
    read = read_clip(tmp_path)
    assert read.is_same_as(clip)
    assert read.durations_ms.tolist() == clip.durations_ms.tolist()
    assert not read.is_same_as(dataclasses.replace(clip, prompt="another"))
    path = tmp_path / CLIP_FILE
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(TrainingError, match=f"{CLIP_FILE} is missing or damaged"):
        read_clip(tmp_path)


def test_latents_do_not_depend_on_frames_at_once(parts, clip):
    latents = [encode_clip(parts.vae, clip, frames_at_once) for frames_at_once in (2, 100)]
    torch.testing.assert_close(*latents, rtol=0, atol=1e-5)
    assert latents[0].shape == (5, 4, 8, 8)
    decoded = [decode_clip(parts.vae, latents[0], frames_at_once) for frames_at_once in (2, 100)]
    assert np.abs(decoded[0].astype(int) - decoded[1]).max() <= 1
    assert decoded[0].shape == clip.frames.shape
