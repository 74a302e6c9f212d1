"""Drawn GIFs that exceed the limits, and a decoder patched to abort or wait on marked GIFs."""

import os
from pathlib import Path

from tests.curation.decode.helpers import PIXEL, gif_frame, gif_start

ABORT = b"make the decoder abort"
"""A comment in a GIF: the patched decoder aborts when it opens the file."""
ABORT_IN_EXPORT = b"make the encoder abort"
"""A comment in a GIF: the patched decoder aborts when it opens the file to encode frames."""
WAIT = b"make the decoder wait"
"""A comment in a GIF: the patched decoder writes the file WAITS into its own folder and waits when it opens the GIF."""
WAITS = "waits"
_SIDE = 65_535
_SITE_CUSTOMIZE = """
import importlib.abc
import importlib.machinery
import os
import pathlib
import sys
import time
import traceback


def patch(canvas):
    start = canvas.Canvas.__init__

    def open_or_abort(self, data, *args):
        if {always!r} in data:
            os.abort()
        if {in_export!r} in data and any(call.name == "encode_frames" for call in traceback.extract_stack()):
            os.abort()
        if {wait!r} in data:
            pathlib.Path(__file__).with_name({waits!r}).touch()
            time.sleep(1000)
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


def add_comment(gif: bytes, comment: bytes) -> bytes:
    """Insert a comment into a GIF, before its trailer."""
    return gif[:-1] + b"\x21\xfe" + bytes([len(comment)]) + comment + b"\0;"


def patch_decoder(folder: Path) -> str:
    """Write a sitecustomize.py into `folder`; return the PYTHONPATH of a process whose decoder is patched.

    The decoder aborts or waits on GIFs with the comments above.
    """
    folder.mkdir()
    text = _SITE_CUSTOMIZE.format(always=ABORT, in_export=ABORT_IN_EXPORT, wait=WAIT, waits=WAITS)
    (folder / "sitecustomize.py").write_text(text)
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
