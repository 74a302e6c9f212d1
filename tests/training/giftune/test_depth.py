"""Depth models of transformers, with small sizes and random weights."""

import json

import pytest
import torch
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
)

from training.errors import TrainingError
from training.giftune.depth import load_depth_model
from training.giftune.tuner import Tuner
from training.model.errors import ModelError
from training.runtime.weights import hash_weights

PREPARATION = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}


def make_depth_anything(**fields):
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=28, patch_size=14,
        reshape_hidden_states=False, out_indices=[1, 2, 3, 4], apply_layernorm=True,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=8, patch_size=14, **fields,
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(config)


def make_dpt():
    return DPTForDepthEstimation(
        DPTConfig(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32,
                  patch_size=16, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8],
                  fusion_hidden_size=8)
    )  # fmt: skip


def save(model, folder, size):
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({**PREPARATION, **size}))
    return str(folder)


@pytest.fixture
def depth_anything(tmp_path):
    torch.manual_seed(0)
    size = {"size": {"height": 30, "width": 30}, "ensure_multiple_of": 14}
    return save(make_depth_anything(), tmp_path / "depth-anything", size)


def test_each_model_type_gives_disparity_with_gradients(depth_anything, tmp_path, clip):
    torch.manual_seed(0)
    dpt = save(make_dpt(), tmp_path / "dpt", {"size": 32})
    for folder, side in ((depth_anything, 28), (dpt, 32)):
        model = load_depth_model(folder)
        assert model.side == side
        images = clip.images()[:2].requires_grad_()
        disparity = model(images)
        assert disparity.shape == (2, 64, 64)
        disparity.sum().backward()
        assert images.grad.abs().max() > 0
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_images_are_normalized_as_in_the_preprocessor_config(depth_anything):
    model = load_depth_model(depth_anything)
    calls = []
    model.model.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True)
    model(torch.full((1, 3, 64, 64), 0.2))  # 0.6 in the range [0, 1].
    expected = (0.6 - torch.tensor(PREPARATION["image_mean"])) / 0.2
    torch.testing.assert_close(calls[0]["pixel_values"].mean((0, 2, 3)), expected, rtol=0, atol=1e-5)


def test_other_models_raise(tmp_path):
    metric = save(make_depth_anything(depth_estimation_type="metric"), tmp_path / "metric", {"size": 28})
    with pytest.raises(ModelError, match="is a metric depth_anything; use a Depth Anything or DPT of relative depth"):
        load_depth_model(metric)
    Dinov2Config().save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ModelError, match="is a dinov2"):
        load_depth_model(str(tmp_path / "other"))
    with pytest.raises(ModelError, match=r"^no depth model can be loaded"):
        load_depth_model(str(tmp_path / "nothing"))


def test_the_background_loss_is_used_only_at_low_timesteps(quick, clip, tmp_path, depth_anything):
    config = quick(depth_model=depth_anything, background_weight=0.5, max_steps=9, background_max_timestep=300)
    tuner = Tuner(config, clip, tmp_path / "run")
    uses_background = set()
    for step in range(9):
        losses = tuner.step(tuner.model, step)
        values = losses.to_metrics()
        uses_background.add(losses.background is not None)
        if losses.background is not None:
            parts = values["noise_loss"] + 0.01 * values["consistency_loss"] + 0.5 * values["background_loss"]
            assert values["loss"] == pytest.approx(parts)
            losses.total.backward()
    assert uses_background == {True, False}
    assert any(parameter.grad is not None for parameter in tuner.trained.values())


def test_all_losses_together_change_only_trained_parameters(quick, clip, tmp_path, depth_anything):
    fields = {"background_weight": 0.5, "background_max_timestep": 1000, "consistency_weight": 0.5, "max_steps": 2}
    depth = load_depth_model(depth_anything)
    tuner = Tuner(quick(depth_model=depth_anything, **fields), clip, tmp_path / "run", disparity=depth)
    frozen = (tuner.tuned.parts.vae, tuner.tuned.parts.text_encoder, depth)
    before = [hash_weights(part) for part in frozen]
    weights = {name: tensor.clone() for name, tensor in tuner.tuned.model.state_dict().items()}
    tuner.tune()
    changed = {
        name for name, tensor in tuner.tuned.model.state_dict().items() if not torch.equal(tensor, weights[name])
    }
    assert changed == set(tuner.trained)
    assert [hash_weights(part) for part in frozen] == before


def test_a_background_weight_without_a_depth_model_raises(quick):
    with pytest.raises(TrainingError, match="background_weight needs a depth_model"):
        quick(background_weight=0.1)
