import os

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from training.generation.errors import GenerationError
from training.generation.images import fit_image, plan_size, read_source


def save_and_read(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return read_source(tmp_path / name)


def test_rgb_images_are_unchanged_without_notes(tmp_path, picture):
    source = save_and_read(tmp_path, picture)
    assert source.notes == ()
    assert np.array_equal(source.image, picture)


def test_transparent_images_are_composited_on_white_with_a_note(tmp_path):
    source = save_and_read(tmp_path, Image.new("RGBA", (40, 40), (255, 0, 0, 51)))
    assert source.image.getpixel((0, 0)) == (255, 204, 204)
    assert "composited on white" in source.notes[0]
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([200, 0, 0])
    assert save_and_read(tmp_path, palette, transparency=0).image.getpixel((0, 0)) == (255, 255, 255)


def test_an_opaque_alpha_channel_gives_no_note(tmp_path):
    assert save_and_read(tmp_path, Image.new("RGBA", (40, 40), (9, 0, 0, 255))).notes == ()


def test_cmyk_is_converted_with_a_note(tmp_path):
    source = save_and_read(tmp_path, Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "x.tif")
    assert source.image.getpixel((0, 0)) == (255, 0, 0)
    assert "from CMYK" in source.notes[0]


def test_16_bits_are_scaled_with_a_note(tmp_path):
    source = save_and_read(tmp_path, Image.fromarray(np.full((40, 40), 40_000, np.uint16)))
    assert source.image.getpixel((0, 0)) == (156, 156, 156)
    assert "16 bits" in source.notes[0]


def test_exif_orientation_is_applied_with_a_note(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    source = save_and_read(tmp_path, picture, "x.jpg", exif=exif)
    assert source.image.size == (picture.height, picture.width)
    assert "EXIF orientation" in source.notes[0]


def test_the_first_frame_of_an_animation_is_used_with_a_note(tmp_path):
    red, blue = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    source = save_and_read(tmp_path, red, "x.gif", save_all=True, append_images=[blue])
    assert source.image.getpixel((0, 0)) == (255, 0, 0)
    assert "several frames; only the first" in source.notes[0]


def test_gif_is_read_as_browsers_show_it(tmp_path):
    red = Image.new("P", (40, 40), 1)
    red.putpalette([0, 0, 0, 255, 0, 0])
    red.save(tmp_path / "x.gif")
    data = bytearray((tmp_path / "x.gif").read_bytes())
    data[6] = 80  # A canvas of twice the width: Pillow fills the rest with the background colour.
    (tmp_path / "x.gif").write_bytes(data)
    image = read_source(tmp_path / "x.gif").image
    assert image.size == (80, 40)
    assert [image.getpixel((x, 0)) for x in (0, 79)] == [(255, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize(
    ("size", "message"), [((31, 500), "too small"), ((4000, 100), "too narrow"), ((20_000, 6_000), "too large")]
)
def test_unusable_sizes_raise(tmp_path, size, message):
    Image.new("1", size).save(tmp_path / "x.png")
    with pytest.raises(GenerationError, match=message):
        read_source(tmp_path / "x.png")


def test_unreadable_files_raise(tmp_path, cat):
    (tmp_path / "text.png").write_text("hello")
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(cat.read_bytes()[:200])
    for path, message in (
        (tmp_path / "text.png", "is not an image"),
        (truncated, "is damaged"),
        (tmp_path / "none.png", "^there is no image"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(GenerationError, match=message):
            read_source(path)


def test_postscript_named_png_starts_no_program(tmp_path, monkeypatch, picture):
    started = tmp_path / "started"
    for name in ("gs", "gswin64c"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ntouch {started}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # Otherwise Pillow remembers that there was no Ghostscript.
    picture.save(tmp_path / "x.png", "EPS")
    with pytest.raises(GenerationError, match=r"x\.png is not an image; use a PNG"):
        read_source(tmp_path / "x.png")
    assert not started.exists()


def test_floating_point_images_raise(tmp_path):
    with pytest.raises(GenerationError, match="8 or 16 bits"):
        save_and_read(tmp_path, Image.fromarray(np.zeros((40, 40), np.float32)), "x.tif")


def test_planned_sizes_keep_proportions_or_are_as_named():
    assert plan_size(300, 200, (256,)) == (384, 256)
    assert plan_size(200, 310, (256,)) == (256, 384)
    assert plan_size(200, 310, (64, 96)) == (64, 96)


def test_crop_keeps_proportions_and_resize_keeps_the_edges():
    picture = Image.new("RGB", (300, 100), "white")
    picture.paste("red", (0, 0, 50, 100))
    assert fit_image(picture, (100, 100), "crop").getpixel((0, 50)) == (255, 255, 255)
    assert fit_image(picture, (100, 100), "resize").getpixel((0, 50)) == (255, 0, 0)
