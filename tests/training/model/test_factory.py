import shutil

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

from training.model.config import ModelConfig
from training.model.errors import ModelError
from training.model.factory import build_from_stable_diffusion, build_random, make_pipeline


@pytest.fixture(scope="module")
def stable_diffusion(tmp_path_factory):
    """A small Stable Diffusion 1.x checkpoint in diffusers format, whose U-Net has 4 input channels."""
    parts = build_random(ModelConfig(variant="base"), "tiny", seed=7)
    folder = tmp_path_factory.mktemp("sd")
    torch.manual_seed(7)
    unet = UNet2DConditionModel.from_config({**parts.model.unet.config, "in_channels": 4})
    unet.save_pretrained(folder / "unet")
    parts.vae.save_pretrained(folder / "vae")
    parts.text_encoder.save_pretrained(folder / "text_encoder")
    parts.tokenizer.save_pretrained(folder / "tokenizer")
    parts.scheduler.save_pretrained(folder / "scheduler")
    return folder


def have_equal_weights(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_new_model_predicts_like_its_checkpoint(stable_diffusion, inputs):
    parts = build_from_stable_diffusion(stable_diffusion, ModelConfig())
    plain = UNet2DConditionModel.from_pretrained(stable_diffusion / "unet")
    with torch.no_grad():
        expected = plain(inputs.noisy, inputs.timesteps, inputs.text_embeds).sample
        noise = inputs.predict(parts.model.eval()).noise
    torch.testing.assert_close(noise, expected, rtol=0, atol=1e-5)
    assert torch.equal(parts.model.unet.conv_in.bias, plain.conv_in.bias)
    assert isinstance(parts.scheduler, DDPMScheduler)
    assert not any(p.requires_grad for part in (parts.vae, parts.text_encoder) for p in part.parameters())
    assert all(p.requires_grad and p.dtype == torch.float32 for p in parts.model.parameters())


def test_vae_names_another_autoencoder(stable_diffusion, tmp_path):
    torch.manual_seed(8)
    other = AutoencoderKL.from_config(AutoencoderKL.load_config(stable_diffusion / "vae"))
    other.save_pretrained(tmp_path)
    assert have_equal_weights(
        build_from_stable_diffusion(stable_diffusion, ModelConfig(), vae=str(tmp_path)).vae, other
    )
    assert not have_equal_weights(build_from_stable_diffusion(stable_diffusion, ModelConfig()).vae, other)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part_raises(stable_diffusion, tmp_path, part):
    for folder in stable_diffusion.iterdir():
        if folder.name != part:
            (tmp_path / folder.name).symlink_to(folder)
    with pytest.raises(ModelError, match=rf"^no .* can be loaded from {tmp_path}/{part}; .*[^.]$"):
        build_from_stable_diffusion(tmp_path, ModelConfig())


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_truncated_weights_raise(stable_diffusion, tmp_path, part):
    shutil.copytree(stable_diffusion, tmp_path / "sd")
    for weights in (tmp_path / "sd" / part).glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=rf"can be loaded from {tmp_path}/sd/{part}"):
        build_from_stable_diffusion(tmp_path / "sd", ModelConfig())


def test_a_missing_folder_raises(tmp_path):
    with pytest.raises(ModelError, match="can be loaded from"):
        build_from_stable_diffusion(tmp_path / "nowhere", ModelConfig())


def test_a_model_that_predicts_the_image_raises(stable_diffusion, tmp_path):
    for folder in stable_diffusion.iterdir():
        if folder.name != "scheduler":
            (tmp_path / folder.name).symlink_to(folder)
    DDPMScheduler(prediction_type="sample").save_pretrained(tmp_path / "scheduler")
    with pytest.raises(ModelError, match="predicts sample; use one that predicts epsilon or v_prediction"):
        build_from_stable_diffusion(tmp_path, ModelConfig())


def test_random_weights_depend_on_the_seed_and_leave_torchs_generator_unchanged():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, same, other = (build_random(ModelConfig(), "tiny", seed=seed).model for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert have_equal_weights(first, same)
    assert not have_equal_weights(first, other)


def test_the_noise_schedule_is_that_of_stable_diffusion():
    config = build_random(ModelConfig(), "tiny").scheduler.config
    assert (config.beta_start, config.beta_end, config.beta_schedule) == (0.00085, 0.012, "scaled_linear")
    assert config.prediction_type == "epsilon"


def test_the_pipeline_shares_weights_and_uses_euler_ancestral():
    parts = build_random(ModelConfig(), "tiny")
    pipeline = make_pipeline(parts)
    assert type(pipeline.scheduler).__name__ == "EulerAncestralDiscreteScheduler"
    assert pipeline.unet is parts.model.unet
    torch.testing.assert_close(pipeline.scheduler.alphas_cumprod, parts.scheduler.alphas_cumprod)
