"""Shapes at the full size of Stable Diffusion 1.5, on the meta device."""

import pytest
import torch

from training.model.config import ModelConfig
from training.model.factory import Components, build_random
from training.model.losses import mean_squared_error, total_loss
from training.model.perceptual import LAYERS, PerceptualLoss


def count_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def sd15() -> Components:
    return build_random(ModelConfig(), "sd15", device="meta")


def predict(model, device="meta", num=2, dtype=torch.float32):
    torch.manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, device=device, dtype=dtype)

    timesteps = torch.full((num,), 500, device=device)
    motion = torch.full((num,), 7.0, device=device)
    return model(draw(num, 4, 32, 32), timesteps, draw(num, 4, 32, 32), draw(num, 77, 768), motion)


def record_shapes(module):
    """Record the output shape of each named submodule; return the shapes and the handles of the hooks."""
    shapes = {}

    def record(name):
        def hook(_module, _inputs, output):
            shapes[name] = tuple((output[0] if isinstance(output, tuple) else output).shape)

        return hook

    handles = [part.register_forward_hook(record(name)) for name, part in module.named_modules() if name]
    return shapes, handles


def test_parts_have_the_expected_number_of_parameters(sd15):
    model = sd15.model
    # 859,520,964 of Stable Diffusion 1.5, and 8 x 320 x 9 for the new channels.
    assert count_parameters(model.unet) == 859_520_964 + 23_040 == 859_544_004
    assert count_parameters(model.warping.flow_net) == 507_610
    assert count_parameters(model.warping.injection) == 77 * 16 * 3 + 2 * 256 == 4_208
    assert count_parameters(model.motion_embedding) == 1024 * 768
    assert count_parameters(sd15.vae) == 83_653_863
    assert count_parameters(sd15.text_encoder) == 123_060_480


@pytest.mark.parametrize("variant", ["base", "motion-embed", "warp", "warp-add", "warp-concat", "full"])
def test_each_variant_has_its_input_channels(variant):
    config = ModelConfig(variant=variant)
    unet = build_random(config, "sd15", device="meta").model.unet
    assert unet.conv_in.weight.shape == (320, config.in_channels, 3, 3)
    assert unet.conv_in.bias.shape == (320,)


def test_shapes_inside_the_warping_module(sd15):
    shapes, handles = record_shapes(sd15.model.warping)
    predict(sd15.model)
    for handle in handles:
        handle.remove()
    flow_net = {name.removeprefix("flow_net."): shape for name, shape in shapes.items() if name.count(".") == 1}
    assert shapes["injection"] == (2, 16, 16, 16)
    assert shapes["injection.conv"] == (2, 16, 256)
    assert {name: flow_net[name] for name in ("conv0", "conv1", "conv1_1", "conv2", "conv2_1")} == {
        "conv0": (2, 64, 32, 32),
        "conv1": (2, 64, 16, 16),
        "conv1_1": (2, 128, 16, 16),
        "conv2": (2, 128, 8, 8),
        "conv2_1": (2, 128, 8, 8),
    }
    assert {name: flow_net[name] for name in ("flow2", "up2", "deconv1", "inter1", "flow1")} == {
        "flow2": (2, 2, 8, 8),
        "up2": (2, 2, 16, 16),
        "deconv1": (2, 32, 16, 16),
        "inter1": (2, 32, 16, 16),
        "flow1": (2, 2, 16, 16),
    }
    assert {name: flow_net[name] for name in ("up1", "deconv0", "inter0", "flow0")} == {
        "up1": (2, 2, 32, 32),
        "deconv0": (2, 16, 32, 32),
        "inter0": (2, 16, 32, 32),
        "flow0": (2, 2, 32, 32),
    }
    assert sd15.model.warping.flow_net.inter1[0].in_channels == 32 + 2 + 16
    assert sd15.model.warping.flow_net.deconv0[0].in_channels == 50
    assert sd15.model.warping.flow_net.inter0[0].in_channels == 16 + 2


def test_shapes_inside_the_u_net(sd15):
    shapes, handles = record_shapes(sd15.model.unet)
    prediction = predict(sd15.model)
    for handle in handles:
        handle.remove()
    assert shapes["conv_in"] == (2, 320, 32, 32)
    blocks = [shapes[f"down_blocks.{index}"] for index in range(4)]
    assert blocks == [(2, 320, 16, 16), (2, 640, 8, 8), (2, 1280, 4, 4), (2, 1280, 4, 4)]
    assert shapes["mid_block"] == (2, 1280, 4, 4)
    blocks = [shapes[f"up_blocks.{index}"] for index in range(4)]
    assert blocks == [(2, 1280, 8, 8), (2, 1280, 16, 16), (2, 640, 32, 32), (2, 320, 32, 32)]
    assert prediction.noise.shape == prediction.warped.shape == (2, 4, 32, 32)
    assert prediction.flow.shape == (2, 2, 32, 32)


def test_shapes_of_text_motion_and_images(sd15):
    assert sd15.text_encoder(torch.zeros(2, 77, dtype=torch.long, device="meta"))[0].shape == (2, 77, 768)
    assert sd15.model.motion_embedding(torch.zeros(2, device="meta")).shape == (2, 1, 768)
    assert sd15.vae.encode(torch.zeros(2, 3, 256, 256, device="meta")).latent_dist.mean.shape == (2, 4, 32, 32)
    assert sd15.vae.decode(torch.zeros(2, 4, 32, 32, device="meta")).sample.shape == (2, 3, 256, 256)


def test_shapes_inside_the_perceptual_loss():
    loss = PerceptualLoss.random().to("meta")
    shapes, _ = record_shapes(loss.features)
    assert loss(torch.zeros(2, 4, 32, 32, device="meta"), torch.zeros(2, 4, 32, 32, device="meta")).shape == (2,)
    assert [shapes[str(index)] for index in LAYERS] == [
        (2, 64, 32, 32),
        (2, 128, 16, 16),
        (2, 256, 8, 8),
        (2, 512, 4, 4),
        (2, 512, 2, 2),
    ]


@pytest.mark.slow
def test_one_optimizer_step_at_full_size():
    """The full variant in float32 on the CPU. Weights, gradients and AdamW need 14 GB."""
    model = build_random(ModelConfig(), "sd15", seed=0).model
    perceptual = PerceptualLoss.random()
    model.enable_gradient_checkpointing()
    optimizer = torch.optim.AdamW(model.trained_parameters(), lr=1e-4)
    before = model.unet.conv_in.weight.detach().clone()
    torch.manual_seed(1)
    noise, source = torch.randn(1, 4, 32, 32), torch.randn(1, 4, 32, 32) * 5
    prediction = model(noise, torch.tensor([500]), source, torch.randn(1, 77, 768), torch.tensor([7.0]))
    loss = total_loss(mean_squared_error(prediction.noise, noise), perceptual(prediction.warped, source)).mean()
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
    optimizer.step()
    assert (model.unet.conv_in.weight != before).all()
