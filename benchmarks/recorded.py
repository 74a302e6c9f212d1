"""Drawn results of workers for clips that do not exist, determined by their keys, for `benchmarks.scale`.

The listing resembles TGIF: 1.2 rows per clip, URLs of 95 characters, captions of 54. One clip in 20 cannot be fetched
or read, and one in 30 is still or broken. Clips have TGIF's lengths (14 to 572 frames, about 40), which determine
parts, slices and order. The flow table is valid but short: 28 pairs per clip instead of TGIF's 1,200. Of each clip, 10
pairs are kept. Fingerprints are 16 frames of 3 hashes each. One clip in 50 is an exact duplicate of another, one in 100
a near-duplicate. No picture is decoded or encoded, and only the first samples of each shard are written.
"""

import dataclasses
import hashlib
import io
import itertools
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from curation.decode.fingerprint import pack_signature
from curation.decode.probe import ProbedClip, ProbeTask
from curation.export.encode import EncodeResult, EncodeTask
from curation.export.pack import PackResult, PackTask, make_record
from curation.file_format import FileFormat
from curation.flow.measure import method_digest
from curation.flow.table import FlowPart, Measurement, write_part
from curation.flow.tasks import JoinTask, PartTask, SliceTask, make_part, slice_method
from shards.manifest import ShardEntry
from shards.schema import FLOW_SCHEMA, Sample, Verdict
from shards.seeded_hash import hash64, uniform
from shards.writer import shard_name, write_shard

_SAMPLES_WRITTEN = 20
_FRAMES = (14, 572)
"""The shortest and the longest GIF of TGIF."""
_PAIRS = tuple(index.astype(np.int32) for index in np.triu_indices(8, k=1))
_NORMAL = statistics.NormalDist(math.log(33), 0.6)
_WORDS = (
    "a", "young", "man", "with", "dark", "hair", "slowly", "turns", "his", "head",
    "and", "looks", "at", "the", "camera", "while", "somebody", "dances", "behind", "him",
)  # fmt: skip


