import json

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from tests.training.model.helpers import randomize_parameters
from training.model.config import ModelConfig
from training.model.errors import ModelError
from training.model.factory import build_random, make_pipeline
from training.model.pipeline import Pix2GifPipeline, choose_rows, guide
from training.model.saved import load_model, load_pipeline


@pytest.fixture
def image():
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


@pytest.fixture(params=["full"])
def pipeline(request):
    """A tiny pipeline whose new weights are not zero, as after some training."""
    parts = build_random(ModelConfig(variant=request.param, motion_init="normal"), "tiny")
    randomize_parameters(parts.model.unet.conv_in)
    if parts.model.warping is not None:
        randomize_parameters(parts.model.warping)
    pipeline = make_pipeline(parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate(pipeline, image, motion, **options):
    options = {"num_inference_steps": 4, "seed": 1371, "output_type": "pt"} | options
    return pipeline(image, "a dog moves", motion, **options).frames


all_variants = pytest.mark.parametrize(
    "pipeline", ["base", "motion-embed", "warp", "warp-add", "warp-concat", "full"], indirect=True
)


def test_the_same_seed_gives_the_same_frames(pipeline, image):
    first, same, other = (generate(pipeline, image, [2, 9], seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    frames = [generate(pipeline, image, [2], seed=None, generator=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*frames)


def test_each_frame_may_have_a_generator_of_its_own(pipeline, image):
    def make_generators(*seeds):
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    frames = generate(pipeline, image, [4, 4, 4], seed=None, generator=make_generators(1, 2, 1))
    assert torch.equal(frames[0], frames[2])
    assert not torch.allclose(frames[0], frames[1])
    with pytest.raises(ModelError, match="1 generators for 2 frames"):
        generate(pipeline, image, [4, 4], seed=None, generator=make_generators(1))


@all_variants
def test_equal_motions_give_identical_frames(pipeline, image):
    """All frames share the same initial and ancestral noise."""
    frames = generate(pipeline, image, [4, 4, 15])
    assert torch.equal(frames[0], frames[1])
    assert (frames[0] - frames[2]).abs().max() > 1e-3


@all_variants
def test_frames_do_not_depend_on_their_batch(pipeline, image):
    together = generate(pipeline, image, [2, 8, 19])
    for index, motion in enumerate([2, 8, 19]):
        alone = generate(pipeline, image, [motion])
        torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-4)


def test_frames_do_not_share_batch_statistics(image):
    parts = build_random(ModelConfig(flow_norm="batch"), "tiny")
    randomize_parameters(parts.model)
    pipeline = make_pipeline(parts)
    pipeline.set_progress_bar_config(disable=True)
    together = generate(pipeline, image, [2, 19], num_inference_steps=2)
    alone = generate(pipeline, image, [2], num_inference_steps=2)
    torch.testing.assert_close(alone[0], together[0], rtol=0, atol=1e-4)
    assert all(part.training for part in parts.model.children())


def test_the_source_is_warped_once_per_gif(pipeline, image):
    calls = []
    pipeline.warping.register_forward_hook(lambda *_: calls.append(1))
    generate(pipeline, image, [2, 9], num_inference_steps=5)
    assert len(calls) == 1


def test_guidance_drops_text_and_image_but_not_motion(pipeline, image):
    """The batch is (text, image), (no text, image), (no text, no image)."""
    calls = []
    pipeline.warping.register_forward_hook(lambda _module, inputs, _output: calls.append(inputs))
    generate(pipeline, image, [2, 9])
    source, c_l = calls[0]
    assert source.shape == (6, 4, 16, 16)
    assert torch.equal(source[:2], source[2:4])
    assert source[0].abs().max() > 0
    assert source[4:].abs().max() == 0
    c_m = pipeline.motion_embedding(torch.tensor([2.0, 9.0]))
    text = c_l.reshape(3, 2, 77, 32) - c_m
    torch.testing.assert_close(text[1], text[2])
    torch.testing.assert_close(text[1, 0], text[1, 1])
    assert (text[0] - text[1]).abs().max() > 0.1


def test_the_source_latent_is_the_unscaled_mode(pipeline, image):
    calls = []
    pipeline.warping.register_forward_hook(lambda _module, inputs, _output: calls.append(inputs[0]))
    generate(pipeline, image, [2])
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        mode = pipeline.vae.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(calls[0][:1], mode)


def test_guidance_combines_three_predictions():
    both, picture, neither = torch.randn(3, 2, 4, 8, 8)
    noise = guide(torch.cat([both, picture, neither]), 7.5, 1.8)
    torch.testing.assert_close(noise, neither + 7.5 * (both - picture) + 1.8 * (picture - neither))


@pytest.mark.parametrize(
    ("text_guidance", "image_guidance", "rows"),
    [
        (7.5, 1.8, ("both", "image", "neither")),
        (7.5, 1, ("both", "image")),
        (3, 3, ("both", "neither")),
        (0, 1.8, ("image", "neither")),
        (1, 1, ("both",)),
        (0, 1, ("image",)),
        (0, 0, ("neither",)),
    ],
)
def test_rows_of_weight_zero_are_left_out_with_the_same_result(pipeline, image, text_guidance, image_guidance, rows):
    assert choose_rows(text_guidance, image_guidance) == rows
    predictions = dict(zip(("both", "image", "neither"), torch.randn(3, 2, 4, 8, 8), strict=True))
    both, picture, neither = predictions.values()
    expected = neither + text_guidance * (both - picture) + image_guidance * (picture - neither)
    given = torch.cat([predictions[row] for row in rows])
    torch.testing.assert_close(guide(given, text_guidance, image_guidance), expected)
    batches = []
    pipeline.unet.register_forward_hook(lambda *arguments: batches.append(len(arguments[2][0])))
    scales = {"text_guidance": text_guidance, "image_guidance": image_guidance, "num_inference_steps": 2}
    generate(pipeline, image, [2, 9], **scales)
    assert batches == [2 * len(rows)] * 2


def test_a_callback_sees_and_replaces_the_latents_of_each_step(pipeline, image):
    seen = []

    def callback(called, step, timestep, tensors):
        seen.append((called is pipeline, step, int(timestep), tensors["latents"].shape))
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 3 else {}

    latents = generate(pipeline, image, [2, 9], callback_on_step_end=callback, output_type="latent")
    assert [step for _, step, _, _ in seen] == [0, 1, 2, 3]
    assert seen[0][::3] == (True, (2, 4, 16, 16))
    assert latents.abs().max() == 0
    with pytest.raises(ModelError, match="callbacks cannot have noise"):
        generate(pipeline, image, [2], callback_on_step_end_tensor_inputs=["noise"])


@all_variants
def test_a_loaded_pipeline_gives_the_same_frames(pipeline, image, tmp_path):
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "Pix2GifPipeline"
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    loaded = Pix2GifPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.model.config == pipeline.model.config
    for name in ("unet", "vae", "text_encoder", "motion_embedding", "warping"):
        saved_part, loaded_part = getattr(pipeline, name), getattr(loaded, name)
        assert (saved_part is None) == (loaded_part is None)
        if saved_part is not None:
            weights = loaded_part.state_dict()
            assert all(torch.equal(tensor, weights[key]) for key, tensor in saved_part.state_dict().items())
            assert list((tmp_path / name).glob("*.safetensors"))
            assert (tmp_path / name / "config.json").exists()
    assert torch.equal(generate(loaded, image, [2, 9]), generate(pipeline, image, [2, 9]))


def test_model_and_u_net_load_from_a_pipelines_folder(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert model.config == pipeline.model.config
    assert UNet2DConditionModel.from_pretrained(tmp_path, subfolder="unet").config.in_channels == 12


def test_frames_have_the_requested_type(pipeline, image):
    pictures = generate(pipeline, image, [2, 9], output_type="pil")
    assert [picture.size for picture in pictures] == [(128, 128)] * 2
    assert generate(pipeline, image, [2, 9], output_type="np").shape == (2, 128, 128, 3)
    assert generate(pipeline, image, [2, 9], output_type="latent").shape == (2, 4, 16, 16)
    output = pipeline(image, "a dog", [2, 9], num_inference_steps=1)
    assert output.flow.shape == (2, 2, 16, 16)


def test_sides_are_rounded_down_to_multiples_of_32(pipeline, image):
    assert generate(pipeline, image.resize((150, 100)), [2], output_type="pil")[0].size == (128, 96)
    assert generate(pipeline, image, [2], output_type="pil", height=64, width=96)[0].size == (96, 64)


def test_a_deterministic_scheduler_works(pipeline, image):
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    frames = generate(pipeline, image, [4, 4])
    assert torch.equal(frames[0], frames[1])


@pytest.mark.parametrize(
    ("motion", "options", "message"),
    [
        ([], {}, "no motion"),
        ([2000], {}, "not in the embedding"),
        ([2], {"generator": torch.Generator()}, "exclude each other"),
    ],
)
def test_invalid_arguments_raise(pipeline, image, motion, options, message):
    with pytest.raises(ModelError, match=message):
        generate(pipeline, image, motion, **options)


def test_bfloat16_frames_are_finite(pipeline, image):
    frames = generate(pipeline.to(torch.bfloat16), image, [4, 4, 15])
    assert frames.isfinite().all()
    assert torch.equal(frames[0], frames[1])


def test_several_images_raise(pipeline, image):
    with pytest.raises(ModelError, match=r"^there are 2 images"):
        generate(pipeline, [image, image], [2])


def test_a_missing_tokenizer_raises(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    for path in (tmp_path / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(ModelError, match=r"its index, tokenizer or scheduler is missing or damaged$"):
        load_pipeline(tmp_path)


def test_a_stable_diffusion_pipeline_raises(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    kept = {name: part for name, part in index.items() if name not in ("model_variant", "motion_embedding", "warping")}
    (tmp_path / "model_index.json").write_text(json.dumps(kept))
    with pytest.raises(ModelError, match="does not name a variant"):
        load_pipeline(tmp_path)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "motion_embedding", "warping"])
def test_truncated_weights_raise(pipeline, tmp_path, part):
    pipeline.save_pretrained(tmp_path)
    for weights in (tmp_path / part).glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=rf"can be loaded from .*/{part}; "):
        load_pipeline(tmp_path)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "motion_embedding", "warping"])
def test_incomplete_weights_raise(pipeline, tmp_path, part):
    pipeline.save_pretrained(tmp_path)
    (path,) = (tmp_path / part).glob("*.safetensors")
    weights = load_file(path)
    del weights[min(weights)]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="is incomplete: "):
        load_pipeline(tmp_path)


@pytest.mark.parametrize("damage", ["model_index.json", "scheduler/scheduler_config.json", "warping/config.json"])
def test_a_damaged_config_file_raises_a_one_line_error(pipeline, tmp_path, damage):
    pipeline.save_pretrained(tmp_path)
    (tmp_path / damage).write_text("{")
    with pytest.raises(ModelError, match=r"^[^\n]*[^.]$"):
        load_pipeline(tmp_path)


def test_a_path_without_a_pipeline_raises(tmp_path):
    with pytest.raises(ModelError, match=r"^there is no Pix2Gif model in .*[^.]$"):
        load_pipeline(tmp_path)
    with pytest.raises(ModelError, match=r"^no Pix2Gif pipeline can be loaded from .*; name a folder .*[^.]$"):
        load_pipeline(tmp_path / "cat.png")
