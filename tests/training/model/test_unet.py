import copy

import pytest
import torch

from training.model.errors import ModelError
from training.model.unet import widen_conv_in


@pytest.fixture
def unet(build):
    """A small U-Net of Stable Diffusion with 4 input channels."""
    unet = build("base").model.unet
    torch.manual_seed(3)
    conv = torch.nn.Conv2d(4, unet.conv_in.out_channels, 3, padding=1)
    unet.conv_in = conv
    unet.register_to_config(in_channels=4)
    return unet.eval()


@pytest.mark.parametrize("in_channels", [8, 12])
def test_new_channels_do_not_change_the_output(unet, inputs, in_channels):
    wide = widen_conv_in(copy.deepcopy(unet), in_channels)
    with torch.no_grad():
        expected = unet(inputs.noisy, inputs.timesteps, inputs.text_embeds).sample
        for extra in (torch.zeros(2, in_channels - 4, 16, 16), torch.randn(2, in_channels - 4, 16, 16) * 100):
            sample = torch.cat([inputs.noisy, extra], 1)
            noise = wide(sample, inputs.timesteps, inputs.text_embeds).sample
            torch.testing.assert_close(noise, expected, rtol=0, atol=1e-5)
    assert expected.abs().max() > 0.01


def test_weight_and_bias_are_kept_and_the_config_is_updated(unet):
    """diffusers' script loses the bias: diffusers#4960."""
    old = copy.deepcopy(unet.conv_in)
    wide = widen_conv_in(unet, 12)
    assert torch.equal(wide.conv_in.bias, old.bias)
    assert old.bias.abs().max() > 0
    assert torch.equal(wide.conv_in.weight[:, :4], old.weight)
    assert wide.conv_in.weight[:, 4:].abs().max() == 0
    assert wide.conv_in.weight.requires_grad
    assert wide.config.in_channels == wide.conv_in.in_channels == 12


def test_a_saved_u_net_stays_wide(unet, tmp_path):
    widen_conv_in(unet, 12).save_pretrained(tmp_path)
    loaded = type(unet).from_pretrained(tmp_path)
    assert torch.equal(loaded.conv_in.weight, unet.conv_in.weight)


def test_narrowing_raises(unet):
    with pytest.raises(ModelError, match="cannot be narrowed"):
        widen_conv_in(widen_conv_in(unet, 12), 8)
