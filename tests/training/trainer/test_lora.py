"""Training with adapters for the U-Net: what changes, what is saved, and that diffusers loads it."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.helpers import read_losses
from tests.training.trainer.helpers import load_latest
from training.errors import TrainingError
from training.model.factory import build_random
from training.model.lora import add_lora, merge_lora
from training.model.pipeline import Pix2GifPipeline
from training.model.saved import load_pipeline
from training.trainer.trainer import Trainer


@pytest.fixture(scope="module")
def run(few_shards, tmp_path_factory, make_config):
    out = tmp_path_factory.mktemp("lora") / "run"
    config = make_config(max_steps=4, lora_rank=4, ema_decay=0.5, learning_rate=1e-2, warmup_steps=0)
    Trainer(config, str(few_shards), out).train()
    return config, out


def start(config):
    return build_random(config.model, config.random_size, config.seed)


def generate(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.fromarray(np.arange(128 * 128 * 3, dtype=np.uint8).reshape(128, 128, 3))
    return pipeline(picture, "a dog", motion=[2, 9], num_inference_steps=2, seed=1, output_type="pt").frames


def test_adapters_do_not_change_the_model_at_step_0(run):
    config, _ = run
    plain = start(config).model.unet
    unet = copy.deepcopy(plain)
    model = start(config).model
    add_lora(model, 4)
    inputs = (torch.randn(2, 12, 16, 16), torch.tensor([3, 500]), torch.randn(2, 77, 32))
    with torch.no_grad():
        assert torch.equal(model.unet(*inputs)[0], plain(*inputs)[0])
    merged = merge_lora(model.unet).state_dict()
    assert merged.keys() == unet.state_dict().keys()
    num_trained = sum(parameter.numel() for parameter in model.unet.parameters() if parameter.requires_grad)
    assert num_trained < 0.3 * sum(parameter.numel() for parameter in unet.parameters())


def test_adapters_the_first_convolution_and_the_other_parts_are_trained_and_no_more(run):
    config, out = run
    before = start(config).model.state_dict()
    after = load_latest(out)["model"]
    changed = {
        name for name, tensor in before.items() if not torch.equal(after.get(name, after.get(_base(name))), tensor)
    }
    parts = {name.split(".")[0] for name in changed if not name.startswith("unet.")}
    assert parts == {"motion_embedding", "warping"}
    assert {name for name in changed if name.startswith("unet.")} == {"unet.conv_in.weight", "unet.conv_in.bias"}
    assert all(tensor.abs().max() > 0 for name, tensor in after.items() if ".lora_B." in name)


def _base(name):
    layer, _, kind = name.rpartition(".")
    return f"{layer}.base_layer.{kind}"


def test_the_saved_adapters_make_the_saved_model_of_its_start(run):
    """diffusers loads RUN/lora onto the U-Net of step 0 with the trained first convolution, which RUN/model merges."""
    config, out = run
    merged = load_pipeline(out / "model")
    unet = start(config).model.unet
    unet.conv_in.load_state_dict(merged.unet.conv_in.state_dict())
    parts = {**merged.components, "unet": unet}
    pipeline = Pix2GifPipeline(**parts, model_variant="full")
    frames = generate(pipeline)
    pipeline.load_lora_weights(out / "lora")
    torch.testing.assert_close(generate(pipeline), generate(merged), rtol=0, atol=1e-4)
    assert (frames - generate(merged)).abs().max() > 1e-3


def test_a_run_with_adapters_resumes_bit_for_bit(run, few_shards, tmp_path):
    config, out = run
    Trainer(config, str(few_shards), tmp_path).train(num_steps=2)
    Trainer(config, str(few_shards), tmp_path).train()
    assert read_losses(tmp_path) == read_losses(out)
    resumed = load_latest(tmp_path)
    for group, tensors in load_latest(out).items():
        assert all(torch.equal(tensor, resumed[group][name]) for name, tensor in tensors.items())


def test_a_run_cannot_resume_with_another_rank(run, few_shards, make_config):
    config, out = run
    with pytest.raises(TrainingError, match="written with lora_rank 4, and this run has None"):
        Trainer(type(config)(**{**vars(config), "lora_rank": None}), str(few_shards), out)
    with pytest.raises(TrainingError, match="lora_rank is 0"):
        make_config(lora_rank=0)
