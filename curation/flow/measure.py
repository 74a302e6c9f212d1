"""Clips -> verdicts and rows of the flow table: bytes, frames, motion of all pairs."""

import dataclasses
import hashlib
import json

import cv2
import numpy as np
import PIL
import pyarrow as pa
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.decode.decoder import FrameDecoder, UndecodableError, start_times_ms
from curation.decode.fingerprint import Fingerprint, pack_signature
from curation.decode.probe import MIN_FRAMES, ProbedClip
from curation.decode.scene_cuts import ShotDetector
from curation.decode.thumbnail import take_look
from curation.fetch.read import read_clip
from curation.flow import reference as flow
from curation.flow.backend import KERNEL, measure_all_pairs
from curation.flow.table import Measurement
from shards.schema import FLOW_SCHEMA, Verdict

_LOOKS = 1
"""Changes with the way in which cuts are found, or fingerprints are taken."""


def method_digest(config: CurationConfig) -> str:
    """Name the way of measuring: two runs of equal name give equal numbers for equal bytes."""
    method = {
        "resolution": config.resolution,
        "limits": [config.max_pixels, config.max_frames],
        "kernel": KERNEL,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
        "looks": _LOOKS,
    }
    return hashlib.sha256(json.dumps(method, sort_keys=True).encode()).hexdigest()[:20]


def measure_clip(
    clip: ProbedClip, config: CurationConfig, sources: range | None = None
) -> tuple[Measurement, pa.Table | None]:
    """Decode and measure one clip; a clip that cannot be selected from gets a verdict and no rows.

    With `sources`, only pairs of these source frames are measured: rows of a range after rows of the one before it are
    those of the whole.
    """
    data = read_clip(clip.path, clip.sha256, config.max_bytes)
    found = Measurement(
        clip_key=clip.clip_key,
        sha256=clip.sha256 or "",
        verdict=None,
        detail=None,
        width=clip.width or 0,
        height=clip.height or 0,
        num_frames=0,
        num_pairs=0,
    )
    decoder = FrameDecoder(data, config.resolution)
    # Where the probe found a reason to stop, its count of frames is where; else one frame too many is found out.
    most = (clip.num_frames or 0) if clip.detail else config.max_frames + 1
    try:
        seen = _decode_frames(decoder, most)
    except UndecodableError as error:
        return dataclasses.replace(found, verdict=Verdict.UNDECODABLE, detail=str(error)), None
    num_frames = len(seen.grey)
    damage = decoder.damage or (f"damaged after {num_frames} sound frames: {clip.detail}" if clip.detail else None)
    found = dataclasses.replace(found, detail=damage, num_frames=num_frames)
    if num_frames > config.max_frames:
        detail = f"more frames than the limit of {config.max_frames:,}"
        return dataclasses.replace(found, verdict=Verdict.TOO_LARGE, detail=detail), None
    if num_frames < MIN_FRAMES and damage:
        return dataclasses.replace(found, verdict=Verdict.UNDECODABLE), None
    if seen.alike:
        detail = "one frame" if num_frames == 1 else f"all {num_frames} frames are alike"
        detail += f"; {damage}" if damage else ""
        return dataclasses.replace(found, verdict=Verdict.STILL, detail=detail), None
    rows = _measure_rows(clip.clip_key, seen, range(num_frames) if sources is None else sources)
    found = dataclasses.replace(
        found, frames_sha256=seen.fingerprint.digest, signature=pack_signature(seen.fingerprint.signature)
    )
    return dataclasses.replace(found, num_pairs=rows.num_rows), rows


@dataclasses.dataclass(kw_only=True)
class _Seen:
    """What is kept of a clip's frames."""

    grey: list[NDArray[np.uint8]] = dataclasses.field(default_factory=list)
    durations_ms: list[int] = dataclasses.field(default_factory=list)
    alike: bool = True
    """Whether all are alike to the pixel."""
    shots: ShotDetector = dataclasses.field(default_factory=ShotDetector)
    fingerprint: Fingerprint = dataclasses.field(default_factory=Fingerprint)


def _decode_frames(decoder: FrameDecoder, most: int) -> _Seen:
    """See at most `most` frames."""
    seen = _Seen()
    first: NDArray[np.uint8] | None = None
    for frame in decoder:
        if frame.rgb is None:
            continue
        first = frame.rgb if first is None else first
        seen.alike = seen.alike and np.array_equal(first, frame.rgb)
        grey = flow.to_grey(frame.rgb)
        look = take_look(grey, frame.rgb)
        seen.shots.add(look)
        seen.fingerprint.add(grey, look)
        seen.grey.append(grey)
        seen.durations_ms.append(frame.duration_ms)
        if len(seen.grey) == most:
            break
    return seen


def _measure_rows(clip_key: str, seen: _Seen, sources: range) -> pa.Table:
    """Rows of the flow table for the pairs of some source frames of one clip, ordered by source, then target."""
    motion_px, tracked_fraction = measure_all_pairs(np.stack(seen.grey), sources)
    source, target = (index.astype(np.int32) for index in np.triu_indices(len(seen.grey), k=1))
    chosen = (sources.start <= source) & (source < sources.stop)
    source, target = source[chosen], target[chosen]
    keys = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(source), np.int32)), [clip_key])
    starts_ms, shot = start_times_ms(seen.durations_ms), np.array(seen.shots.shots)
    gap_ms, across_cut = starts_ms[target] - starts_ms[source], shot[source] != shot[target]
    columns = [keys, source, target, gap_ms, motion_px, tracked_fraction, across_cut]
    return pa.table([pa.array(column) if isinstance(column, np.ndarray) else column for column in columns],
                    schema=FLOW_SCHEMA)  # fmt: skip
