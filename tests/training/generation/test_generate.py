import dataclasses
import shutil

import numpy as np
import pytest

from training.errors import TrainingError
from training.generation.config import GenerationConfig
from training.generation.generate import draw_generated_sheet, generate, load_generator
from training.generation.images import SourceImage

SMALL = GenerationConfig(motion_px=(2.0, 11.0, 19.0), num_inference_steps=3)


def pixels(generated):
    return np.stack([np.asarray(frame) for frame in generated.frames]).astype(int)


@pytest.mark.parametrize("batch", [1, 2])
def test_frames_do_not_depend_on_the_batch_size(generator, picture, batch):
    """Floats agree to 1e-4, so 8-bit frames differ by at most one level, where rounding flips."""
    source = SourceImage(image=picture)
    together = generate(generator, source, "a dog", SMALL)
    batched = generate(generator, source, "a dog", dataclasses.replace(SMALL, batch=batch))
    assert together.frames[0].size == (86, 64)
    assert np.abs(pixels(together) - pixels(batched)).max() <= 1
    np.testing.assert_allclose(together.flow, batched.flow, rtol=0, atol=1e-4)


def test_equal_motions_give_identical_frames(generator, picture):
    config = dataclasses.replace(SMALL, motion_px=(4, 9, 4))
    frames = pixels(generate(generator, SourceImage(image=picture), "a dog", config))
    assert np.array_equal(frames[0], frames[2])
    assert not np.array_equal(frames[0], frames[1])


def test_switching_the_scheduler_leaves_no_state_behind(generator, picture):
    source = SourceImage(image=picture)
    first, other, again = (
        pixels(generate(generator, source, "a dog", dataclasses.replace(SMALL, scheduler=name)))
        for name in ("euler-a", "dpm++", "euler-a")
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("fields", "size", "model_size"),
    [
        ({}, (86, 64), (64, 64)),
        ({"size": (128,)}, (170, 128), (64, 64)),
        ({"size": (100, 50)}, (100, 50), (64, 64)),
        ({"fit": "crop"}, (64, 64), (64, 64)),
        ({"fit": "crop", "size": (96,)}, (128, 96), (128, 96)),
        ({"fit": "resize", "size": (32, 64)}, (32, 64), (32, 64)),
    ],
)
def test_frames_are_generated_at_the_trained_size_unless_another_is_named(generator, picture, fields, size, model_size):
    shapes = []
    generator.pipeline.unet.register_forward_hook(lambda *arguments: shapes.append(arguments[2][0].shape[2:]))
    config = dataclasses.replace(SMALL, num_inference_steps=1, **fields)
    generated = generate(generator, SourceImage(image=picture), "a dog", config)
    assert {generated.source.size, *(frame.size for frame in generated.frames)} == {size}
    assert shapes[0] == (model_size[1] // 8, model_size[0] // 8)
    assert any("the model was trained at 64 x 64" in note for note in generated.notes) == (model_size != (64, 64))


def test_unusual_inputs_give_notes(generator, picture):
    config = dataclasses.replace(
        SMALL, motion_px=(1.0, 2.5, 30.0), num_inference_steps=1, size=(192,), fit="crop"
    )  # fmt: skip
    notes = generate(generator, SourceImage(image=picture), "x" * 200, config).notes
    for words in ("1, 30 is outside 2 to 19", "2.5 is truncated", "tokens longer than 77", "enlarged from 200 x 150"):
        assert sum(words in note for note in notes) == 1


def test_usual_inputs_give_no_notes(generator, picture):
    quick = dataclasses.replace(SMALL, num_inference_steps=1)
    assert generate(generator, SourceImage(image=picture), "a dog", quick).notes == ()


def test_motion_beyond_the_embedding_raises(generator, picture):
    config = dataclasses.replace(SMALL, motion_px=(2000.0,))
    with pytest.raises(TrainingError, match="2000 is not in the embedding"):
        generate(generator, SourceImage(image=picture), "a dog", config)


def test_sheet_has_a_row_of_flows_only_with_a_warping_module(generator, base_model, picture):
    quick = dataclasses.replace(SMALL, num_inference_steps=1)
    base = load_generator(str(base_model), "cpu")
    base.pipeline.set_progress_bar_config(disable=True)
    heights = []
    for each in (generator, base):
        generated = generate(each, SourceImage(image=picture), "a dog", quick)
        sheet = np.asarray(draw_generated_sheet(each, generated, "a dog", quick))
        windows = np.lib.stride_tricks.sliding_window_view(sheet[:, :94], (64, 86, 3))
        assert (windows == np.asarray(generated.source)).all(axis=(-1, -2, -3)).any()
        heights.append(sheet.shape[0])
    assert heights[0] == 2 * heights[1]


def test_a_run_is_loaded_by_its_folder(tmp_path, model):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(model)
    assert load_generator(str(tmp_path / "run"), "cpu").sha256 == load_generator(str(model), "cpu").sha256


def test_paths_without_a_model_raise(tmp_path):
    for path, message in (
        (tmp_path / "none", "^there is no model folder"),
        (tmp_path, "name one that `pix2gif train` wrote"),
    ):
        with pytest.raises(TrainingError, match=message):
            load_generator(str(path), "cpu")


def test_unavailable_devices_and_precisions_raise(model):
    with pytest.raises(TrainingError, match="fp16 needs a GPU"):
        load_generator(str(model), "cpu", "fp16")
    with pytest.raises(TrainingError, match=r"^there is no device tpu"):
        load_generator(str(model), "tpu")


def test_a_model_index_of_another_variant_raises(tmp_path, base_model):
    shutil.copytree(base_model, tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    index.write_text(index.read_text().replace('"base"', '"full"'))
    with pytest.raises(TrainingError, match=r"^the variant full has a motion embedding"):
        load_generator(str(tmp_path / "model"), "cpu")
