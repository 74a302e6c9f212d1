import typing

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.model.helpers import randomize_parameters
from training.model.config import ModelConfig, Variant
from training.model.errors import ModelError
from training.model.losses import diffusion_loss, total_loss
from training.model.pix2gif import Pix2Gif

VARIANTS = typing.get_args(Variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_predicts_and_has_its_parts(build, inputs, variant):
    model = build(variant).model
    prediction = inputs.predict(model)
    assert prediction.noise.shape == (2, 4, 16, 16)
    assert (model.motion_embedding is not None) == model.config.has_motion_embedding
    if model.config.has_warp:
        assert prediction.warped.shape == (2, 4, 16, 16)
        assert prediction.flow.shape == (2, 2, 16, 16)
    else:
        assert prediction.warped is None
        assert prediction.flow is None


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_concatenates_what_the_table_says(build, inputs, variant):
    model = build(variant).model
    if model.warping is not None:
        randomize_parameters(model.warping)
    got = model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    source, z_w = inputs.source_latent, got.warped
    expected = {
        "base": lambda: source,
        "motion-embed": lambda: source,
        "warp": lambda: z_w,
        "warp-add": lambda: source + z_w,
        "warp-concat": lambda: torch.cat([source, z_w], 1),
        "full": lambda: torch.cat([source, z_w], 1),
    }[variant]()
    assert torch.equal(got.image_channels, expected)
    if z_w is not None:
        assert not torch.equal(z_w, source)


def test_c_l_goes_to_cross_attention_and_to_the_warping_module(build, inputs):
    model = build(motion_init="normal").model
    randomize_parameters(model.warping)
    got = model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    c_l = inputs.text_embeds + model.motion_embedding.embedding.weight[[3, 17]][:, None]
    assert torch.equal(got.context, c_l)
    assert torch.equal(got.flow, model.warping(inputs.source_latent, c_l).flow)
    without_motion = model.warping(inputs.source_latent, inputs.text_embeds).flow
    assert (got.flow - without_motion).abs().max() > 1e-3


def test_base_hears_of_motion_in_the_prompt_alone(build, inputs):
    model = build("base").model
    got = model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    assert torch.equal(got.context, inputs.text_embeds)


@pytest.mark.parametrize("variant", VARIANTS)
def test_at_step_0_only_noise_time_and_text_count(build, inputs, variant):
    """All that is new is zero: each variant starts as the Stable Diffusion it was made from."""
    model = build(variant).model.eval()
    with torch.no_grad():
        got = inputs.predict(model).noise
        moved = model.predict(
            inputs.noisy, inputs.timesteps, inputs.source_latent * -3, inputs.text_embeds, inputs.motion + 9
        )
        torch.testing.assert_close(moved.noise, got, rtol=0, atol=1e-5)
        other = model.predict(
            inputs.noisy, inputs.timesteps, inputs.source_latent, inputs.text_embeds * -3, inputs.motion
        )
    assert (other.noise - got).abs().max() > 1e-4


def test_a_normal_motion_embedding_moves_the_text_from_where_it_was_trained(build, inputs):
    moved = build(motion_init="normal").model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    assert (moved.context - inputs.text_embeds).std() > 0.5
    kept = build(motion_init="zero").model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    assert torch.equal(kept.context, inputs.text_embeds)


@pytest.mark.parametrize("flow_norm", ["group", "batch"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_reaches_every_trained_part_and_no_frozen_one(build, inputs, perceptual, variant, flow_norm):
    parts = build(variant, flow_norm=flow_norm)
    model = parts.model
    randomize_parameters(model.unet.conv_in)
    if model.warping is not None:
        randomize_parameters(model.warping.flow_net.flow0)
    prediction = inputs.predict(model)
    seen = perceptual(prediction.warped, inputs.source_latent) if model.config.has_perceptual_loss else None
    total_loss(diffusion_loss(prediction.noise, inputs.noisy), seen).mean().backward()
    assert len(model.trained_parameters()) == len(list(model.parameters()))
    dry = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert dry == []
    for frozen in (parts.vae, parts.text_encoder, perceptual):
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in frozen.parameters())


def test_from_step_0_every_trained_parameter_moves_within_a_few_steps(build, inputs, perceptual):
    """At step 0 zeros stand in each other's way: conv_in moves first, then FlowNet's last layer, then its others."""
    model = build().model
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.trained_parameters(), lr=1e-3, weight_decay=0)
    for _ in range(4):
        prediction = inputs.predict(model)
        seen = perceptual(prediction.warped, inputs.source_latent)
        total_loss(diffusion_loss(prediction.noise, inputs.noisy), seen).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    still = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert still == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_by_autocast_or_throughout_is_close_to_float32(build, inputs, variant):
    model = build(variant).model.eval()
    randomize_parameters(model.unet.conv_in, scale=0.05)
    with torch.no_grad():
        expected = inputs.predict(model).noise
        with torch.autocast("cpu", torch.bfloat16):
            mixed = inputs.predict(model).noise
        halves = [value.bfloat16() if value.is_floating_point() else value for value in vars(inputs).values()]
        throughout = model.to(torch.bfloat16).predict(*halves).noise
    assert throughout.dtype == torch.bfloat16
    for got in (mixed, throughout):
        assert (got.float() - expected).square().mean() < 1e-3 * expected.square().mean()


def test_gradient_checkpointing_changes_nothing_but_memory(build, inputs):
    gradients = []
    for checkpoints in (False, True):
        model = build().model
        if checkpoints:
            model.enable_gradient_checkpointing()
        diffusion_loss(model(**vars(inputs)).noise, inputs.noisy).mean().backward()
        gradients.append([parameter.grad for parameter in model.unet.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_and_loaded_it_is_equal_to_the_bit(build, inputs, tmp_path, variant):
    model = build(variant, flow_mode="absolute", flow_norm="batch", num_motions=40).model.eval()
    randomize_parameters(model, scale=0.05)
    model.save_pretrained(tmp_path)
    loaded = Pix2Gif.from_pretrained(tmp_path).eval()
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    with torch.no_grad():
        assert torch.equal(inputs.predict(loaded).noise, inputs.predict(model).noise)
    assert all(path.suffix in (".json", ".safetensors") for path in tmp_path.rglob("*") if path.is_file())


def test_where_no_model_lies_a_sentence_says_so(build, tmp_path):
    with pytest.raises(ModelError, match=r"^no Pix2Gif model lies in .*[^.]$"):
        Pix2Gif.from_pretrained(tmp_path)
    build().model.save_pretrained(tmp_path)
    weights = tmp_path / "warping" / "diffusion_pytorch_model.safetensors"
    whole = load_file(weights)
    save_file({name: tensor for name, tensor in whole.items() if "flow0" not in name}, weights)
    with pytest.raises(
        ModelError, match=r"^the warping module in .* is not whole: flow_net.flow0.bias is missing, one of 2$"
    ):
        Pix2Gif.from_pretrained(tmp_path)
    weights.write_bytes(b"torn off")
    with pytest.raises(ModelError, match=r"^no warping module can be loaded"):
        Pix2Gif.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(ModelError, match=r"^no warping module can be loaded"):
        Pix2Gif.from_pretrained(tmp_path)
    (tmp_path / "pix2gif.json").write_text("{}")
    with pytest.raises(ModelError, match="which variant"):
        Pix2Gif.from_pretrained(tmp_path)


def test_parts_of_another_variant_are_refused(build):
    model = build("warp").model
    with pytest.raises(ModelError, match="12 input channels, but this has 8"):
        Pix2Gif(model.unet, model.motion_embedding, model.warping, "full")
    with pytest.raises(ModelError, match="no warping module"):
        Pix2Gif(model.unet, model.motion_embedding, model.warping, "motion-embed")
    with pytest.raises(ModelError, match="a motion embedding"):
        Pix2Gif(model.unet, None, model.warping, "warp")


def test_the_config_is_kept(build):
    model = build("warp", flow_mode="absolute", flow_norm="batch", motion_init="normal", num_motions=30).model
    assert model.config == ModelConfig(
        variant="warp", flow_mode="absolute", flow_norm="batch", motion_init="normal", num_motions=30
    )
