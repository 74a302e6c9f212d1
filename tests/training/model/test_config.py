import subprocess
import sys

import pytest

from training.model.config import ModelConfig
from training.model.errors import ModelError


@pytest.mark.parametrize(
    ("variant", "in_channels", "embeds", "warps", "perceives"),
    [
        ("base", 8, False, False, False),
        ("motion-embed", 8, True, False, False),
        ("warp", 8, True, True, False),
        ("warp-add", 8, True, True, False),
        ("warp-concat", 12, True, True, False),
        ("full", 12, True, True, True),
    ],
)
def test_variants_of_section_4_3(variant, in_channels, embeds, warps, perceives):
    config = ModelConfig(variant=variant)
    assert config.in_channels == in_channels
    assert (config.has_motion_embedding, config.has_warp, config.has_perceptual_loss) == (embeds, warps, perceives)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("variant", "warp_add"),
        ("flow_mode", "relative"),
        ("flow_norm", "layer"),
        ("motion_init", "ones"),
        ("num_motions", 0),
        ("num_motions", 2.5),
    ],
)
def test_what_cannot_be_is_named(field, value):
    with pytest.raises(ModelError, match=rf"{field} is {value!r}; it must be .*[^.]$"):
        ModelConfig(**{field: value})


def test_reading_a_config_loads_no_torch():
    code = "import sys; from training.model import ModelConfig; ModelConfig(); print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"


def test_every_name_of_the_room_is_there():
    import training.model

    assert all(getattr(training.model, name) is not None for name in training.model.__all__)
    with pytest.raises(AttributeError):
        training.model.nothing  # noqa: B018
