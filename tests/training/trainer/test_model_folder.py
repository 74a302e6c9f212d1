"""What RUN/model holds: the averaged weights and the frozen parts as they were loaded."""

import pytest
import torch

from tests.training.trainer.helpers import load_latest
from training.model.factory import build_random
from training.model.saved import load_pipeline
from training.runtime.weights import hash_weights
from training.trainer.trainer import Trainer

EMA_DECAY = 0.3
DECAYS = [0.0, 2 / 11, 3 / 12, EMA_DECAY, EMA_DECAY]
"""Of steps 1 to 5: 0, then min(decay, (1 + n) / (10 + n)) after n steps, as in Latent Diffusion."""


def test_the_model_holds_the_average_of_the_weights_by_its_formula(few_shards, tmp_path, make_config):
    trainer = Trainer(make_config(max_steps=len(DECAYS), ema_decay=EMA_DECAY), str(few_shards), tmp_path)
    expected: list[torch.Tensor] = []
    for decay in DECAYS:
        trainer.train(num_steps=1)
        weights = [parameter.detach().double() for parameter in trainer.model.trained_parameters()]
        if not expected:
            expected = [torch.zeros_like(weight) for weight in weights]
        expected = [decay * mean + (1 - decay) * weight for mean, weight in zip(expected, weights, strict=True)]
    saved = load_pipeline(tmp_path / "model").model.trained_parameters()
    stored = load_latest(tmp_path)["ema"]
    for number, mean in enumerate(expected):
        torch.testing.assert_close(saved[number].double(), mean, rtol=0, atol=1e-7)
        assert torch.equal(stored[f"{number:05d}"], saved[number])
    assert max(float((mean - weight).abs().max()) for mean, weight in zip(expected, weights, strict=True)) > 1e-4


@pytest.mark.usefixtures("any_precision")
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_model_of_a_bf16_run_holds_the_frozen_parts_unrounded(few_shards, tmp_path, make_config, channels_last):
    config = make_config(max_steps=1, precision="bf16", channels_last=channels_last)
    trainer = Trainer(config, str(few_shards), tmp_path)
    assert trainer.placed_parts.vae.dtype == trainer.placed_parts.text_encoder.dtype == torch.bfloat16
    trainer.train()
    loaded, original = load_pipeline(tmp_path / "model"), build_random(config.model, "tiny", config.seed)
    assert hash_weights(loaded.vae) == hash_weights(original.vae)
    assert hash_weights(loaded.text_encoder) == hash_weights(original.text_encoder)
