from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from training.data import Batch
from training.model.config import ModelConfig
from training.model.factory import build_random, make_pipeline
from training.model.pipeline import Pix2GifPipeline
from training.trainer.preview import describe_warp, write_validation_gifs

SIZE = 64
MOTIONS = [2.0, 11.0]
CAPTIONS = ["a cat looks up and yawns", "Ein Ball fällt: 球が落ちる"]


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pix2GifPipeline]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pipeline = make_pipeline(build_random(ModelConfig(), size="tiny", seed=0))
    pipeline.set_progress_bar_config(disable=True)
    yield pipeline
    torch.set_num_threads(threads)


@pytest.fixture
def sources() -> list[Image.Image]:
    """Draw a red and a blue square, each on a gradient."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.uint8) * 3
    pictures = []
    for colour in ([220, 30, 30], [30, 30, 220]):
        picture = np.stack([x, y, np.full_like(x, 90)], axis=-1)
        picture[16:40, 20:44] = colour
        pictures.append(Image.fromarray(picture))
    return pictures


def read_gif(path: Path) -> np.ndarray:
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)])


def test_the_files_have_a_row_for_each_clip_and_a_frame_for_each_motion(
    pipeline: Pix2GifPipeline, sources: list[Image.Image], tmp_path: Path
) -> None:
    path = tmp_path / "validation" / "step-00000050.gif"
    write_validation_gifs(pipeline, sources, CAPTIONS, MOTIONS, path, seed=0, num_inference_steps=2)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "step-00000050-clip-00.gif",
        "step-00000050-clip-01.gif",
        "step-00000050.gif",
        "step-00000050.png",
    ]
    clips = [read_gif(path.with_name(f"step-00000050-clip-{index:02d}.gif")) for index in range(2)]
    for clip, source in zip(clips, sources, strict=True):
        assert clip.shape == (1 + len(MOTIONS), SIZE, SIZE, 3)
        assert np.abs(clip[0].astype(int) - np.asarray(source)).mean() < 4  # The palette loses some colours.
    together = read_gif(path)
    assert together.shape == (1 + len(MOTIONS), SIZE, 2 * SIZE, 3)
    with Image.open(path.with_suffix(".png")) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] > 3 * SIZE
    assert pixels.shape[0] > 2 * SIZE
    for source in sources:  # The sheet contains each source, pixel for pixel.
        windows = np.lib.stride_tricks.sliding_window_view(pixels[:, : SIZE + 8], (SIZE, SIZE, 3))
        assert (windows == np.asarray(source)).all(axis=(-1, -2, -3)).any()


def test_the_sheet_shows_the_flow_below_each_frame(
    pipeline: Pix2GifPipeline, sources: list[Image.Image], tmp_path: Path
) -> None:
    plain = make_pipeline(build_random(ModelConfig(variant="base"), size="tiny", seed=0))
    plain.set_progress_bar_config(disable=True)
    heights = []
    for model, name in ((plain, "plain"), (pipeline, "warp")):
        path = tmp_path / name / "step.gif"
        write_validation_gifs(model, sources[:1], CAPTIONS[:1], MOTIONS, path, seed=0, num_inference_steps=1)
        with Image.open(path.with_suffix(".png")) as sheet:
            heights.append(sheet.height)
    assert heights[1] == 2 * heights[0]


def test_the_warp_of_each_pair_is_described(sources: list[Image.Image]) -> None:
    pictures = torch.stack([torch.from_numpy(np.array(source)).permute(2, 0, 1) for source in sources])
    batch = Batch(
        keys=["a", "b"],
        captions=CAPTIONS,
        motion_px=torch.tensor([3.0, 7.5]),
        positions=torch.arange(2),
        flipped=torch.zeros(2, dtype=torch.bool),
        source=pictures,
        target=pictures.flip(0),
    )
    assert describe_warp(build_random(ModelConfig(), size="tiny"), batch) == [
        "at the pair's 3.0 px: flow_px 0.00, warp_error 1.00",
        "at the pair's 7.5 px: flow_px 0.00, warp_error 1.00",
    ]
    assert describe_warp(build_random(ModelConfig(variant="base"), size="tiny"), batch) == []


def test_validation_gifs_are_deterministic_and_use_no_global_random_state(
    pipeline: Pix2GifPipeline, sources: list[Image.Image], tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    first, second, other = (tmp_path / name / "step.gif" for name in ("first", "second", "other"))
    for path, seed in ((first, 0), (second, 0), (other, 1)):
        write_validation_gifs(pipeline, sources[:1], CAPTIONS[:1], MOTIONS, path, seed=seed, num_inference_steps=2)
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".png").read_bytes() == second.with_suffix(".png").read_bytes()
    assert first.read_bytes() != other.read_bytes()
    assert torch.equal(torch.get_rng_state(), before)


def test_no_clips_write_no_files(pipeline: Pix2GifPipeline, tmp_path: Path) -> None:
    path = tmp_path / "validation" / "step.gif"
    write_validation_gifs(pipeline, [], [], MOTIONS, path, seed=0, num_inference_steps=2)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_call_leaves_no_files(pipeline: Pix2GifPipeline, sources: list[Image.Image], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_validation_gifs(
            pipeline, sources, CAPTIONS[:1], MOTIONS, tmp_path / "step.gif", seed=0, num_inference_steps=1
        )
    assert list(tmp_path.iterdir()) == []
