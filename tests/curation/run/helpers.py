"""Drawn GIFs that exceed the limits, and a decoder patched to abort on marked GIFs."""

from pathlib import Path

from tests.curation.decode.helpers import PIXEL, gif_frame, gif_start

ABORT = b"make the decoder abort"
"""A comment in a GIF: the patched decoder aborts when it opens the file."""
ABORT_IN_EXPORT = b"make the encoder abort"
"""A comment in a GIF: the patched decoder aborts when it opens the file to encode frames."""
_SIDE = 65_535
_SITE_CUSTOMIZE = """
import importlib.abc
import importlib.machinery
import os
import sys
import traceback


def patch(canvas):
    start = canvas.Canvas.__init__

    def open_or_abort(self, data, *args):
        if {always!r} in data:
            os.abort()
        if {in_export!r} in data and any(call.name == "encode_frames" for call in traceback.extract_stack()):
            os.abort()
        start(self, data, *args)

    canvas.Canvas.__init__ = open_or_abort


class PatchingFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "curation.decode.gif.canvas":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), patch(module))
        return spec


sys.meta_path.insert(0, PatchingFinder())
"""


def draw_huge() -> bytes:
    """Draw two frames on a canvas of 65535 x 65535: 1 KB, 30 GB decoded."""
    return gif_start(_SIDE, _SIDE) + gif_frame() + gif_frame(left=1) + b";"


def draw_slow() -> bytes:
    """Draw 1,000 one-pixel frames on a canvas of 4000 x 4000: 50 KB, minutes of compositing."""
    white = gif_frame()[: -len(PIXEL)] + PIXEL.replace(b"\x44", b"\x4c")
    return gif_start(4000, 4000) + (gif_frame() + white) * 500 + b";"


def draw_aborting(gif: bytes, marker: bytes = ABORT) -> bytes:
    """Insert a comment into a GIF, before its trailer."""
    return gif[:-1] + b"\x21\xfe" + bytes([len(marker)]) + marker + b"\0;"


def patch_decoder(folder: Path) -> str:
    """Write a sitecustomize.py into `folder`, to be put on PYTHONPATH; return the folder.

    It aborts on GIFs with the comments above.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE_CUSTOMIZE.format(always=ABORT, in_export=ABORT_IN_EXPORT))
    return str(folder)
