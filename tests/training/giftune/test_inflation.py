"""At step 0 the inflated model is the image model, as far as attention to earlier frames lets it be."""

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from tests.training.giftune.conftest import NUM_FRAMES, set_at_random
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


def predict_by_image(unet, latents, timesteps, text):
    """A frame at a time, by the model of images."""
    with torch.no_grad():
        frames = [unet(latents[:, index], timesteps, text).sample for index in range(NUM_FRAMES)]
    return torch.stack(frames, dim=1)


def close(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_the_first_frame_and_every_frame_of_a_still_clip_are_the_image_models(unet, inputs):
    latents, timesteps, text = inputs
    expected = predict_by_image(unet, latents, timesteps, text)
    still = latents[:, :1].expand_as(latents)
    expected_still = predict_by_image(unet, still, timesteps, text)
    model = InflatedUNet(unet, NUM_FRAMES)
    with torch.no_grad():
        close(model(latents, timesteps, text)[:, 0], expected[:, 0])
        close(model(still, timesteps, text), expected_still)


def test_but_for_whom_a_frame_attends_to_every_frame_is_the_image_models(unet, inputs):
    expected = predict_by_image(unet, *inputs)
    model = InflatedUNet(unet, NUM_FRAMES)
    with torch.no_grad():
        tuned_away = (model(*inputs) - expected).abs().amax()
        processors = unet.attn_processors
        assert sum(isinstance(processor, SpatioTemporalProcessor) for processor in processors.values()) >= 3
        for name, processor in processors.items():
            if isinstance(processor, SpatioTemporalProcessor):
                unet.get_submodule(name.removesuffix(".processor")).set_processor(AttnProcessor2_0())
        close(model(*inputs), expected)
    assert tuned_away > 1e-4


class EarlierFrames:
    """Self-attention of an image model that draws frame after frame: what frames 1 and i-1 left here answers."""

    def __init__(self):
        self.left = []

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        first, previous = (self.left[0], self.left[-1]) if self.left else (hidden_states, hidden_states)
        self.left.append(hidden_states)
        return AttnProcessor()(attn, hidden_states, torch.cat([first, previous], dim=1))


def test_every_frame_of_a_moving_clip_is_the_image_models_with_its_self_attention_turned_to_earlier_frames(
    unet, inputs
):
    """The reference draws one frame at a time, with attention written out, and knows nothing of clips."""
    reference = copy.deepcopy(unet)
    turned = 0
    for name in reference.attn_processors:
        attention = reference.get_submodule(name.removesuffix(".processor"))
        if name.endswith("attn1.processor"):
            attention.set_processor(EarlierFrames())
            turned += 1
    assert turned >= 3
    expected = predict_by_image(reference, *inputs)
    assert (expected - predict_by_image(unet, *inputs))[:, 1:].abs().amax() > 1e-4
    model = InflatedUNet(unet, NUM_FRAMES)
    with torch.no_grad():
        close(model(*inputs), expected)


def test_the_temporal_attention_adds_exactly_nothing_to_a_moving_clip(unet, inputs):
    model = InflatedUNet(unet, NUM_FRAMES)
    without = copy.deepcopy(model)
    added = [part for part in without.modules() if isinstance(part, InflatedBlock)]
    for block in added:
        assert isinstance(block.temporal, TemporalAttention)
        block.temporal = torch.nn.Identity()
    assert len(added) >= 3
    with torch.no_grad():
        assert torch.equal(model(*inputs), without(*inputs))
        set_at_random(model)
        assert not torch.allclose(model(*inputs), without(*inputs), atol=1e-3)


def test_no_frame_changes_one_before_it(unet, inputs):
    """At step 0: the temporal attention, once it has learnt, hears all frames."""
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


def test_clips_of_a_batch_do_not_mix(unet, inputs):
    latents, timesteps, text = inputs
    model = InflatedUNet(unet, NUM_FRAMES)
    set_at_random(model)
    with torch.no_grad():
        together = model(latents, timesteps, text)
        for index in range(2):
            alone = model(latents[index : index + 1], timesteps[index : index + 1], text[index : index + 1])
            torch.testing.assert_close(alone[0], together[index], rtol=0, atol=1e-4)


def test_queries_and_temporal_attention_are_trained_and_nothing_else(unet):
    before = {name for name, _ in unet.named_parameters()}
    model = InflatedUNet(unet, NUM_FRAMES)
    trained = set(model.trained())
    blocks = [name for name, _ in model.named_modules() if name.endswith(".block")]
    assert {f"{name}.{attention}.to_q.weight" for name in blocks for attention in ("attn1", "attn2")} == {
        name for name in trained if ".temporal." not in name
    }
    new = {name.removeprefix("unet.").replace(".block.", ".") for name, _ in model.named_parameters()} - before
    assert new == {name.removeprefix("unet.") for name in trained if ".temporal." in name}


def test_gradient_checkpointing_changes_no_gradient(unet, inputs):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(4)
        model = InflatedUNet(copy.deepcopy(unet), NUM_FRAMES)
        set_at_random(model)
        if checkpointing:
            model.unet.enable_gradient_checkpointing()
        model.train()(*inputs).square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.trained().items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"in_channels": 9}, "takes 9 channels and gives 4"),
        ({"class_embed_type": "timestep"}, "wants more than a text"),
        ({"only_cross_attention": True}, "do not pair self- with cross-attention"),
        (
            {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "mid_block_type": None},
            "no transformer block",
        ),
    ],
)
def test_a_u_net_of_another_family_gets_a_sentence(fields, sentence):
    unet = UNet2DConditionModel(**{**SMALL, **FAMILY["as Stable Diffusion 1.x"], **fields})
    with pytest.raises(ModelError, match=sentence):
        InflatedUNet(unet, NUM_FRAMES)
