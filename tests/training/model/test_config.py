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
def test_each_variant_has_the_parts_of_section_4_3(variant, in_channels, embeds, warps, perceives):
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
def test_invalid_fields_raise(field, value):
    with pytest.raises(ModelError, match=rf"{field} is {value!r}; it must be .*[^.]$"):
        ModelConfig(**{field: value})


def test_the_config_does_not_import_torch():
    code = "import sys; from training.model.config import ModelConfig; ModelConfig(); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
