import typing

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.training.model.helpers import randomize_parameters
from training.model.config import ModelConfig, Variant
from training.model.errors import ModelError
from training.model.factory import make_pipeline
from training.model.losses import mean_squared_error, total_loss
from training.model.pix2gif import Pix2Gif
from training.model.saved import load_model

VARIANTS = typing.get_args(Variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_predicts_with_its_parts(build, inputs, variant):
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
def test_each_variant_concatenates_the_latents_of_section_4_3(build, inputs, variant):
    model = build(variant).model
    if model.warping is not None:
        randomize_parameters(model.warping)
    prepared = model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    source, z_w = inputs.source_latent, prepared.warped
    expected = {
        "base": lambda: source,
        "motion-embed": lambda: source,
        "warp": lambda: z_w,
        "warp-add": lambda: source + z_w,
        "warp-concat": lambda: torch.cat([source, z_w], 1),
        "full": lambda: torch.cat([source, z_w], 1),
    }[variant]()
    assert torch.equal(prepared.image_channels, expected)
    if z_w is not None:
        assert not torch.equal(z_w, source)


def test_cross_attention_and_warping_module_receive_c_l(build, inputs):
    model = build(motion_init="normal").model
    randomize_parameters(model.warping)
    prepared = model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    c_l = inputs.text_embeds + model.motion_embedding.embedding.weight[[3, 17]][:, None]
    assert torch.equal(prepared.context, c_l)
    assert torch.equal(prepared.flow, model.warping(inputs.source_latent, c_l).flow)
    without_motion = model.warping(inputs.source_latent, inputs.text_embeds).flow
    assert (prepared.flow - without_motion).abs().max() > 1e-3


def test_the_base_variant_has_motion_only_in_the_prompt(build, inputs):
    model = build("base").model
    prepared = model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    assert torch.equal(prepared.context, inputs.text_embeds)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_new_model_ignores_source_and_motion(build, inputs, variant):
    """All new weights are zero, so each variant starts as the Stable Diffusion that it was made from."""
    model = build(variant).model.eval()
    with torch.no_grad():
        noise = inputs.predict(model).noise
        moved = model(inputs.noisy, inputs.timesteps, inputs.source_latent * -3, inputs.text_embeds, inputs.motion + 9)
        torch.testing.assert_close(moved.noise, noise, rtol=0, atol=1e-5)
        other = model(inputs.noisy, inputs.timesteps, inputs.source_latent, inputs.text_embeds * -3, inputs.motion)
    assert (other.noise - noise).abs().max() > 1e-4


def test_a_normal_motion_embedding_changes_the_initial_text_embedding(build, inputs):
    moved = build(motion_init="normal").model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    assert (moved.context - inputs.text_embeds).std() > 0.5
    kept = build(motion_init="zero").model.prepare(inputs.source_latent, inputs.text_embeds, inputs.motion)
    assert torch.equal(kept.context, inputs.text_embeds)


@pytest.mark.parametrize("flow_norm", ["group", "batch"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_reach_all_trained_parameters_and_no_frozen_one(build, inputs, perceptual, variant, flow_norm):
    parts = build(variant, flow_norm=flow_norm)
    model = parts.model
    randomize_parameters(model.unet.conv_in)
    if model.warping is not None:
        randomize_parameters(model.warping.flow_net.flow0)
    prediction = inputs.predict(model)
    loss = perceptual(prediction.warped, inputs.source_latent) if model.config.has_perceptual_loss else None
    total_loss(mean_squared_error(prediction.noise, inputs.noisy), loss).mean().backward()
    assert len(model.trained_parameters()) == len(list(model.parameters()))
    without_gradient = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert without_gradient == []
    for frozen in (parts.vae, parts.text_encoder, perceptual):
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in frozen.parameters())


def test_every_parameter_of_a_new_model_changes_within_four_steps(build, inputs, perceptual):
    """Zeros block gradients at step 0: conv_in changes first, then FlowNet's last layer, then its other layers."""
    model = build().model
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.trained_parameters(), lr=1e-3, weight_decay=0)
    for _ in range(4):
        prediction = inputs.predict(model)
        loss = perceptual(prediction.warped, inputs.source_latent)
        total_loss(mean_squared_error(prediction.noise, inputs.noisy), loss).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert unchanged == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_bfloat16_is_close_to_float32(build, inputs, variant):
    model = build(variant).model.eval()
    randomize_parameters(model.unet.conv_in, scale=0.05)
    with torch.no_grad():
        expected = inputs.predict(model).noise
        with torch.autocast("cpu", torch.bfloat16):
            mixed = inputs.predict(model).noise
        halves = [value.bfloat16() if value.is_floating_point() else value for value in vars(inputs).values()]
        throughout = model.to(torch.bfloat16)(*halves).noise
    assert throughout.dtype == torch.bfloat16
    for noise in (mixed, throughout):
        assert (noise.float() - expected).square().mean() < 1e-3 * expected.square().mean()


def test_gradient_checkpointing_does_not_change_gradients(build, inputs):
    gradients = []
    for checkpoints in (False, True):
        model = build().model
        if checkpoints:
            model.enable_gradient_checkpointing()
        mean_squared_error(model(**vars(inputs)).noise, inputs.noisy).mean().backward()
        gradients.append([parameter.grad for parameter in model.unet.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_loaded_model_is_identical(build, inputs, tmp_path, variant):
    parts = build(variant, flow_mode="absolute", flow_norm="batch", warp_layers="authors", num_motions=40)
    model = parts.model.eval()
    randomize_parameters(model, scale=0.05)
    make_pipeline(parts).save_pretrained(tmp_path)
    loaded = load_model(tmp_path).eval()
    assert loaded.config == model.config
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    with torch.no_grad():
        assert torch.equal(inputs.predict(loaded).noise, inputs.predict(model).noise)


def test_missing_or_damaged_weights_raise(build, tmp_path):
    with pytest.raises(ModelError, match=r"^there is no Pix2Gif model in .*[^.]$"):
        load_model(tmp_path)
    make_pipeline(build()).save_pretrained(tmp_path)
    weights = tmp_path / "warping" / "diffusion_pytorch_model.safetensors"
    whole = load_file(weights)
    save_file({name: tensor for name, tensor in whole.items() if "flow0" not in name}, weights)
    with pytest.raises(
        ModelError, match=r"^the warping module in .* is incomplete: flow_net.flow0.bias is missing, one of 2$"
    ):
        load_model(tmp_path)
    weights.write_bytes(b"cut off")
    with pytest.raises(ModelError, match=r"^no warping module can be loaded"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(ModelError, match=r"^no warping module can be loaded"):
        load_model(tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ModelError, match="does not name a variant"):
        load_model(tmp_path)


def test_parts_of_another_variant_raise(build):
    model = build("warp").model
    with pytest.raises(ModelError, match="12 input channels, not 8"):
        Pix2Gif(model.unet, model.motion_embedding, model.warping, "full")
    with pytest.raises(ModelError, match="no warping module"):
        Pix2Gif(model.unet, model.motion_embedding, model.warping, "motion-embed")
    with pytest.raises(ModelError, match="a motion embedding"):
        Pix2Gif(model.unet, None, model.warping, "warp")


def test_the_config_is_read_from_the_parts(build):
    fields = {"flow_mode": "absolute", "flow_norm": "batch", "warp_layers": "authors", "motion_init": "normal"}
    model = build("warp", **fields, num_motions=30).model
    assert model.config == ModelConfig(variant="warp", **fields, num_motions=30)
