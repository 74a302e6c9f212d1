"""Build GIFs byte by byte, and probe them."""

import struct
from pathlib import Path

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip, ProbeTask, probe_clips
from curation.listing.clips import Clip

PIXEL = b"\x02\x02\x44\x01\x00"
"""Compressed data of one black pixel."""
WHITE_PIXEL = b"\x02\x02\x4c\x01\x00"


def gif_start(width: int, height: int, signature: bytes = b"GIF89a") -> bytes:
    """Return a header with a canvas and a palette of black and white."""
    return signature + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"


def gif_frame(left: int = 0, top: int = 0, width: int = 1, height: int = 1, delay_cs: int = 10) -> bytes:
    """Return one frame. It has data for one pixel, whatever its size."""
    control = b"!\xf9\x04" + struct.pack("<BHB", 0, delay_cs, 0) + b"\0"
    return control + b"," + struct.pack("<HHHHB", left, top, width, height, 0) + PIXEL


def make_clip(location: object, key: str = "clip") -> Clip:
    """Return a clip at a location."""
    return Clip(key=key, uri=str(location), location=str(location), captions=("a",), split="train", row=1)


def probe(*clips: Clip, **config: int) -> list[ProbedClip]:
    """Probe some clips."""
    return probe_clips(ProbeTask(clips=clips, config=CurationConfig(**config)))


def probe_bytes(folder: Path, data: bytes, **config: int) -> ProbedClip:
    """Write a file and probe it."""
    (folder / "a.gif").write_bytes(data)
    (probed,) = probe(make_clip(folder / "a.gif"), **config)
    return probed
