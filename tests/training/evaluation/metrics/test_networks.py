import json
import shutil

import numpy as np
import pytest
import torch

from tests.training.evaluation.helpers import draw_frames
from training.errors import TrainingError
from training.evaluation.errors import EvaluationError
from training.evaluation.metrics.clipsim import score_frames
from training.evaluation.metrics.networks import ClipEncoder, XClipEncoder
from training.evaluation.metrics.xclip_similarity import choose_frames, score_clip

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip(networks):
    return ClipEncoder(networks / "clip", CPU)


@pytest.fixture(scope="module")
def x_clip(networks):
    return XClipEncoder(networks / "x_clip", CPU)


class KnownEncoder:
    """Has the interface of ClipEncoder and XClipEncoder, but known embeddings: unit vectors [2]."""

    def __init__(self, image=(1.0, 0.0), text=(1.0, 0.0), video=(1.0, 0.0)):
        self.image, self.text, self.video = (torch.tensor([vector]) for vector in (image, text, video))

    def embed_images(self, frames):
        return self.image.expand(len(frames), -1)

    def embed_text(self, text):
        return self.text

    def embed_video(self, frames):
        return self.video


def test_embeddings_are_unit_vectors_of_one_space(clip, x_clip):
    frames = draw_frames(range(8))
    for embedding, rows in (
        (clip.embed_images(frames), 8),
        (clip.embed_text("a dog"), 1),
        (x_clip.embed_video(frames), 1),
    ):
        assert embedding.shape == (rows, 16)
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(rows))


def test_different_images_and_texts_have_different_embeddings(clip):
    one, other = clip.embed_images(np.stack([draw_frames([0])[0], np.zeros((64, 64, 3), np.uint8)]))
    assert (one - other).abs().max() > 1e-3
    assert (clip.embed_text("a dog runs") - clip.embed_text("a cat sleeps")).abs().max() > 1e-3


@pytest.mark.parametrize(("text", "expected"), [((1.0, 0.0), 1), ((0.6, 0.8), 0.6), ((0.0, 1.0), 0), ((-1.0, 0.0), -1)])
def test_clipsim_is_the_cosine_of_frame_and_caption(text, expected):
    scores = score_frames(KnownEncoder(text=text), draw_frames(range(3)), "a dog")
    np.testing.assert_allclose(scores, [expected] * 3, atol=1e-6)


def test_clipsim_of_a_frame_does_not_depend_on_other_frames(clip):
    frames = draw_frames([0, 30], seed=2)
    together = score_frames(clip, frames, "a dog")
    np.testing.assert_allclose(together[1], score_frames(clip, frames[1:], "a dog")[0], atol=1e-5)
    assert together[0] != together[1]


@pytest.mark.parametrize(("video", "expected"), [((0.0, 1.0), 1), ((0.8, 0.6), 0.6)])
def test_similarity_is_the_cosine_of_image_and_video(video, expected):
    clip, x_clip, frames = KnownEncoder(image=(0.0, 1.0)), KnownEncoder(video=video), draw_frames(range(8))
    np.testing.assert_allclose(score_clip(clip, x_clip, frames[:2], frames), [expected] * 2, atol=1e-6)


def test_similarity_has_one_score_for_each_image(clip, x_clip):
    frames = draw_frames(range(8))
    scores = score_clip(clip, x_clip, np.stack([frames[0], 255 - frames[0]]), frames)
    expected = clip.embed_images(frames[:1]) @ x_clip.embed_video(frames).T
    assert scores.shape == (2,)
    assert scores[0] == pytest.approx(float(expected), abs=1e-5)
    assert scores[0] != scores[1]


def test_x_clip_depends_on_frame_order_and_needs_eight_frames(x_clip):
    frames = np.concatenate([draw_frames([0] * 4), draw_frames([0] * 4, seed=9)])
    assert x_clip.num_frames == 8
    assert (x_clip.embed_video(frames) - x_clip.embed_video(frames[::-1].copy())).abs().max() > 1e-6
    with pytest.raises(EvaluationError, match="needs 8 frames of a clip, but there are 7"):
        x_clip.embed_video(frames[:7])


def test_chosen_frames_are_evenly_spaced():
    assert choose_frames(8, 8) == list(range(8))
    assert choose_frames(15, 8) == list(range(0, 15, 2))
    assert choose_frames(1, 3) == [0, 0, 0]


def test_same_weights_have_the_same_hash(networks, clip):
    assert ClipEncoder(networks / "clip", CPU).sha256 == clip.sha256


def test_missing_weights_raise(networks, tmp_path):
    with pytest.raises(TrainingError, match=r"^no CLIP model can be loaded from"):
        ClipEncoder(tmp_path / "gone", CPU)
    with pytest.raises(TrainingError, match=r"^no X-CLIP model can be loaded from"):
        XClipEncoder(tmp_path, CPU)
    for missing, sentence in (("tokenizer", "tokenizer of CLIP"), ("preprocessor", "image processor of CLIP")):
        folder = tmp_path / missing
        shutil.copytree(networks / "clip", folder)
        for path in folder.glob(f"{missing}*"):
            path.unlink()
        with pytest.raises(TrainingError, match=f"^no {sentence}.* can be loaded from"):
            ClipEncoder(folder, CPU)


def test_weights_of_another_network_raise(networks, tmp_path):
    """transformers would fill in missing weights at random."""
    shutil.copytree(networks / "clip", tmp_path / "clip")
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (tmp_path / "clip" / "config.json").write_text(json.dumps(config))
    with pytest.raises(TrainingError, match="is incomplete"):
        ClipEncoder(tmp_path / "clip", CPU)
