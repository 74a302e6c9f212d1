"""One clip -> its measurement and its rows of the flow table."""

import dataclasses
import hashlib
import json

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.code_cache import fill_once
from curation.config import CurationConfig
from curation.decode.decoder import (
    DECODER,
    UndecodableError,
    compute_start_times_ms,
    warm_up_decoder,
)
from curation.decode.fingerprint import Fingerprint, pack_signature
from curation.decode.formats.animation import FrameSource, name_decoder, open_animation
from curation.decode.probe import MIN_FRAMES, ProbedClip
from curation.decode.scene_cuts import SceneDetector, warm_up_scene_cuts
from curation.decode.thumbnail import make_thumbnail
from curation.fetch.read import read_clip
from curation.flow.backend import KERNEL, measure_all_pairs, warm_up_kernel
from curation.flow.table import Measurement
from shards.schema import FLOW_SCHEMA, Verdict

_THUMBNAIL_VERSION = 1
"""Increase it if scene cuts or fingerprints of any clip change."""


def method_digest(config: CurationConfig) -> str:
    """Return a digest of everything that affects a measurement: equal digests and equal bytes give equal results."""
    method = {
        "resolution": config.resolution,
        "limits": [config.max_pixels, config.max_frames],
        "kernel": KERNEL,
        "opencv": cv2.__version__,
        "decoder": DECODER,
        "looks": _THUMBNAIL_VERSION,
    }
    return hashlib.sha256(json.dumps(method, sort_keys=True).encode()).hexdigest()[:20]


def measure_clip(
    clip: ProbedClip, config: CurationConfig, sources: range | None = None
) -> tuple[Measurement, pa.Table | None]:
    """Decode and measure one clip; returns its measurement and its flow-table rows, None if it gets a verdict.

    If `sources` is given, only pairs with these source frames are measured. The rows of consecutive ranges concatenate
    to the rows of the whole clip. Raises SourceChangedError if the bytes are not those that were probed.
    """
    data = read_clip(clip.path, clip.sha256, config.max_bytes)
    measurement = Measurement(
        clip_key=clip.clip_key,
        sha256=clip.sha256 or "",
        verdict=None,
        detail=None,
        width=clip.width or 0,
        height=clip.height or 0,
        num_frames=0,
        num_pairs=0,
        decoder=name_decoder(clip.format, config),
    )
    decoder = open_animation(data, config)
    # A probe with a detail found damage after its frames. Otherwise one frame over the limit is decoded to detect it.
    max_frames = (clip.num_frames or 0) if clip.detail else config.max_frames + 1
    try:
        decoded = _decode_frames(decoder, max_frames)
    except UndecodableError as error:
        return dataclasses.replace(measurement, verdict=Verdict.UNDECODABLE, detail=str(error)), None
    num_frames = len(decoded.grey)
    damage = decoder.damage or (f"damaged after {num_frames} sound frames: {clip.detail}" if clip.detail else None)
    measurement = dataclasses.replace(measurement, detail=damage, num_frames=num_frames)
    if num_frames > config.max_frames:
        detail = f"more frames than the limit of {config.max_frames:,}"
        return dataclasses.replace(measurement, verdict=Verdict.TOO_LARGE, detail=detail), None
    if num_frames < MIN_FRAMES and damage:
        return dataclasses.replace(measurement, verdict=Verdict.UNDECODABLE), None
    if decoded.is_still:
        detail = "one frame" if num_frames == 1 else f"all {num_frames} frames are alike"
        detail += f"; {damage}" if damage else ""
        return dataclasses.replace(measurement, verdict=Verdict.STILL, detail=detail), None
    rows = _measure_rows(clip.clip_key, decoded, range(num_frames) if sources is None else sources)
    fingerprint = decoded.fingerprint
    return dataclasses.replace(
        measurement,
        num_pairs=rows.num_rows,
        frames_sha256=fingerprint.digest,
        signature=pack_signature(fingerprint.signature),
    ), rows


@fill_once
def warm_up_measuring() -> None:
    """Load or compile everything that `measure_clip` calls."""
    warm_up_decoder()
    warm_up_scene_cuts()
    warm_up_kernel()


@dataclasses.dataclass(kw_only=True)
class _DecodedClip:
    """What measuring needs of a clip's frames."""

    grey: list[NDArray[np.uint8]] = dataclasses.field(default_factory=list)
    durations_ms: list[int] = dataclasses.field(default_factory=list)
    is_still: bool = True
    """Whether all frames have the same pixels."""
    scene_detector: SceneDetector = dataclasses.field(default_factory=SceneDetector)
    fingerprint: Fingerprint = dataclasses.field(default_factory=Fingerprint)


def _decode_frames(decoder: FrameSource, max_frames: int) -> _DecodedClip:
    """Decode the first `max_frames` frames."""
    decoded = _DecodedClip()
    first: NDArray[np.uint8] | None = None
    for frame in decoder:
        first = frame.planes.copy() if first is None else first
        decoded.is_still = decoded.is_still and np.array_equal(first, frame.planes)
        thumbnail = make_thumbnail(frame.grey, frame.planes.transpose(1, 2, 0))
        decoded.scene_detector.add(thumbnail)
        decoded.fingerprint.add(frame.grey, thumbnail)
        decoded.grey.append(frame.grey)
        decoded.durations_ms.append(frame.duration_ms)
        if len(decoded.grey) == max_frames:
            break
    return decoded


def _measure_rows(clip_key: str, decoded: _DecodedClip, sources: range) -> pa.Table:
    """Return the flow-table rows of one clip's pairs with the given source frames, ordered by source, then target."""
    motion_px, tracked_fraction = measure_all_pairs(np.stack(decoded.grey), sources)
    source, target = (index.astype(np.int32) for index in np.triu_indices(len(decoded.grey), k=1))
    is_selected = (sources.start <= source) & (source < sources.stop)
    source, target = source[is_selected], target[is_selected]
    keys = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(source), np.int32)), [clip_key])
    starts_ms, scenes = compute_start_times_ms(decoded.durations_ms), np.array(decoded.scene_detector.scenes)
    gap_ms, across_cut = starts_ms[target] - starts_ms[source], scenes[source] != scenes[target]
    columns = [keys, source, target, gap_ms, motion_px, tracked_fraction, across_cut]
    return pa.table([pa.array(column) if isinstance(column, np.ndarray) else column for column in columns],
                    schema=FLOW_SCHEMA)  # fmt: skip
