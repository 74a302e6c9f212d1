"""The `authors` preset against the form of their code, which is written down here a second time, with plain layers.

Sizes are those of the paper: latents of 4 x 32 x 32, 77 tokens of width 768.
"""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's conventional name.)

from tests.training.model.helpers import randomize_parameters
from training.model.perceptual import PerceptualLoss
from training.model.warp import WarpingModule
from training.trainer.config import TrainingConfig, authors, paper


def conv(inputs, outputs, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
    )


def deconv(inputs, outputs):
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)
    )


def predict(inputs):
    return nn.Sequential(nn.Conv2d(inputs, 2, 3, padding=1), nn.Tanh())


class DescribedInjection(nn.Module):
    """77 tokens to 16 channels and 768 values to 256, transposed and normalized over both."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(77, 16, kernel_size=3, stride=3, padding=1)
        self.norm = nn.LayerNorm([256, 16])

    def forward(self, c_l):
        features = self.norm(self.conv(c_l).transpose(1, 2))
        return F.relu(features).transpose(1, 2).reshape(len(c_l), 16, 16, 16)


class DescribedFlowNet(nn.Module):
    """Three resolutions down and up; each flow is upsampled and joined to the next resolution."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([conv(4, 64), conv(64, 64, 2), conv(64, 128), conv(128, 128, 2), conv(128, 128)])
        self.predict2, self.up2 = predict(128), nn.ConvTranspose2d(2, 2, 4, 2, 1)
        self.deconv1, self.inter1 = deconv(128, 32), conv(50, 32)
        self.predict1, self.up1 = predict(32), nn.ConvTranspose2d(2, 2, 4, 2, 1)
        self.deconv0, self.inter0 = deconv(50, 16), conv(18, 16)
        self.predict0 = predict(16)

    def forward(self, latent, injected):
        features = latent
        for block in self.down:
            features = block(features)
        joined = torch.cat([self.deconv1(features), self.up2(self.predict2(features)), injected], 1)
        flow1 = self.predict1(self.inter1(joined))
        return self.predict0(self.inter0(torch.cat([self.deconv0(joined), self.up1(flow1)], 1)))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def described():
    torch.manual_seed(0)
    parts = DescribedFlowNet(), DescribedInjection()
    for part in parts:
        randomize_parameters(part, scale=0.1)
    return parts


def make_module(config):
    return WarpingModule(
        flow_mode=config.model.flow_mode, flow_norm=config.model.flow_norm, warp_layers=config.model.warp_layers
    )


def test_the_authors_preset_has_their_number_of_parameters(described):
    module, ours = make_module(authors()), make_module(paper())
    assert [count(part) for part in described] == [508_266, 11_904]
    assert [count(module.flow_net), count(module.injection)] == [508_266, 11_904]
    assert [count(ours.flow_net), count(ours.injection)] == [507_610, 4_208]


@pytest.mark.parametrize("training", [True, False])
def test_the_authors_warp_computes_what_is_described(described, training):
    flow_net, injection = (part.train(training) for part in described)
    module = make_module(authors()).train(training)
    for part, ours in ((flow_net, module.flow_net), (injection, module.injection)):
        # Both register their layers in the order of the data.
        values = zip(ours.state_dict(), part.state_dict().values(), strict=True)
        ours.load_state_dict(dict(values))
    latent, c_l = torch.randn(2, 4, 32, 32), torch.randn(2, 77, 768)
    with torch.no_grad():
        warped, flow = module(latent, c_l)
        grid = flow_net(latent, injection(c_l))
        expected = F.grid_sample(latent, grid.permute(0, 2, 3, 1), align_corners=False)
    assert grid.std() > 0.01
    torch.testing.assert_close(flow, grid)
    torch.testing.assert_close(warped, expected)


def test_the_authors_features_are_those_of_a_network_whose_relus_work_in_place():
    """torchvision's VGG overwrites the output of each convolution with that of its ReLU."""
    loss = PerceptualLoss.random(seed=1, compared=authors().perceptual_features)
    layers = [nn.ReLU(inplace=True) if isinstance(layer, nn.ReLU) else layer for layer in loss.features]
    latents = [torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    kept = []
    for latent in latents:
        features, outputs = latent.clone(), []
        for layer in layers:
            features = layer(features)
            outputs.append(features)
        kept.append([outputs[index] for index in (0, 5, 10, 19, 28)])
    expected = sum((first - second).square().mean((1, 2, 3)) for first, second in zip(*kept, strict=True))
    torch.testing.assert_close(loss(*latents), expected)
    before = PerceptualLoss.random(seed=1)(*latents)
    assert (before > 1.5 * expected).all()


def test_the_rest_of_the_authors_preset_is_the_papers():
    config = authors()
    assert (config.model.flow_mode, config.model.flow_norm, config.model.motion_init) == ("absolute", "batch", "normal")
    changed = {
        field.name
        for field in dataclasses.fields(TrainingConfig)
        if getattr(config, field.name) != getattr(paper(), field.name)
    }
    assert changed == {"model", "perceptual_features"}
    assert config.perceptual_weight == 0.01
