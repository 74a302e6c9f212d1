"""Kept pairs -> which sample stands where in which shard: decided beforehand, so that workers cannot change it.

A clip's samples go to one shard (to two, where it falls on a border), so that its GIF is decoded once. Inside the
shard they stand apart, evenly.
"""

import dataclasses
from collections.abc import Iterator

import pyarrow as pa

from curation.config import CurationConfig
from curation.ranking import hash64, uniform

SAMPLES_PER_FRAGMENT = 100
"""Samples that are encoded together, about: small enough that one shard's work is shared by several workers."""
_ROWS_AT_A_TIME = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PlannedPair:
    """A kept pair."""

    source_index: int
    target_index: int
    gap_ms: int
    motion_px: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PlannedClip:
    """A clip's pairs in one shard."""

    clip_key: str
    pairs: tuple[PlannedPair, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """One shard, before it is written."""

    split: str
    number: int
    clips: tuple[PlannedClip, ...]

    @property
    def num_samples(self) -> int:
        """Samples that the shard will hold."""
        return sum(len(clip.pairs) for clip in self.clips)

    def fragments(self) -> list[tuple[PlannedClip, ...]]:
        """Group whole clips into pieces of about SAMPLES_PER_FRAGMENT samples."""
        groups: list[list[PlannedClip]] = [[]]
        for clip in self.clips:
            if sum(len(one.pairs) for one in groups[-1]) >= SAMPLES_PER_FRAGMENT:
                groups.append([])
            groups[-1].append(clip)
        return [tuple(group) for group in groups]

    def sample_order(self, seed: int) -> list[tuple[str, PlannedPair]]:
        """Order the samples so that each clip's are spread over the whole shard."""
        placed = []
        for clip in self.clips:
            shuffled = sorted(
                clip.pairs,
                key=lambda pair: hash64(seed, "place", clip.clip_key, pair.source_index, pair.target_index),
            )
            offset = uniform(seed, "offset", clip.clip_key)
            placed += [((place + offset) / len(shuffled), clip.clip_key, pair) for place, pair in enumerate(shuffled)]
        placed.sort(key=lambda one: one[:2])
        return [(key, pair) for _, key, pair in placed]


def plan_shards(split: str, pairs: pa.Table, config: CurationConfig) -> Iterator[PlannedShard]:
    """Deal a split's selection (SELECTION_SCHEMA) into shards, clips in an order drawn by seed and key."""
    by_clip: dict[str, list[PlannedPair]] = {}
    for batch in pairs.to_batches(max_chunksize=_ROWS_AT_A_TIME):  # A million rows as objects are a gigabyte.
        for row in batch.to_pylist():
            by_clip.setdefault(row.pop("clip_key"), []).append(PlannedPair(**row))
    shard: list[PlannedClip] = []
    room, number = config.samples_per_shard, 0
    for key in sorted(by_clip, key=lambda key: (hash64(config.seed, "shard", key), key)):
        left = by_clip[key]
        while left:
            taken, left = left[:room], left[room:]
            shard.append(PlannedClip(clip_key=key, pairs=tuple(taken)))
            room -= len(taken)
            if room == 0:
                yield PlannedShard(split=split, number=number, clips=tuple(shard))
                shard, room, number = [], config.samples_per_shard, number + 1
    if shard:
        yield PlannedShard(split=split, number=number, clips=tuple(shard))
