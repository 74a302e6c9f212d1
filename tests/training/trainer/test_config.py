import dataclasses

import pytest

from training.errors import TrainingError
from training.trainer.config import DEFAULT_PRESET, PRESETS, TrainingConfig, paper, resolve_config, tiny


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("global_batch", 0), ("micro_batch", 0), ("max_steps", 0), ("learning_rate", 0.0), ("ema_decay", 1.0),
        ("max_grad_norm", 0.0), ("snr_gamma", -1.0), ("precision", "fp8"), ("num_workers", -1),
        ("adam_beta1", 1.0), ("adam_beta2", -0.1), ("drop_text", -0.1), ("drop_image", -0.1), ("lr_schedule", "step"),
        ("optimizer", "sgd"),
    ],
)  # fmt: skip
def test_invalid_values_are_refused_by_field(field, value):
    with pytest.raises(TrainingError, match=rf"{field} is {value!r}; it must be"):
        TrainingConfig(**{field: value})


def test_the_paper_preset_has_the_papers_values():
    config = paper()
    assert (config.global_batch, config.max_steps, config.learning_rate) == (256, 25_000, 1e-4)
    assert (config.warmup_steps, config.perceptual_weight, config.ema_decay) == (10_000, 0.01, 0.9999)
    assert (config.precision, config.max_grad_norm, config.snr_gamma) == ("no", None, None)
    assert config.model.variant == "full"


def test_drop_rates_above_one_are_refused():
    with pytest.raises(TrainingError, match=r"drop_text, drop_both and drop_image add up to 1\.2; they must not"):
        TrainingConfig(drop_text=0.4, drop_both=0.4, drop_image=0.4)


def test_presets_for_gpus_differ_from_the_papers_in_speed_and_memory_only():
    speed = {"precision", "micro_batch", "gradient_checkpointing", "compile", "ema_on_cpu"}
    for name in ("card80", "card24"):
        changed = {key for key, value in vars(PRESETS[name]()).items() if value != vars(paper())[key]}
        assert changed <= speed
    card80 = PRESETS[DEFAULT_PRESET]()
    assert (card80.precision, card80.compile, card80.channels_last, card80.optimizer) == ("bf16", True, True, "adamw")


def test_presets_are_valid_and_tiny_needs_no_downloads():
    assert all(dataclasses.is_dataclass(preset()) for preset in PRESETS.values())
    assert tiny().pretrained is None
    assert tiny().perceptual_weights is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('max_steps = "many"', "max_steps is 'many'; it must be a whole number"),
        ('compile = "no"', "compile is 'no'; it must be true or false"),
        ("snr_gamma = true", "snr_gamma is True; it must be a number"),
        ('on_damage = "ignore"', "on_damage is 'ignore'; it must be raise or skip"),
        ('model = "full"', "model is 'full'; it must be a table"),
        ("max-steps = 1\nmax_steps = 2", "max_steps is set twice"),
    ],
)
def test_config_files_with_values_of_another_type_are_refused(tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(TrainingError, match=rf"run\.toml: {message}"):
        resolve_config("tiny", tmp_path / "run.toml", {})
