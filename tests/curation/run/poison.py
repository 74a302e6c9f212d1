"""GIFs that no decoder survives, drawn; and a decoder that is made to die of one."""

from pathlib import Path

from tests.curation.decode.helpers import PIXEL, gif_frame, gif_start

ABORT = b"make the decoder abort"
"""A comment; the patched decoder below aborts when a file that holds it is opened."""
ABORT_IN_EXPORT = b"make the encoder abort"
"""Likewise, but only when frames are to be encoded."""
_SIDE = 65_535
_SITE_CUSTOMIZE = """
import os
import traceback
from PIL import GifImagePlugin, Image

Image.MAX_IMAGE_PIXELS = None

_open = GifImagePlugin.GifImageFile._open

def open_or_abort(self):
    here = self.fp.tell()
    data = self.fp.read()
    if {always!r} in data:
        os.abort()
    if {in_export!r} in data and any(call.name == "encode_frames" for call in traceback.extract_stack()):
        os.abort()
    self.fp.seek(here)
    _open(self)

GifImagePlugin.GifImageFile._open = open_or_abort
"""


def draw_huge() -> bytes:
    """Draw two frames on a canvas of 65535 x 65535: a kilobyte that takes 30 GB to decode."""
    return gif_start(_SIDE, _SIDE) + gif_frame() + gif_frame(left=1) + b";"


def draw_endless() -> bytes:
    """Draw a thousand dots on a canvas of 4000 x 4000: 50 KB, and minutes of compositing."""
    white = gif_frame()[: -len(PIXEL)] + PIXEL.replace(b"\x44", b"\x4c")
    return gif_start(4000, 4000) + (gif_frame() + white) * 500 + b";"


def draw_aborting(sound: bytes, marker: bytes = ABORT) -> bytes:
    """Put the comment into a sound GIF, before its trailer."""
    return sound[:-1] + b"\x21\xfe" + bytes([len(marker)]) + marker + b"\0;"


def patch_decoder(folder: Path) -> str:
    """Write a module that every Python with `folder` in PYTHONPATH imports at its start; returns the folder.

    It takes Pillow's own limit on pixels away, and makes it abort where ABORT stands in the file.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE_CUSTOMIZE.format(always=ABORT, in_export=ABORT_IN_EXPORT))
    return str(folder)
