"""Other bases than Stable Diffusion 1.x: InstructPix2Pix and Stable Diffusion 2.x, small and with random weights."""

import dataclasses

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

from training.model.config import ModelConfig
from training.model.errors import ModelError
from training.model.factory import build_from_stable_diffusion, make_pipeline
from training.model.losses import snr_weights
from training.model.noise_schedule import adapt_schedule, find_objective
from training.model.pretrained.stable_diffusion import make_random_stable_diffusion
from training.trainer.config import tiny
from training.trainer.trainer import Trainer


@pytest.fixture(scope="module")
def instruct_pix2pix(tmp_path_factory):
    """A small InstructPix2Pix as its pipeline saves it: 8 input channels, Euler ancestral."""
    folder = tmp_path_factory.mktemp("ip2p")
    parts = make_random_stable_diffusion("tiny", seed=7)
    torch.manual_seed(7)
    StableDiffusionInstructPix2PixPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=UNet2DConditionModel.from_config(parts.unet.config, in_channels=8),
        scheduler=EulerAncestralDiscreteScheduler.from_config(parts.scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stable_diffusion_2(tmp_path_factory):
    """A small Stable Diffusion 2.x: linear projections, heads by level, another text model, velocity, DDIM."""
    folder = tmp_path_factory.mktemp("sd2")
    parts = make_random_stable_diffusion("tiny", seed=7)
    torch.manual_seed(7)
    unet = UNet2DConditionModel.from_config(
        parts.unet.config, use_linear_projection=True, attention_head_dim=(2, 4), cross_attention_dim=48
    )
    text = CLIPTextConfig(
        **{**parts.text_encoder.config.to_dict(), "hidden_size": 48, "hidden_act": "gelu", "projection_dim": 48}
    )
    scheduler = DDIMScheduler.from_config(
        parts.scheduler.config, prediction_type="v_prediction", set_alpha_to_one=False
    )
    for name, part in (
        ("unet", unet),
        ("vae", parts.vae),
        ("text_encoder", CLIPTextModel(text)),
        ("tokenizer", parts.tokenizer),
        ("scheduler", scheduler),
    ):
        part.save_pretrained(folder / name)
    return folder


# ---- InstructPix2Pix


@pytest.mark.parametrize("variant", ["base", "motion-embed", "warp", "warp-add", "warp-concat", "full"])
def test_every_variant_starts_as_the_instruct_pix2pix_it_is_made_from(instruct_pix2pix, inputs, variant):
    model = build_from_stable_diffusion(instruct_pix2pix, ModelConfig(variant=variant)).model.eval()
    unet = UNet2DConditionModel.from_pretrained(instruct_pix2pix / "unet").eval()
    with torch.no_grad():
        both = torch.cat([inputs.noisy, inputs.source_latent], 1)
        expected = unet(both, inputs.timesteps, inputs.text_embeds).sample
        noise = inputs.predict(model).noise
        other = model(inputs.noisy, inputs.timesteps, -inputs.source_latent, inputs.text_embeds, inputs.motion).noise
    torch.testing.assert_close(noise, expected, rtol=0, atol=1e-5)
    assert (other - noise).abs().max() > 1e-3
    assert torch.equal(model.unet.conv_in.bias, unet.conv_in.bias)


# ---- Velocity


def test_a_stable_diffusion_2_trains_and_generates(stable_diffusion_2, small_shards, tmp_path):
    config = dataclasses.replace(
        tiny(), pretrained=str(stable_diffusion_2), zero_terminal_snr=True, max_steps=2, validate_every=2,
        validation_clips=1, snr_gamma=5.0,
    )  # fmt: skip
    trainer = Trainer(config, str(small_shards), tmp_path)
    assert trainer.parts.scheduler.config["prediction_type"] == "v_prediction"
    assert trainer.train().step == 2
    sampler = make_pipeline(trainer.parts).scheduler.config
    assert (sampler["prediction_type"], sampler["rescale_betas_zero_snr"]) == ("v_prediction", True)
    assert (tmp_path / "validation" / "step-00000002.png").exists()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "zero"])
def test_the_sampler_inverts_what_training_asks_for(stable_diffusion_2, prediction):
    """With a perfect prediction, the sampler returns the latent that the noise was added to."""
    parts = build_from_stable_diffusion(stable_diffusion_2, ModelConfig(variant="base"))
    zero = prediction == "zero"
    schedule = adapt_schedule(parts.scheduler, "v_prediction" if zero else prediction, zero_terminal_snr=zero)
    sampler = make_pipeline(dataclasses.replace(parts, scheduler=schedule)).scheduler
    generator = torch.Generator().manual_seed(0)
    z_0 = torch.randn(1, 4, 8, 8, generator=generator)
    sampler.set_timesteps(20)
    latents = torch.randn(z_0.shape, generator=generator) * sampler.init_noise_sigma
    for timestep in sampler.timesteps:
        noisy = sampler.scale_model_input(latents, timestep)
        at = timestep.long()[None]
        alpha = schedule.alphas_cumprod[at]
        noise = (noisy - alpha.sqrt() * z_0) / (1 - alpha).sqrt()
        latents = sampler.step(find_objective(schedule, z_0, noise, at), timestep, latents, generator=generator)[0]
    torch.testing.assert_close(latents, z_0, rtol=0, atol=0.02)
    assert (schedule.alphas_cumprod[-1] == 0) == zero


def test_zero_terminal_snr_needs_velocity(stable_diffusion_2, make_config, tmp_path, small_shards):
    scheduler = build_from_stable_diffusion(stable_diffusion_2, ModelConfig()).scheduler
    with pytest.raises(ModelError, match="a terminal SNR of zero needs prediction"):
        adapt_schedule(scheduler, "epsilon", zero_terminal_snr=True)
    with pytest.raises(ModelError, match="a terminal SNR of zero needs prediction"):
        Trainer(make_config(zero_terminal_snr=True), str(small_shards), tmp_path)


def test_snr_weights_of_velocity_are_finite_at_zero_snr(stable_diffusion_2):
    scheduler = build_from_stable_diffusion(stable_diffusion_2, ModelConfig()).scheduler
    schedule = adapt_schedule(scheduler, None, zero_terminal_snr=True)
    weights = snr_weights(schedule, torch.arange(1000), gamma=5)
    assert weights[-1] == 0
    snr = schedule.alphas_cumprod[:-1] / (1 - schedule.alphas_cumprod[:-1])
    torch.testing.assert_close(weights[:-1], snr.clamp(max=5) / (snr + 1))
