"""Clips -> where their bytes lie, what they hash to and how much work they are; or a verdict at once.

Runs before anything is decoded, so that limits are enforced on what a GIF announces and the cost of measuring it,
which goes with the square of its frames, is known beforehand.
"""

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor

from curation.config import SOURCE_SIZE, CurationConfig
from curation.decode.header import GifHeader, is_gif, scan_gif
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.listing.clips import Clip
from curation.run.sandbox import prepare
from shards.schema import Verdict

MAX_GREY_BYTES = 4 * 2**30
"""Grey frames of one clip at the run's resolution are held in memory together; more is refused."""
MIN_FRAMES = 2
"""A clip has at least one pair."""
_CONCURRENT_READS = 8
_SIGNATURES = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"%PDF", "a PDF document"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeTask:
    """Some clips to look at."""

    clips: tuple[Clip, ...]
    config: CurationConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbedClip:
    """One clip, looked at but not decoded."""

    clip_key: str
    path: str = ""
    """Where its bytes are: a path, or the location of an object in a cache."""
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    """As announced in the file."""
    verdict: Verdict | None = None
    """None where it is worth decoding."""
    detail: str | None = None
    """Why it has that verdict; or, where it has none, why no more than `num_frames` may be decoded."""

    @property
    def num_pairs(self) -> int:
        """Pairs that measuring it will take, if all its frames are sound."""
        frames = self.num_frames or 0
        return frames * (frames - 1) // 2


def probe_clips(task: ProbeTask) -> list[ProbedClip]:
    """Look at each clip of the task, in a worker, which will decode what it is given next."""
    prepare()  # The sandbox takes a second to stand, which is spent here.
    return look_at_clips(task)


def look_at_clips(task: ProbeTask) -> list[ProbedClip]:
    """Look at each clip of the task. Bad clips get a verdict; only a full or unwritable disk raises OSError."""
    with ThreadPoolExecutor(_CONCURRENT_READS) as threads:
        return list(threads.map(lambda clip: _probe(clip, task), task.clips))


def _probe(clip: Clip, task: ProbeTask) -> ProbedClip:
    try:
        data = fetch_bytes(clip.location, task.config.max_bytes)
    except FetchError as error:
        return ProbedClip(clip_key=clip.key, verdict=Verdict.FETCH_FAILED, detail=str(error))
    except TooManyBytesError as error:
        return ProbedClip(clip_key=clip.key, verdict=Verdict.TOO_LARGE, detail=str(error))
    looked = ProbedClip(clip_key=clip.key, path=clip.location, sha256=hashlib.sha256(data).hexdigest())
    if not is_gif(data):
        return dataclasses.replace(looked, verdict=Verdict.NOT_A_GIF, detail=describe_bytes(data))
    try:
        header = scan_gif(data, task.config.max_pixels)
    except ValueError as error:
        return dataclasses.replace(looked, verdict=Verdict.UNDECODABLE, detail=str(error))
    verdict, detail = judge_header(header, task.config)
    return dataclasses.replace(
        looked,
        width=header.width,
        height=header.height,
        num_frames=header.num_frames,
        verdict=verdict,
        detail=detail,
    )


def judge_header(header: GifHeader, config: CurationConfig) -> tuple[Verdict | None, str | None]:
    """Hold a GIF against the limits, before it is decoded.

    A frame that asks for too many pixels after two that do not is damage: the frames before it are kept.
    """
    oversize = None
    if header.oversize:
        oversize = "{} x {} pixels, more than the limit of {:,}".format(*header.oversize, config.max_pixels)
        if header.num_frames < MIN_FRAMES:
            return Verdict.TOO_LARGE, oversize
        oversize = f"frame {header.num_frames} asks for {oversize}"
    if header.num_frames > config.max_frames:
        return (
            Verdict.TOO_LARGE,
            f"{header.num_frames:,} frames, more than the limit of {config.max_frames:,}",
        )
    if header.num_frames == 0:
        return Verdict.UNDECODABLE, "the file holds no frame"
    if header.width * header.height == 0:
        return Verdict.UNDECODABLE, "the canvas has no pixels"
    pixels = header.width * header.height if config.resolution == SOURCE_SIZE else config.resolution**2
    if (grey := header.num_frames * pixels) > MAX_GREY_BYTES:
        limit = MAX_GREY_BYTES / 2**30
        return (
            Verdict.TOO_LARGE,
            f"{grey / 2**30:.1f} GiB of grey frames, more than the limit of {limit:.0f} GiB",
        )
    return None, oversize


def describe_bytes(data: bytes) -> str:
    """Say in words what bytes that are no GIF seem to be."""
    if not data:
        return "an empty file"
    for signature, words in _SIGNATURES:
        if data.startswith(signature):
            return words
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
