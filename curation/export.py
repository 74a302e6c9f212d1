"""Planned shards -> shards: decode and encode what is kept, then pack it in the planned order.

Encoding is the work and is spread in fragments of a shard; a fragment is an Arrow file of encoded pictures in the
run's work folder. Packing copies the fragments' samples into the tar.
"""

import dataclasses
import io
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from curation.clips import Clip
from curation.config import CurationConfig
from curation.decode import FrameDecoder
from curation.errors import SourceChangedError
from curation.flow_tasks import limits_of
from curation.measure import read_clip
from curation.quarantine import Incident, quarantine
from curation.ranking import hash64
from curation.ready import Spans, read_spans
from curation.receipts import read_receipt, still_holds, write_receipt
from curation.sandbox import Failure, isolate
from curation.shard_plan import PlannedClip, PlannedPair, PlannedShard
from curation.software import software_versions
from shards.atomic import write_atomically
from shards.location import Location, on_disk
from shards.manifest import ShardEntry, digest
from shards.schema import Sample, SampleRecord, sample_key
from shards.writer import shard_name, write_shard

FRAGMENT_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),
        pa.field("record", pa.binary()),
        pa.field("source", pa.binary()),
        pa.field("target", pa.binary()),
    ]
)
"""Encoded samples of some clips, in no particular order."""

_PILLOW_NAMES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceClip:
    """A clip, where its bytes lie, and what they must hash to."""

    clip: Clip
    path: str
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeTask:
    """Some clips of one shard to be encoded into one fragment."""

    clips: tuple[tuple[PlannedClip, SourceClip], ...]
    config: CurationConfig
    fragment: Location
    quarantine: Location
    ready: dict[str, Spans] = dataclasses.field(default_factory=dict)
    """By clip key: pictures that lie encoded in another data set."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackTask:
    """One shard, all of whose fragments lie ready."""

    shard: PlannedShard
    config: CurationConfig
    fragments: tuple[Location, ...]
    path: Location
    receipt: Location
    """Where to note what was written, for a run that resumes."""
    plan_digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoded:
    """What became of a fragment."""

    num_samples: int
    failures: tuple[Incident, ...]
    """Clips that were lost; where there is one, the fragment is of no use."""


def encode_fragment(task: EncodeTask) -> Encoded:
    """Decode each clip once, encode each wanted frame once unless it lies ready, write the samples.

    Decoding and encoding run in the sandbox; a clip that is lost there goes to quarantine.
    """
    columns: dict[str, list[object]] = {name: [] for name in FRAGMENT_SCHEMA.names}
    failures = []
    for planned, source in task.clips:
        frames = tuple(sorted({index for pair in planned.pairs for index in (pair.source_index, pair.target_index)}))
        pictures = read_spans(task.ready.get(source.clip.key, {}), frames)
        if missing := tuple(frame for frame in frames if frame not in pictures):
            encoded = isolate(limits_of(task.config), encode_frames, missing, source, task.config)
            if isinstance(encoded, Failure):
                failures.append(_quarantine(missing, source, encoded, task))
                continue
            pictures |= encoded
        for pair in planned.pairs:
            record = make_record(pair, source.clip, task.config)
            columns["key"].append(record.key)
            columns["record"].append(record.to_json())
            columns["source"].append(pictures[pair.source_index])
            columns["target"].append(pictures[pair.target_index])
    table = pa.table(columns, schema=FRAGMENT_SCHEMA)
    with (
        write_atomically(task.fragment, is_lasting=False) as temporary,
        pa.ipc.new_file(str(temporary), FRAGMENT_SCHEMA) as file,
    ):
        file.write_table(table)
    return Encoded(num_samples=len(columns["key"]), failures=tuple(failures))


def _quarantine(frames: tuple[int, ...], source: SourceClip, failure: Failure, task: EncodeTask) -> Incident:
    incident = Incident(
        clip_key=source.clip.key, sha256=source.sha256, failure=failure, config=task.config, frames=frames
    )
    quarantine(task.quarantine, incident, read_clip(source.path, source.sha256, task.config.max_bytes))
    return incident


def encode_frames(frames: Iterable[int], source: SourceClip, config: CurationConfig) -> dict[int, bytes]:
    """Encode some frames of a clip, by index."""
    wanted = frozenset(frames)
    data = read_clip(source.path, source.sha256, config.max_bytes)
    pictures = {}
    for frame in FrameDecoder(data, config.resolution, wanted):
        if frame.rgb is not None:
            pictures[frame.index] = encode_picture(frame.rgb, config)
    if missing := wanted - pictures.keys():
        raise SourceChangedError(f"{source.path}: frame {min(missing)} was measured but is not there; measure it again")
    return pictures


def encode_picture(rgb: NDArray[np.uint8], config: CurationConfig) -> bytes:
    """Encode a frame, uint8 [H, W, 3], as the samples hold it."""
    picture = io.BytesIO()
    Image.fromarray(rgb).save(picture, _PILLOW_NAMES[config.image_format], quality=config.quality)
    return picture.getvalue()


def make_record(pair: PlannedPair, clip: Clip, config: CurationConfig) -> SampleRecord:
    """Describe a pair; which of the clip's captions it shows is drawn by seed and key."""
    drawn = hash64(config.seed, "caption", clip.key, pair.source_index, pair.target_index) % len(clip.captions)
    return SampleRecord(
        caption=clip.captions[drawn],
        captions=clip.captions,
        motion_px=pair.motion_px,
        source_index=pair.source_index,
        target_index=pair.target_index,
        gap_ms=pair.gap_ms,
        clip_key=clip.key,
        split=clip.split,
        uri=clip.uri,
    )


def pack_shard(task: PackTask) -> tuple[tuple[str, int], ShardEntry]:
    """Write a shard from its fragments and note its hash; returns its split, number and entry.

    The fragments stay: a worker that is lost after its work has it done again by another one.
    """
    samples: dict[str, Sample] = {}
    for path in task.fragments:
        with on_disk(path) as copy, pa.memory_map(str(copy)) as file:
            for row in pa.ipc.open_file(file).read_all().to_pylist():
                samples[row["key"]] = Sample(
                    record=SampleRecord.from_json(row["record"]),
                    source=row["source"],
                    target=row["target"],
                    image_format=task.config.image_format,
                )
    order = [
        sample_key(key, pair.source_index, pair.target_index) for key, pair in task.shard.sample_order(task.config.seed)
    ]
    entry = write_shard(task.path, (samples[key] for key in order))
    write_receipt(task.receipt, task.plan_digest, task.path, entry)
    return (task.shard.split, task.shard.number), entry


def plan_digest(shard: PlannedShard, sources: dict[str, SourceClip], config: CurationConfig) -> str:
    """Name everything that decides a shard's bytes."""
    clips = [
        [
            [[pair.source_index, pair.target_index, pair.gap_ms, pair.motion_px] for pair in planned.pairs],
            dataclasses.asdict(source.clip),
            source.sha256,
        ]
        for planned in shard.clips
        if (source := sources[planned.clip_key])
    ]
    return digest([clips, dataclasses.asdict(config), software_versions()])


def finished_shard(path: Location, receipt: Location, wanted_digest: str) -> ShardEntry | None:
    """Find the entry of a shard that an earlier run made to the same plan and that still hashes right, else None."""
    noted = read_receipt(receipt)
    if noted and noted.plan == wanted_digest and still_holds(path, noted.shard.sha256, noted):
        return noted.shard
    return None


def shard_path(out: Location, split: str, number: int) -> Location:
    """Where a shard belongs."""
    return out / split / shard_name(number)
