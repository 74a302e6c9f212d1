import pytest

from training.generation.config import GenerationConfig, parse_size
from training.generation.errors import GenerationError


@pytest.mark.parametrize(
    "fields",
    [
        {"motion_px": ()}, {"motion_px": (-1.0,)}, {"motion_px": (float("nan"),)}, {"size": (101,)},
        {"size": (100,), "fit": "crop"}, {"fps": 0},
        {"fps": 60}, {"batch": 0}, {"num_inference_steps": 0}, {"seed": -1}, {"dither": "x"}, {"loop": "x"},
        {"scheduler": "x"}, {"fit": "x"}, {"precision": "x"}, {"text_guidance": float("inf")},
    ],
)  # fmt: skip
def test_invalid_fields_raise(fields):
    with pytest.raises(GenerationError, match=r"^\S+ is .*; it must be .*[^.]$"):
        GenerationConfig(**fields)


def test_default_steps_depend_on_the_scheduler():
    assert GenerationConfig().num_steps == 100
    assert GenerationConfig(scheduler="dpm++").num_steps == 20
    assert GenerationConfig(num_inference_steps=3).num_steps == 3


def test_size_is_one_or_two_numbers():
    assert parse_size("256") == (256,)
    assert parse_size("320x256") == (320, 256)
    with pytest.raises(GenerationError, match="size is 'big'"):
        parse_size("big")
