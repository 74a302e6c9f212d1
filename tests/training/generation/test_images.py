import numpy as np
import pytest
from PIL import Image

from training.generation.errors import GenerationError
from training.generation.images import fit_image, plan_size, read_source


def saved(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return read_source(tmp_path / name)


def test_a_plain_picture_is_left_as_it_is_without_a_word(tmp_path, picture):
    source = saved(tmp_path, picture)
    assert source.notes == ()
    assert np.array_equal(source.image, picture)


def test_alpha_is_laid_on_white_and_said(tmp_path):
    source = saved(tmp_path, Image.new("RGBA", (40, 40), (255, 0, 0, 51)))
    assert source.image.getpixel((0, 0)) == (255, 204, 204)
    assert "composited on white" in source.notes[0]
    assert saved(tmp_path, Image.new("RGBA", (40, 40), (9, 0, 0, 255))).notes == ()
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([200, 0, 0])
    assert saved(tmp_path, palette, transparency=0).image.getpixel((0, 0)) == (255, 255, 255)


def test_cmyk_is_converted_and_said(tmp_path):
    source = saved(tmp_path, Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "x.tif")
    assert source.image.getpixel((0, 0)) == (255, 0, 0)
    assert "from CMYK" in source.notes[0]


def test_16_bits_are_scaled_and_said(tmp_path):
    grey = Image.fromarray(np.full((40, 40), 40_000, np.uint16))
    source = saved(tmp_path, grey)
    assert source.image.getpixel((0, 0)) == (156, 156, 156)
    assert "16 bits" in source.notes[0]


def test_exif_turns_the_picture(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    source = saved(tmp_path, picture, "x.jpg", exif=exif)
    assert source.image.size == (picture.height, picture.width)
    assert "upright" in source.notes[0]


def test_of_an_animation_the_first_picture_is_taken(tmp_path):
    red, blue = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    source = saved(tmp_path, red, "x.gif", save_all=True, append_images=[blue])
    assert source.image.getpixel((0, 0)) == (255, 0, 0)
    assert "2 pictures; the first" in source.notes[0]


@pytest.mark.parametrize(
    ("size", "message"), [((31, 500), "too small"), ((4000, 100), "a strip"), ((20_000, 6_000), "too large")]
)
def test_sizes_that_are_refused(tmp_path, size, message):
    Image.new("1", size).save(tmp_path / "x.png")
    with pytest.raises(GenerationError, match=message):
        read_source(tmp_path / "x.png")


def test_what_is_no_image_is_refused(tmp_path, cat):
    (tmp_path / "text.png").write_text("hello")
    torn = tmp_path / "torn.png"
    torn.write_bytes(cat.read_bytes()[:200])
    for path, message in (
        (tmp_path / "text.png", "is no image"),
        (torn, "is damaged"),
        (tmp_path / "none.png", "^there is no image"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(GenerationError, match=message):
            read_source(path)
    with pytest.raises(GenerationError, match="no 8 or 16 bits"):
        saved(tmp_path, Image.fromarray(np.zeros((40, 40), np.float32)), "x.tif")


def test_sizes():
    assert plan_size(300, 200, (256,)) == (384, 256)
    assert plan_size(200, 310, (256,)) == (256, 384)
    assert plan_size(200, 310, (64, 96)) == (64, 96)


def test_cropping_keeps_proportions_and_resizing_keeps_the_edges():
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste("red", (0, 0, 50, 100))
    assert fit_image(picture, (100, 100), "crop").getpixel((0, 50)) == (255, 255, 255)
    assert fit_image(picture, (100, 100), "resize").getpixel((0, 50)) == (255, 0, 0)
