"""Clips -> verdicts and rows of the flow table: bytes, frames, motion of all pairs."""

import dataclasses
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import PIL
import pyarrow as pa
from numpy.typing import NDArray

from curation import flow
from curation.catalog import Clip
from curation.config import CurationConfig
from curation.decode import FrameDecoder, UndecodableError, start_times_ms
from curation.errors import CurationError, SourceChangedError
from curation.fetch import FetchError, TooManyBytesError, fetch_bytes
from curation.flow_table import FlowPart, Measurement, write_part
from curation.kernel import KERNEL, measure_all_pairs
from curation.probe import MIN_FRAMES, ProbedClip, ProbeTask, probe_clips
from shards.schema import FLOW_SCHEMA, Verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureTask:
    """Some clips to be measured into one part."""

    clips: tuple[ProbedClip, ...]
    config: CurationConfig
    folder: Path
    """Of the flow table."""


def method_digest(config: CurationConfig) -> str:
    """Name the way of measuring: two runs of equal name give equal numbers for equal bytes."""
    method = {
        "resolution": config.resolution,
        "limits": [config.max_pixels, config.max_frames],
        "kernel": KERNEL,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
    return hashlib.sha256(json.dumps(method, sort_keys=True).encode()).hexdigest()[:20]


def measure_part(task: MeasureTask) -> FlowPart:
    """Measure each clip of the task and write them as one part of the flow table."""
    measured = [measure_clip(clip, task.config) for clip in task.clips]
    return write_part(
        task.folder,
        method_digest(task.config),
        [measurement for measurement, _ in measured],
        [rows for _, rows in measured if rows is not None],
    )


def read_clip(path: str, sha256: str | None, max_bytes: int) -> bytes:
    """Read a clip's bytes again, later in the run. Raises SourceChangedError where they are not the same ones."""
    try:
        data = fetch_bytes(path, max_bytes)
    except (FetchError, TooManyBytesError) as error:
        raise SourceChangedError(f"{path} was there when the run began: {error}; run the same command again") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SourceChangedError(f"{path} was changed during the run; run the same command again")
    return data


def measure_file(path: Path, config: CurationConfig) -> tuple[Measurement, pa.Table]:
    """Measure one GIF as a run would, limits included. Raises CurationError where a run would give a verdict."""
    clip = Clip(key="clip", uri=str(path), location=str(path), captions=(), split="", row=1)
    probed = probe_clips(ProbeTask(clips=(clip,), config=config))[0]
    if probed.verdict is not None:
        raise CurationError(f"{path} cannot be measured, {probed.verdict}: {probed.detail}")
    measurement, rows = measure_clip(probed, config)
    if rows is None:
        raise CurationError(f"{path} cannot be measured, {measurement.verdict}: {measurement.detail}")
    return measurement, rows


def measure_clip(clip: ProbedClip, config: CurationConfig) -> tuple[Measurement, pa.Table | None]:
    """Decode and measure one clip; a clip that cannot be selected from gets a verdict and no rows."""
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
        grey, durations_ms, alike = _decode_grey(decoder, most)
    except UndecodableError as error:
        return dataclasses.replace(found, verdict=Verdict.UNDECODABLE, detail=str(error)), None
    num_frames = len(grey)
    damage = decoder.damage or (f"damaged after {num_frames} sound frames: {clip.detail}" if clip.detail else None)
    found = dataclasses.replace(found, detail=damage, num_frames=num_frames)
    if num_frames > config.max_frames:
        detail = f"more frames than the limit of {config.max_frames:,}"
        return dataclasses.replace(found, verdict=Verdict.TOO_LARGE, detail=detail), None
    if num_frames < MIN_FRAMES and damage:
        return dataclasses.replace(found, verdict=Verdict.UNDECODABLE), None
    if alike:
        detail = "one frame" if num_frames == 1 else f"all {num_frames} frames are alike"
        detail += f"; {damage}" if damage else ""
        return dataclasses.replace(found, verdict=Verdict.STILL, detail=detail), None
    rows = _measure_rows(clip.clip_key, np.stack(grey), start_times_ms(durations_ms))
    return dataclasses.replace(found, num_pairs=rows.num_rows), rows


def _decode_grey(decoder: FrameDecoder, most: int) -> tuple[list[NDArray[np.uint8]], list[int], bool]:
    """At most `most` grey frames, their durations, and whether all are alike to the pixel."""
    grey: list[NDArray[np.uint8]] = []
    durations_ms: list[int] = []
    first: NDArray[np.uint8] | None = None
    alike = True
    for frame in decoder:
        if frame.rgb is None:
            continue
        first = frame.rgb if first is None else first
        alike = alike and np.array_equal(first, frame.rgb)
        grey.append(flow.to_grey(frame.rgb))
        durations_ms.append(frame.duration_ms)
        if len(grey) == most:
            break
    return grey, durations_ms, alike


def _measure_rows(clip_key: str, grey: NDArray[np.uint8], starts_ms: NDArray[np.int32]) -> pa.Table:
    """Rows of the flow table for all pairs of one clip, ordered by source, then target."""
    motion_px, tracked_fraction = measure_all_pairs(grey)
    sources, targets = (index.astype(np.int32) for index in np.triu_indices(len(grey), k=1))
    keys = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(sources), np.int32)), [clip_key])
    gap_ms = starts_ms[targets] - starts_ms[sources]
    columns = [keys, sources, targets, gap_ms, motion_px, tracked_fraction]
    return pa.table([pa.array(column) if isinstance(column, np.ndarray) else column for column in columns],
                    schema=FLOW_SCHEMA)  # fmt: skip
