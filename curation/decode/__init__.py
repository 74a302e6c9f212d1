"""GIFs -> frames: probing, decoding, scene cuts and fingerprints.

from curation.decode import read_frames

frames = read_frames("cat.gif", resolution=256)
frames.rgb, frames.durations_ms, frames.damage
"""

from curation.decode.frames import Frames, read_frames

__all__ = ["Frames", "read_frames"]
