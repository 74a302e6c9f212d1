"""Encoded pictures -> a shard: the record and the two pictures of each sample, in the planned order.

Pictures come from the fragments that this run encoded, or from shards of the data set whose flow table is reused.
"""

import dataclasses
import os

import pyarrow as pa

from curation.config import CurationConfig
from curation.export.completed_shards import write_receipt
from curation.export.encode import SourceClip
from curation.export.reuse import Picture, Span, read_spans
from curation.export.shard_plan import PlannedPair, PlannedShard
from curation.file_format import FileFormat
from curation.listing.clips import Clip
from curation.run.versions import software_versions
from shards.interface.credentials import redact
from shards.manifest import ShardEntry, digest
from shards.sample_order import choose_caption
from shards.schema import Sample, SampleRecord
from shards.storage.location import Location, on_disk
from shards.writer import shard_name, write_shard


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackTask:
    """One shard whose pictures are all available."""

    shard: PlannedShard
    clips: dict[str, Clip]
    """The clips of the shard, by key."""
    config: CurationConfig
    fragments: tuple[Location, ...]
    reused: dict[Picture, Span]
    """Pictures that are in no fragment, but in shards of another data set."""
    path: Location
    receipt: Location
    plan_digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PackResult:
    """A shard that was written."""

    shard: tuple[str, int]
    """Its split and number."""
    entry: ShardEntry


def pack_shard(task: PackTask) -> PackResult:
    """Write a shard and its receipt.

    Fragments are not removed, because Ray may run the task again if its worker is lost. Raises SourceChangedError if a
    picture of the other data set can no longer be read.
    """
    pictures = read_spans(task.reused)
    for path in task.fragments:
        with on_disk(path) as copy, pa.memory_map(os.fsencode(copy)) as file:
            keys, frames, encoded = pa.ipc.open_file(file).read_all().to_pydict().values()
            pictures |= zip(zip(keys, frames, strict=True), encoded, strict=True)
    samples = (
        Sample(
            record=make_record(pair, task.clips[key], task.config),
            source=pictures[key, pair.source_index],
            target=pictures[key, pair.target_index],
            image_format=task.config.image_format,
        )
        for key, pair in task.shard.order_samples(task.config.seed)
    )
    entry = write_shard(task.path, samples)
    write_receipt(task.receipt, task.plan_digest, task.path, entry)
    return PackResult(shard=task.shard.key, entry=entry)


def make_record(pair: PlannedPair, clip: Clip, config: CurationConfig) -> SampleRecord:
    """Make the record of a pair; its caption is one of the clip's, chosen by the seed and the sample's key."""
    return SampleRecord(
        caption=choose_caption(config.seed, clip.key, pair, clip.captions),
        captions=clip.captions,
        motion_px=pair.motion_px,
        source_index=pair.source_index,
        target_index=pair.target_index,
        gap_ms=pair.gap_ms,
        clip_key=clip.key,
        split=clip.split,
        uri=clip.uri if config.keep_credentials else redact(clip.uri),
    )


def compute_plan_digest(shard: PlannedShard, sources: dict[str, SourceClip], config: CurationConfig) -> str:
    """Return a digest of everything that decides a shard's bytes."""
    clips = [
        [
            [[pair.source_index, pair.target_index, pair.gap_ms, pair.motion_px] for pair in planned.pairs],
            dataclasses.asdict(source.clip),
            source.sha256,
        ]
        for planned in shard.clips
        if (source := sources[planned.clip_key])
    ]
    return digest([clips, dataclasses.asdict(config), software_versions(tuple(FileFormat))])


def shard_path(out: Location, split: str, number: int) -> Location:
    """Return the path of a shard."""
    return out / split / shard_name(number)
