import numpy as np
import pytest
from PIL import Image

from shards.pictures import composite_on_white


def test_every_colour_and_alpha_is_composited_as_pillow_composites_it():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    picture = Image.fromarray(np.stack([colour, colour, colour, alpha], -1).astype(np.uint8))
    expected = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    assert np.array_equal(composite_on_white(picture), expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_opaque_pictures_need_no_alpha_channel(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    assert np.array_equal(composite_on_white(picture), picture.convert("RGBA").convert("RGB"))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "RGBa"])
def test_a_transparent_picture_becomes_white(mode):
    picture = Image.new("RGBA", (4, 4), (9, 9, 9, 0)).convert(mode)
    assert composite_on_white(picture).getcolors() == [(16, (255, 255, 255))]
