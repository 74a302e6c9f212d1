"""A new inflated model equals the image model, except that frames attend to earlier frames."""

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from tests.training.giftune.helpers import NUM_FRAMES, perturb_trained_parameters
from training.giftune.attention import SpatioTemporalProcessor, TemporalAttention
from training.giftune.inflation import InflatedBlock, InflatedUNet
from training.model.errors import ModelError

SMALL = {
    "sample_size": 16,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 32,
}
FAMILY = {
    "as Stable Diffusion 1.x": {
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 4,
    },
    "as Stable Diffusion 2.x": {
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
        "upcast_attention": True,
    },
}


@pytest.fixture(params=FAMILY.values(), ids=FAMILY.keys())
def unet(request):
    torch.manual_seed(3)
    return UNet2DConditionModel(**SMALL, **request.param).eval()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, NUM_FRAMES, 4, 16, 16, generator=generator)
    return latents, torch.tensor([10, 700]), torch.randn(2, 77, 32, generator=generator)


def predict_frames(unet, latents, timesteps, text):
    """Predict each frame alone, with the image model."""
    with torch.no_grad():
        frames = [unet(latents[:, index], timesteps, text).sample for index in range(NUM_FRAMES)]
    return torch.stack(frames, dim=1)


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_first_frames_and_still_clips_equal_the_image_model(unet, inputs):
    latents, timesteps, text = inputs
    expected = predict_frames(unet, latents, timesteps, text)
    still = latents[:, :1].expand_as(latents)
    expected_still = predict_frames(unet, still, timesteps, text)
    model = InflatedUNet(unet, NUM_FRAMES)
    with torch.no_grad():
        assert_close(model(latents, timesteps, text)[:, 0], expected[:, 0])
        assert_close(model(still, timesteps, text), expected_still)


def test_with_plain_self_attention_every_frame_equals_the_image_model(unet, inputs):
    expected = predict_frames(unet, *inputs)
    model = InflatedUNet(unet, NUM_FRAMES)
    with torch.no_grad():
        difference = (model(*inputs) - expected).abs().amax()
        processors = unet.attn_processors
        assert sum(isinstance(processor, SpatioTemporalProcessor) for processor in processors.values()) >= 3
        for name, processor in processors.items():
            if isinstance(processor, SpatioTemporalProcessor):
                unet.get_submodule(name.removesuffix(".processor")).set_processor(AttnProcessor2_0())
        assert_close(model(*inputs), expected)
    assert difference > 1e-4


class EarlierFrames:
    """Self-attention for an image model that processes frame after frame: attends to stored frames 1 and i-1."""

    def __init__(self):
        self.stored = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        first, previous = (self.stored[0], self.stored[-1]) if self.stored else (hidden_states, hidden_states)
        self.stored.append(hidden_states)
        return AttnProcessor()(attn, hidden_states, torch.cat([first, previous], dim=1))


def test_every_frame_equals_the_image_model_with_self_attention_to_earlier_frames(unet, inputs):
    """The reference processes one frame at a time with plain attention, and does not use our code."""
    reference = copy.deepcopy(unet)
    num_replaced = 0
    for name in reference.attn_processors:
        attention = reference.get_submodule(name.removesuffix(".processor"))
        if name.endswith("attn1.processor"):
            attention.set_processor(EarlierFrames())
            num_replaced += 1
    assert num_replaced >= 3
    expected = predict_frames(reference, *inputs)
    assert (expected - predict_frames(unet, *inputs))[:, 1:].abs().amax() > 1e-4
    model = InflatedUNet(unet, NUM_FRAMES)
    with torch.no_grad():
        assert_close(model(*inputs), expected)


def test_new_temporal_attention_does_not_change_predictions(unet, inputs):
    model = InflatedUNet(unet, NUM_FRAMES)
    without = copy.deepcopy(model)
    inflated = [part for part in without.modules() if isinstance(part, InflatedBlock)]
    for block in inflated:
        assert isinstance(block.temporal, TemporalAttention)
        block.temporal = torch.nn.Identity()
    assert len(inflated) >= 3
    with torch.no_grad():
        assert torch.equal(model(*inputs), without(*inputs))
        perturb_trained_parameters(model)
        assert not torch.allclose(model(*inputs), without(*inputs), atol=1e-3)


def test_a_new_model_is_causal(unet, inputs):
    """Trained temporal attention, in contrast, depends on all frames."""
    latents, timesteps, text = inputs
    model = InflatedUNet(unet, NUM_FRAMES)
    with torch.no_grad():
        before = model(latents, timesteps, text)
        for changed in range(NUM_FRAMES):
            other = latents.clone()
            other[:, changed] += torch.randn(latents[:, 0].shape, generator=torch.Generator().manual_seed(6))
            after = model(other, timesteps, text)
            assert torch.equal(after[:, :changed], before[:, :changed])
            assert not torch.equal(after[:, changed], before[:, changed])


def test_clips_of_a_batch_are_independent(unet, inputs):
    latents, timesteps, text = inputs
    model = InflatedUNet(unet, NUM_FRAMES)
    perturb_trained_parameters(model)
    with torch.no_grad():
        together = model(latents, timesteps, text)
        for index in range(2):
            alone = model(latents[index : index + 1], timesteps[index : index + 1], text[index : index + 1])
            torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-4)


def test_only_queries_and_temporal_attention_are_trained(unet):
    before = {name for name, _ in unet.named_parameters()}
    model = InflatedUNet(unet, NUM_FRAMES)
    trained = set(model.trained_parameters())
    blocks = [name for name, _ in model.named_modules() if name.endswith(".block")]
    assert {f"{name}.{attention}.to_q.weight" for name in blocks for attention in ("attn1", "attn2")} == {
        name for name in trained if ".temporal." not in name
    }
    new = {name.removeprefix("unet.").replace(".block.", ".") for name, _ in model.named_parameters()} - before
    assert new == {name.removeprefix("unet.") for name in trained if ".temporal." in name}


def test_gradient_checkpointing_does_not_change_gradients(unet, inputs):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(4)
        model = InflatedUNet(copy.deepcopy(unet), NUM_FRAMES)
        perturb_trained_parameters(model)
        if checkpointing:
            model.unet.enable_gradient_checkpointing()
        model.train()(*inputs).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.trained_parameters().items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"in_channels": 9}, "9 input and 4 output channels"),
        ({"class_embed_type": "timestep"}, "needs more conditions than text"),
        ({"only_cross_attention": True}, "blocks without self- and cross-attention"),
        (
            {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "mid_block_type": None},
            "no transformer block",
        ),
    ],
)
def test_other_u_nets_raise(fields, message):
    unet = UNet2DConditionModel(**{**SMALL, **FAMILY["as Stable Diffusion 1.x"], **fields})
    with pytest.raises(ModelError, match=message):
        InflatedUNet(unet, NUM_FRAMES)
