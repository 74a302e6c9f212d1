import dataclasses

import numpy as np
import pytest

from training.errors import TrainingError
from training.generation.config import GenerationConfig
from training.generation.errors import GenerationError
from training.generation.generate import draw_why, generate, load_generator
from training.generation.images import Source
from training.generation.motions import order_frames, parse_motion, ramp_motion

SMALL = GenerationConfig(motion_px=(2.0, 11.0, 19.0), num_inference_steps=3, size=(64,))


def pixels(made):
    return np.stack([np.asarray(frame) for frame in made.frames]).astype(int)


@pytest.mark.parametrize("batch", [1, 2])
def test_batches_of_frames_make_the_same_pictures(generator, picture, batch):
    """8-bit pictures of floats that agree to 1e-4 differ by one level at most, where rounding turns."""
    source = Source(image=picture)
    whole = generate(generator, source, "a dog", SMALL)
    parted = generate(generator, source, "a dog", dataclasses.replace(SMALL, batch=batch))
    assert whole.frames[0].size == (96, 64)
    assert np.abs(pixels(whole) - pixels(parted)).max() <= 1
    np.testing.assert_allclose(whole.flow, parted.flow, rtol=0, atol=1e-4)


def test_equal_motions_make_identical_frames(generator, picture):
    made = pixels(generate(generator, Source(image=picture), "a dog", dataclasses.replace(SMALL, motion_px=(4, 9, 4))))
    assert np.array_equal(made[0], made[2])
    assert not np.array_equal(made[0], made[1])


def test_the_schedulers_differ_and_one_leaves_no_trace_on_the_other(generator, picture):
    configs = [dataclasses.replace(SMALL, scheduler=name) for name in ("euler-a", "dpm++", "euler-a")]
    first, other, again = (pixels(generate(generator, Source(image=picture), "a dog", config)) for config in configs)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert dataclasses.replace(SMALL, scheduler="dpm++", num_inference_steps=None).num_steps == 20


def test_what_is_unusual_is_said(generator, picture):
    config = dataclasses.replace(SMALL, motion_px=(1.0, 2.5, 30.0), num_inference_steps=1, size=(192,))
    notes = generate(generator, Source(image=picture), "x" * 200, config).notes
    for words in ("1, 30 lies outside 2 to 20", "2.5 is cut", "tokens longer than 77", "enlarged from 200 x 150"):
        assert sum(words in note for note in notes) == 1
    assert (
        generate(generator, Source(image=picture), "a dog", dataclasses.replace(SMALL, num_inference_steps=1)).notes
        == ()
    )


def test_a_motion_beyond_the_embedding_is_refused(generator, picture):
    with pytest.raises(TrainingError, match="2000 is not in the embedding"):
        generate(generator, Source(image=picture), "a dog", dataclasses.replace(SMALL, motion_px=(2000.0,)))


def test_a_sheet_with_and_without_a_warping_module(generator, base_model, picture):
    quick = dataclasses.replace(SMALL, num_inference_steps=1)
    base = load_generator(str(base_model), "cpu")
    base.pipeline.set_progress_bar_config(disable=True)
    heights = []
    for one in (generator, base):
        made = generate(one, Source(image=picture), "a dog", quick)
        sheet = np.asarray(draw_why(one, made, "a dog", quick))
        windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :104], (64, 96, 3))
        assert (windows == np.asarray(made.source)).all(axis=(-1, -2, -3)).any()
        heights.append(sheet.shape[0])
    assert heights[0] == 2 * heights[1]


def test_models_that_are_none_are_refused(tmp_path, model):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(model)
    for place, message in (
        (tmp_path / "none", "^there is no model folder"),
        (tmp_path / "run", "name .*/run/model"),
        (tmp_path, "name one that `pix2gif train` wrote"),
    ):
        with pytest.raises(TrainingError, match=message):
            load_generator(str(place), "cpu")
    with pytest.raises(TrainingError, match="fp16 needs a GPU"):
        load_generator(str(model), "cpu", "fp16")
    with pytest.raises(TrainingError, match=r"^there is no device tpu"):
        load_generator(str(model), "tpu")


def test_a_model_of_another_variant_is_refused(tmp_path, base_model):
    import shutil

    shutil.copytree(base_model, tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(index.read_text().replace('"base"', '"full"'))
    with pytest.raises(TrainingError, match=r"^the variant full has a motion embedding"):
        load_generator(str(tmp_path / "model"), "cpu")


@pytest.mark.parametrize(
    "wrong",
    [
        {"motion_px": ()}, {"motion_px": (-1.0,)}, {"motion_px": (float("nan"),)}, {"size": (100,)}, {"fps": 0},
        {"fps": 60}, {"batch": 0}, {"num_inference_steps": 0}, {"seed": -1}, {"dither": "x"}, {"loop": "x"},
        {"scheduler": "x"}, {"fit": "x"}, {"precision": "x"}, {"text_guidance": float("inf")},
    ],
)  # fmt: skip
def test_choices_that_cannot_be(wrong):
    with pytest.raises(GenerationError, match=r"^\S+ is .*; it must be .*[^.]$"):
        GenerationConfig(**wrong)


def test_motions():
    assert parse_motion("2, 4,6.5") == (2, 4, 6.5)
    with pytest.raises(GenerationError, match="no list of numbers"):
        parse_motion("2,,4")
    assert ramp_motion(4) == (2, 8, 14, 20)
    assert ramp_motion(1) == (11,)
    assert ramp_motion(16) == tuple(sorted(set(ramp_motion(16))))
    assert order_frames("abcd", "boomerang") == list("abcdcb")
    assert order_frames("ab", "boomerang") == list("ab")
    assert order_frames("a", "boomerang") == ["a"]