def write_listing(path: Path, num_rows: int) -> None:
    """Write a listing of `num_rows` rows. Every fifth clip has two rows."""
    with path.open("w") as file:
        for row in range(num_rows):
            digest = hashlib.md5(str(row * 5 // 6).encode(), usedforsecurity=False).hexdigest()
            first = int(digest[:4], 16) + row
            caption = " ".join(_WORDS[(first + k * k) % len(_WORDS)] for k in range(11))
            name = f"tumblr_{row * 5 // 6:08d}{digest[:11]}o1_500.gif"
            file.write(f"https://38.media.tumblr.com/{digest}/{name}\t{caption}.\n")


def probe_clips(task: ProbeTask) -> list[ProbedClip]:
    """Replace `curation.decode.probe.probe_clips`."""
    return [_probe(clip.key, clip.location) for clip in task.clips]


def _probe(key: str, location: str) -> ProbedClip:
    drawn = uniform(0, "recorded", key)
    if drawn < 0.035:
        return ProbedClip(clip_key=key, verdict=Verdict.FETCH_FAILED, detail=f"there is no file {location}")
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    if drawn < 0.045:
        detail = "an HTML page: '<!DOCTYPE html><html><head><title>Not here</title>'"
        return ProbedClip(clip_key=key, path=location, sha256=sha256, verdict=Verdict.NOT_A_GIF, detail=detail)
    frames = round(math.exp(_NORMAL.inv_cdf(max(1e-9, uniform(1, "recorded", key)))))
    width, height = 150 + hash64(2, key) % 300, 120 + hash64(3, key) % 200
    probed = ProbedClip(clip_key=key, path=location, sha256=sha256, format=FileFormat.GIF, width=width, height=height)
    if drawn < 0.05:
        detail = "1,234 frames, more than the limit of 1,000"
        return dataclasses.replace(probed, num_frames=1234, verdict=Verdict.TOO_LARGE, detail=detail)
    return dataclasses.replace(probed, num_frames=min(max(frames, _FRAMES[0]), _FRAMES[1]))


def make_flow_part(task: PartTask | SliceTask | JoinTask) -> FlowPart:
    """Replace `curation.flow.tasks.make_part`: write a part with few pairs."""
    if isinstance(task, JoinTask):
        return make_part(task)
    if isinstance(task, SliceTask):
        one = _measure(task.clip, len(task.sources) - 1)
        sources = np.arange(task.sources.start, task.sources.stop - 1, dtype=np.int32)
        rows = _draw_rows([one.clip_key], sources, sources + 1)
        return write_part(task.folders.slices, slice_method(task.config, task.sources), [one], [rows])
    measured = [_measure(clip, len(_PAIRS[0])) for clip in task.clips]
    rows = _draw_rows([one.clip_key for one in measured if one.verdict is None], *_PAIRS)
    return write_part(task.folders.flow, method_digest(task.config), measured, [rows])


def _measure(clip: ProbedClip, num_pairs: int) -> Measurement:
    drawn = uniform(4, "recorded", clip.clip_key)
    is_slice = num_pairs != len(_PAIRS[0])
    verdict, detail = None, None
    if not is_slice and drawn < 0.03:
        verdict, detail = Verdict.STILL, "all frames are alike"
    elif not is_slice and drawn < 0.035:
        verdict, detail = Verdict.UNDECODABLE, "fewer than two sound frames"
    # Clips are numbered in their names. Some are duplicates or near-duplicates of the clip before.
    number = int(clip.clip_key[7:15])
    picture, is_near = number - (number % 50 == 1 or number % 100 == 2), number % 100 == 2
    rng = np.random.default_rng(picture)
    whole = rng.integers(0, 2**63, dtype=np.uint64) ^ _draw_bits(rng, (16, 1), 6)
    insides = whole[:, :1] ^ _draw_bits(rng, (16, 2), 5)
    signature = np.concatenate([whole, insides], axis=1) ^ np.uint64(2**17 if is_near else 0)
    return Measurement(
        clip_key=clip.clip_key,
        sha256=clip.sha256 or "",
        verdict=verdict,
        detail=detail,
        width=clip.width or 0,
        height=clip.height or 0,
        num_frames=clip.num_frames or 0,
        num_pairs=0 if verdict else num_pairs,
        frames_sha256=hashlib.sha256(f"{picture} {is_near}".encode()).hexdigest(),
        signature=pack_signature(signature),
    )


def _draw_bits(rng: np.random.Generator, shape: tuple[int, ...], max_bits: int) -> NDArray[np.uint64]:
    """Draw words with up to `max_bits` bits set: uint64 [*shape]."""
    bits = np.uint64(1) << rng.integers(0, 64, (*shape, max_bits), dtype=np.uint64)
    return np.asarray(np.bitwise_or.reduce(bits, axis=-1), np.uint64)


def _draw_rows(keys: list[str], sources: NDArray[np.int32], targets: NDArray[np.int32]) -> pa.Table:
    """Draw the flow table of clips that all have the same pairs."""
    num_rows = len(keys) * len(sources)
    rng = np.random.default_rng(hash64(6, *keys[:1]))
    speed = np.repeat(rng.lognormal(0.6, 1.0, len(keys)), len(sources))
    gaps = np.tile(targets - sources, len(keys))
    motion = np.minimum(speed * gaps**0.5 * rng.lognormal(0, 0.3, num_rows), 200).astype(np.float32)
    columns = {
        "clip_key": pa.DictionaryArray.from_arrays(
            pa.array(np.repeat(np.arange(len(keys), dtype=np.int32), len(sources))), pa.array(keys, pa.string())
        ),
        "source_index": np.tile(sources, len(keys)),
        "target_index": np.tile(targets, len(keys)),
        "gap_ms": (gaps * 100).astype(np.int32),
        "motion_px": np.where(motion < 1, 0, motion).astype(np.float32),
        "tracked_fraction": (rng.integers(1, 101, num_rows) / 100).astype(np.float32),
        "across_cut": np.zeros(num_rows, bool),
    }
    return pa.table(columns, schema=FLOW_SCHEMA)


def run_task(task: EncodeTask | PackTask) -> EncodeResult | PackResult:
    """Replace `curation.export.stage.run_task`: write only the samples that the report reads."""
    if isinstance(task, EncodeTask):
        return EncodeResult(shard=task.shard, num_samples=task.num_samples, failures=())
    write_shard(task.path, itertools.islice(_samples(task), _SAMPLES_WRITTEN))
    sha256 = hashlib.sha256(str(task.path).encode()).hexdigest()
    name, num_samples = shard_name(task.shard.number), task.shard.num_samples
    entry = ShardEntry(name=name, num_samples=num_samples, num_bytes=num_samples * 30_000, sha256=sha256)
    return PackResult(shard=task.shard.key, entry=entry)


def _samples(task: PackTask) -> Iterator[Sample]:
    picture = io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "JPEG")
    pixel = picture.getvalue()
    for key, pair in task.shard.order_samples(task.config.seed):
        record = make_record(pair, task.clips[key], task.config)
        yield Sample(record=record, source=pixel, target=pixel, image_format="jpg")
