import dataclasses

import pytest

from training.errors import TrainingError
from training.giftune.config import GifTuneConfig, paper, resolve_config


def test_options_override_the_file_and_the_file_overrides_the_preset(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('max-steps = 7\nseed = 5\nconsistency = "stillness"\n')
    config = resolve_config("tiny", path, {"seed": 6})
    assert (config.max_steps, config.seed, config.consistency, config.resolution) == (7, 6, "stillness", 64)


def test_the_paper_preset_has_the_values_of_tune_a_video():
    config = paper()
    assert (config.resolution, config.num_frames, config.learning_rate, config.max_steps) == (512, 24, 3e-5, 500)
    assert (config.inversion_steps, config.guidance, config.seed, config.weight_decay) == (50, 12.5, 33, 1e-2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_frames": 1}, "num_frames is 1; it must be 2 or more"),
        ({"learning_rate": 0}, "learning_rate is 0; it must be more than 0"),
        ({"consistency": "calm"}, "consistency is 'calm'; it must be change or stillness"),
        ({"guidance": 0.5}, "guidance is 0.5; it must be 1 or more"),
        ({"inversion_steps": 1000}, "inversion_steps is 1000; it must be 999 or fewer"),
        ({"background_weight": -1}, "background_weight is -1; it must be 0 or more"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(TrainingError, match=message):
        dataclasses.replace(GifTuneConfig(), **fields)


@pytest.mark.parametrize(
    ("preset", "text", "message"),
    [
        ("large", "", "there is no preset 'large'; there are paper, tiny"),
        ("tiny", "steps = 3", "no parameter is called 'steps'"),
        ("tiny", 'max_steps = "many"', "run.toml: max_steps is 'many'; it must be a whole number"),
        ("tiny", "gradient-checkpointing = 1", "gradient_checkpointing is 1; it must be true or false"),
        ("tiny", 'consistency = "x"', "consistency is 'x'; it must be change or stillness"),
        ("tiny", "seed = 1\nmax-steps = 1\nmax_steps = 2", "max_steps is set twice"),
    ],
)
def test_unknown_presets_and_invalid_files_raise(tmp_path, preset, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        resolve_config(preset, path, {})
