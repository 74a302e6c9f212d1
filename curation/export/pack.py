"""Encoded pictures -> a shard: each sample's record and its two frames, packed in the planned order.

A picture comes out of a fragment that this run encoded, or straight out of a shard of the data set whose flow table is
used again.
"""

import dataclasses

import pyarrow as pa

from curation.config import CurationConfig
from curation.export.completed_shards import read_receipt, still_holds, write_receipt
from curation.export.encode import SourceClip
from curation.export.reuse import Picture, Span, read_spans
from curation.export.shard_plan import PlannedPair, PlannedShard
from curation.listing.clips import Clip
from curation.run.versions import software_versions
from curation.seeds import hash64
from shards.location import Location, on_disk
from shards.manifest import ShardEntry, digest
from shards.schema import Sample, SampleRecord
from shards.writer import shard_name, write_shard


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackTask:
    """One shard, all of whose pictures lie ready."""

    shard: PlannedShard
    clips: dict[str, Clip]
    """Those of the shard, by key."""
    config: CurationConfig
    fragments: tuple[Location, ...]
    ready: dict[Picture, Span]
    """Pictures that are in no fragment, as another data set holds them."""
    path: Location
    receipt: Location
    """Where to note what was written, for a run that resumes."""
    plan_digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Packed:
    """What became of a shard."""

    shard: tuple[str, int]
    """Its split and number."""
    entry: ShardEntry


def pack_shard(task: PackTask) -> Packed:
    """Write a shard and note its hash.

    The fragments stay: a worker that is lost after its work has it done again by another one. Raises
    SourceChangedError where a picture of the other data set is not there any more.
    """
    pictures = read_spans(task.ready)
    for path in task.fragments:
        with on_disk(path) as copy, pa.memory_map(str(copy)) as file:
            keys, frames, encoded = pa.ipc.open_file(file).read_all().to_pydict().values()
            pictures |= zip(zip(keys, frames, strict=True), encoded, strict=True)
    samples = (
        Sample(
            record=make_record(pair, task.clips[key], task.config),
            source=pictures[key, pair.source_index],
            target=pictures[key, pair.target_index],
            image_format=task.config.image_format,
        )
        for key, pair in task.shard.sample_order(task.config.seed)
    )
    entry = write_shard(task.path, samples)
    write_receipt(task.receipt, task.plan_digest, task.path, entry)
    return Packed(shard=task.shard.key, entry=entry)


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
