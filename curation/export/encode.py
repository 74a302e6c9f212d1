"""Kept frames -> encoded pictures: each GIF is decoded once, and each frame that samples need is encoded once.

A task encodes a fragment of a shard: an Arrow file of pictures in the work folder. `pack.py` makes shards of them.
"""

import dataclasses
import io
import os
from collections.abc import Iterable

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from curation.config import CurationConfig
from curation.decode.decoder import warm_up_decoder
from curation.decode.formats.animation import open_animation
from curation.errors import SourceChangedError
from curation.fetch.read import read_clip
from curation.listing.clips import Clip
from curation.run.quarantine import Incident, quarantine
from curation.run.sandbox import Failure, Limits, isolate
from shards.storage.atomic import write_atomically
from shards.storage.location import Location

FRAGMENT_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.string()),
        pa.field("frame", pa.int32()),
        pa.field("picture", pa.binary()),
    ]
)
"""Encoded frames of some clips, in any order."""

_PILLOW_NAMES = {"png": "PNG", "webp": "WEBP"}
_JPEG_SAMPLING = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceClip:
    """A clip, the path of its GIF and the SHA-256 that it must have."""

    clip: Clip
    path: str
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeTask:
    """Frames of some clips of a shard, to be encoded into one fragment."""

    shard: tuple[str, int]
    """Split and number."""
    num_samples: int
    """Number of samples in the fragment."""
    clips: tuple[tuple[SourceClip, tuple[int, ...]], ...]
    """Clips with the indices of their frames, ascending."""
    config: CurationConfig
    fragment: Location
    quarantine: Location


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeResult:
    """A fragment that was written, or clips that could not be encoded."""

    shard: tuple[str, int]
    num_samples: int
    failures: tuple[Incident, ...]
    """Clips that crashed or timed out. If there are any, the fragment is incomplete."""


def encode_fragment(task: EncodeTask) -> EncodeResult:
    """Decode each clip once, encode its frames and write the fragment.

    Decoding and encoding run in the sandbox. Clips that crash or time out there are quarantined.
    """
    columns: dict[str, list[object]] = {name: [] for name in FRAGMENT_SCHEMA.names}
    failures = []
    for source, frames in task.clips:
        encoded = isolate(
            Limits.from_config(task.config), encode_frames, frames, source, task.config, warm_up=warm_up_decoder
        )
        if isinstance(encoded, Failure):
            failures.append(_quarantine(frames, source, encoded, task))
            continue
        columns["clip_key"] += [source.clip.key] * len(encoded)
        columns["frame"] += encoded.keys()
        columns["picture"] += encoded.values()
    table = pa.table(columns, schema=FRAGMENT_SCHEMA)
    with (
        write_atomically(task.fragment, is_lasting=False) as temporary,
        pa.OSFile(os.fsencode(temporary), "wb") as file,
        pa.ipc.new_file(file, FRAGMENT_SCHEMA) as writer,
    ):
        writer.write_table(table)
    return EncodeResult(shard=task.shard, num_samples=task.num_samples, failures=tuple(failures))


def _quarantine(frames: tuple[int, ...], source: SourceClip, failure: Failure, task: EncodeTask) -> Incident:
    incident = Incident(
        clip_key=source.clip.key, sha256=source.sha256, failure=failure, config=task.config, frames=frames
    )
    quarantine(task.quarantine, incident, read_clip(source.path, source.sha256, task.config.max_bytes))
    return incident


def encode_frames(frames: Iterable[int], source: SourceClip, config: CurationConfig) -> dict[int, bytes]:
    """Encode frames of a clip; returns the pictures by frame index.

    Raises SourceChangedError if the GIF has other bytes than before, or lacks a frame.
    """
    wanted = frozenset(frames)
    data = read_clip(source.path, source.sha256, config.max_bytes)
    pictures = {}
    for frame in open_animation(data, config, wanted):
        pictures[frame.index] = encode_picture(frame.rgb, config)
    if missing := wanted - pictures.keys():
        raise SourceChangedError(
            f"{source.path}: frame {min(missing)} was measured but is missing now; measure the clip again"
        )
    return pictures


def encode_picture(rgb: NDArray[np.uint8], config: CurationConfig) -> bytes:
    """Encode a frame, uint8 [H, W, 3], in the image format and quality of the config.

    JPEG has 4:2:0 chroma. Raises ValueError if a side exceeds the 65,500 pixels of JPEG.
    """
    if config.image_format == "jpg":
        # OpenCV writes Pillow's bytes, from the same library, in less time.
        options = (cv2.IMWRITE_JPEG_QUALITY, config.quality, *_JPEG_SAMPLING)
        is_encoded, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)
        if not is_encoded:
            height, width = rgb.shape[:2]
            raise ValueError(f"OpenCV cannot encode a frame of {width} x {height} pixels as JPEG")
        return data.tobytes()
    picture = io.BytesIO()
    Image.fromarray(rgb).save(picture, _PILLOW_NAMES[config.image_format], quality=config.quality)
    return picture.getvalue()
