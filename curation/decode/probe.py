"""Clips -> SHA-256, canvas size and frame count of each, or a verdict.

Probing happens before decoding. It enforces the limits on what a GIF's header announces, and gives the cost of
measuring, which grows with the square of the frame count.
"""

import dataclasses
import hashlib
import math
from concurrent.futures import ThreadPoolExecutor

from curation.config import MAX_FRAMES, SOURCE_SIZE, CurationConfig
from curation.decode.decoder import UndecodableError
from curation.decode.formats.animation import needs_sandbox, scan_animation, warm_up_scanning
from curation.decode.formats.header import Header
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.fetch.read import read_clip
from curation.file_format import FileFormat, describe_bytes, detect_format
from curation.listing.clips import Clip
from curation.run.sandbox import Failure, Limits, isolate
from shards.schema import Verdict

MAX_GREY_BYTES = 4 * 2**30
"""Limit on the size of a clip's grey frames, which are in memory together."""
MIN_FRAMES = 2
"""A clip needs at least one pair of frames."""
_NUM_THREADS = 8


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
    """Number of frame headers in the file; of a video, of the frames that are sampled."""
    format: FileFormat | None = None
    """None if it is no animation, or if its bytes were not read."""
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
        probed = list(threads.map(lambda clip: _probe(clip, task.config), task.clips))
    # In this thread: the sandbox's child ends with the thread that started it.
    return [_scan_isolated(clip, task.config) if _is_to_scan(clip) else clip for clip in probed]


def _probe(clip: Clip, config: CurationConfig) -> ProbedClip:
    """Read a clip and scan its header, unless that is to be scanned in the sandbox."""
    try:
        data = fetch_bytes(clip.location, config.max_bytes, clip.folder)
    except FetchError as error:
        return ProbedClip(clip_key=clip.key, verdict=Verdict.FETCH_FAILED, detail=str(error))
    except TooManyBytesError as error:
        return ProbedClip(clip_key=clip.key, verdict=Verdict.TOO_LARGE, detail=str(error))
    file_format = detect_format(data)
    probed = ProbedClip(
        clip_key=clip.key, path=clip.location, sha256=hashlib.sha256(data).hexdigest(), format=file_format
    )
    if file_format is None:
        return dataclasses.replace(probed, verdict=Verdict.NOT_A_GIF, detail=describe_bytes(data))
    return probed if needs_sandbox(file_format) else _judge(probed, _scan(data, file_format, config), config)


def _is_to_scan(probed: ProbedClip) -> bool:
    return probed.verdict is None and needs_sandbox(probed.format)


def _scan_isolated(probed: ProbedClip, config: CurationConfig) -> ProbedClip:
    header = isolate(Limits.from_config(config), _scan_again, probed, probed.format, config, warm_up=warm_up_scanning)
    if isinstance(header, Failure):
        return dataclasses.replace(probed, verdict=header.verdict, detail=header.detail)
    return _judge(probed, header, config)


def _scan_again(probed: ProbedClip, file_format: FileFormat, config: CurationConfig) -> Header | str:
    """Read a clip again and scan its header. Its bytes are not sent to the sandbox."""
    return _scan(read_clip(probed.path, probed.sha256, config.max_bytes), file_format, config)


def _judge(probed: ProbedClip, header: Header | str, config: CurationConfig) -> ProbedClip:
    """Add what the header says, or why there is none, to the result of a clip."""
    if isinstance(header, str):
        return dataclasses.replace(probed, verdict=Verdict.UNDECODABLE, detail=header)
    verdict, detail = check_header(header, config)
    return dataclasses.replace(
        probed,
        width=header.width,
        height=header.height,
        num_frames=header.num_frames,
        verdict=verdict,
        detail=detail,
    )


def _scan(data: bytes, file_format: FileFormat, config: CurationConfig) -> Header | str:
    """Return the header of an animation, or why it cannot be decoded."""
    try:
        return scan_animation(data, file_format, config)
    except (UndecodableError, ValueError) as error:
        return str(error)


def check_header(header: Header, config: CurationConfig) -> tuple[Verdict | None, str | None]:
    """Check an animation's header against the limits; returns (verdict, detail) as in ProbedClip.

    An oversize frame after at least two valid ones counts as damage: the frames before it are used.
    """
    oversize = None
    if header.oversize:
        oversize = "{} x {} pixels, more than the limit of {:,}".format(*header.oversize, config.max_pixels)
        if header.num_frames < MIN_FRAMES:
            return Verdict.TOO_LARGE, oversize
        oversize = f"frame {header.num_frames} asks for {oversize}"
    if header.num_frames > config.max_frames:
        return Verdict.TOO_LARGE, _describe_length(header, config)
    if header.num_frames == 0:
        return Verdict.UNDECODABLE, "the file holds no frame"
    canvas_pixels = header.width * header.height
    if canvas_pixels == 0:
        return Verdict.UNDECODABLE, "the canvas has no pixels"
    frame_pixels = canvas_pixels if config.resolution == SOURCE_SIZE else config.resolution**2
    if (grey_bytes := header.num_frames * frame_pixels) > MAX_GREY_BYTES:
        used, limit = grey_bytes / 2**30, MAX_GREY_BYTES / 2**30
        return Verdict.TOO_LARGE, f"{used:.1f} GiB of grey frames, more than the limit of {limit:.0f} GiB"
    return None, oversize or header.damage


def _describe_length(header: Header, config: CurationConfig) -> str:
    if header.fps is None:
        return f"{header.num_frames:,} frames, more than the limit of {config.max_frames:,}"
    lower = math.floor(1000 * header.fps * config.max_frames / header.num_frames) / 1000
    takes = f"--fps {lower:g}" if lower else "a shorter video"
    if header.num_frames <= MAX_FRAMES:
        takes = f"--max-frames {header.num_frames} or {takes}"
    return (
        f"{header.num_frames:,} frames at {header.fps:g} a second, more than the limit of {config.max_frames:,}; "
        f"{takes} would take it"
    )
