"""Clips -> SHA-256, canvas size and frame count of each, or a verdict.

Probing happens before decoding. It enforces the limits on what a GIF's header announces, and gives the cost of
measuring, which grows with the square of the frame count.
"""

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor

from curation.config import SOURCE_SIZE, CurationConfig
from curation.decode.gif.blocks import GifHeader, is_gif, scan_gif
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.listing.clips import Clip
from shards.schema import Verdict

MAX_GREY_BYTES = 4 * 2**30
"""Limit on the size of a clip's grey frames, which are in memory together."""
MIN_FRAMES = 2
"""A clip needs at least one pair of frames."""
_NUM_THREADS = 8
_SIGNATURES = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"%PDF", "a PDF document"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeTask:
    """A batch of clips to probe."""

    clips: tuple[Clip, ...]
    config: CurationConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbedClip:
    """Probe result of one clip."""

    clip_key: str
    path: str = ""
    """Location of its bytes: a path, or an object in a cache."""
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    """Number of frame headers in the file."""
    verdict: Verdict | None = None
    """None if the clip is to be measured."""
    detail: str | None = None
    """The reason for the verdict. Without a verdict: why only the first `num_frames` frames may be decoded."""

    @property
    def num_pairs(self) -> int:
        """Number of pairs to measure, if all frames can be decoded."""
        frames = self.num_frames or 0
        return frames * (frames - 1) // 2


def probe_clips(task: ProbeTask) -> list[ProbedClip]:
    """Probe each clip of the task. A bad clip gets a verdict. Raises OSError if the disk is full or not writable."""
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        return list(threads.map(lambda clip: _probe(clip, task.config), task.clips))


def _probe(clip: Clip, config: CurationConfig) -> ProbedClip:
    try:
        data = fetch_bytes(clip.location, config.max_bytes, clip.folder)
    except FetchError as error:
        return ProbedClip(clip_key=clip.key, verdict=Verdict.FETCH_FAILED, detail=str(error))
    except TooManyBytesError as error:
        return ProbedClip(clip_key=clip.key, verdict=Verdict.TOO_LARGE, detail=str(error))
    probed = ProbedClip(clip_key=clip.key, path=clip.location, sha256=hashlib.sha256(data).hexdigest())
    if not is_gif(data):
        return dataclasses.replace(probed, verdict=Verdict.NOT_A_GIF, detail=describe_bytes(data))
    try:
        header = scan_gif(data, config.max_pixels)
    except ValueError as error:
        return dataclasses.replace(probed, verdict=Verdict.UNDECODABLE, detail=str(error))
    verdict, detail = check_header(header, config)
    return dataclasses.replace(
        probed,
        width=header.width,
        height=header.height,
        num_frames=header.num_frames,
        verdict=verdict,
        detail=detail,
    )


def check_header(header: GifHeader, config: CurationConfig) -> tuple[Verdict | None, str | None]:
    """Check a GIF's header against the limits; returns (verdict, detail) as in ProbedClip.

    An oversize frame after at least two valid ones counts as damage: the frames before it are used.
    """
    oversize = None
    if header.oversize:
        oversize = "{} x {} pixels, more than the limit of {:,}".format(*header.oversize, config.max_pixels)
        if header.num_frames < MIN_FRAMES:
            return Verdict.TOO_LARGE, oversize
        oversize = f"frame {header.num_frames} asks for {oversize}"
    if header.num_frames > config.max_frames:
        return Verdict.TOO_LARGE, f"{header.num_frames:,} frames, more than the limit of {config.max_frames:,}"
    if header.num_frames == 0:
        return Verdict.UNDECODABLE, "the file holds no frame"
    canvas_pixels = header.width * header.height
    if canvas_pixels == 0:
        return Verdict.UNDECODABLE, "the canvas has no pixels"
    frame_pixels = canvas_pixels if config.resolution == SOURCE_SIZE else config.resolution**2
    if (grey_bytes := header.num_frames * frame_pixels) > MAX_GREY_BYTES:
        used, limit = grey_bytes / 2**30, MAX_GREY_BYTES / 2**30
        return Verdict.TOO_LARGE, f"{used:.1f} GiB of grey frames, more than the limit of {limit:.0f} GiB"
    return None, oversize


def describe_bytes(data: bytes) -> str:
    """Describe data that is not a GIF by its file type, as far as it is recognised."""
    if not data:
        return "an empty file"
    for signature, description in _SIGNATURES:
        if data.startswith(signature):
            return description
    if data[4:8] == b"ftyp":
        return "an MP4 video"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "a WebP picture"
    start = data[:200].decode("utf-8", "replace").strip()
    if start.lower().startswith(("<!doctype html", "<html")):
        return f"an HTML page: {start[:80]!r}"
    if start.startswith(("<?xml", "<Error")):
        return f"an XML document: {start[:80]!r}"
    return f"neither a GIF nor anything known; it starts with {data[:16]!r}"
