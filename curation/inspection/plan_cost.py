"""How long a selection takes to be made: the work on this machine, timed with a few frames of the data set itself."""

import dataclasses
import io
import itertools
import time
from collections.abc import Callable, Iterable

from PIL import Image

from curation.config import SOURCE_SIZE, CurationConfig
from curation.decode.decoder import FrameDecoder
from curation.export.encode import encode_picture
from shards.location import Location
from shards.reader import read_shard

_FRAMES_TIMED = 6
_START_S = 6.0
"""Of the workers, and their end."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class KeptClip:
    """As much of a clip as its cost hangs on."""

    num_frames: int
    num_pixels: int
    """Of one frame of the GIF."""
    num_pairs: int
    """That are kept."""

    @property
    def num_frames_kept(self) -> float:
        """Frames that stand in a kept pair, were the pairs drawn evenly."""
        return self.num_frames * (1 - (1 - 2 / max(self.num_frames, 2)) ** self.num_pairs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """What a core of this machine does."""

    decode_s_per_pixel: float
    encode_s_per_frame: float
    """Resizing included."""


def estimate_seconds(clips: Iterable[KeptClip], speed: Speed, workers: int) -> float:
    """Tell about how long it takes to decode these clips and to encode what is kept of them, on so many workers."""
    decoding = encoding = 0.0
    for clip in clips:
        decoding += clip.num_frames * clip.num_pixels * speed.decode_s_per_pixel
        encoding += clip.num_frames_kept * speed.encode_s_per_frame
    return _START_S + (decoding + encoding) / max(workers, 1)


def time_this_machine(shard: Location, width: int, height: int, config: CurationConfig) -> Speed:
    """Time decoding and encoding of a GIF of this size, drawn from pictures of a shard."""
    samples = itertools.islice(read_shard(shard), _FRAMES_TIMED)
    frames = [Image.open(io.BytesIO(sample.source)).convert("RGB").resize((width, height)) for sample in samples]
    gif = io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=100)
    data, last = gif.getvalue(), frozenset({len(frames) - 1})
    pictures = [frame.rgb for frame in FrameDecoder(data, config.resolution) if frame.rgb is not None]
    # The first round loads what is compiled.
    decode_s = _seconds(lambda: list(FrameDecoder(data, SOURCE_SIZE, last)))
    resize_s = _seconds(lambda: list(FrameDecoder(data, config.resolution))) - decode_s
    encode_s = _seconds(lambda: [encode_picture(picture, config) for picture in pictures])
    return Speed(
        decode_s_per_pixel=decode_s / (len(frames) * width * height),
        encode_s_per_frame=(max(resize_s, 0.0) + encode_s) / len(frames),
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
