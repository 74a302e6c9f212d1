"""Kept pairs -> which sample stands where in which shard: decided beforehand, so that workers cannot change it.

A clip's samples go to one shard (to two, where it falls on a border), so that its GIF is decoded once. Inside the
shard they stand apart, evenly.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.config import CurationConfig
from curation.seeds import hash64, uniform

SAMPLES_PER_FRAGMENT = 100
"""Samples that are encoded together, about: small enough that one shard's work is shared by several workers."""


class PlannedPair(NamedTuple):
    """A kept pair. A tuple: millions are sent to workers, and a dataclass takes twice as long to send."""

    source_index: int
    target_index: int
    gap_ms: int
    motion_px: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PlannedClip:
    """A clip's pairs in one shard."""

    clip_key: str
    pairs: tuple[PlannedPair, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """Indices of the frames that the pairs show, ascending, each once."""
        return tuple(sorted({index for pair in self.pairs for index in (pair.source_index, pair.target_index)}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """One shard, before it is written."""

    split: str
    number: int
    clips: tuple[PlannedClip, ...]

    @property
    def key(self) -> tuple[str, int]:
        """Its split and number, which no other shard has."""
        return self.split, self.number

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


class ShardPlan(Sequence[PlannedShard]):
    """The shards of a split: each is made when it is asked for, from the table of kept pairs."""

    def __init__(self, split: str, pairs: pa.Table, config: CurationConfig) -> None:
        """Deal a split's selection (SELECTION_SCHEMA) into shards, clips in an order drawn by seed and key."""
        self.split = split
        self.num_samples: int = pairs.num_rows
        """Of all shards."""
        self._samples_per_shard = config.samples_per_shard
        pairs = pairs.unify_dictionaries().combine_chunks()
        self._columns = [pairs[name].to_numpy() for name in PlannedPair._fields]
        clips = pairs["clip_key"].chunk(0) if self.num_samples else pa.array([], pairs.schema.field("clip_key").type)
        self._keys = clips.dictionary
        self._codes = clips.indices.to_numpy()
        self._rows = self._order_rows(config.seed)
        """Rows of the table in the order of the shards, int32 [samples]; a clip's stand together."""

    def _order_rows(self, seed: int) -> NDArray[np.int32]:
        starts = np.flatnonzero(np.diff(self._codes, prepend=-1))
        num_pairs = np.diff(starts, append=self.num_samples)
        keys = self._keys.take(pa.array(self._codes[starts])).to_pylist()
        drawn = np.array([hash64(seed, "shard", key) for key in keys], dtype=np.uint64)
        order = np.argsort(drawn, kind="stable")  # Keys are ascending, so they decide where draws are equal.
        shifts = starts[order] - np.cumsum(num_pairs[order]) + num_pairs[order]
        return (np.repeat(shifts, num_pairs[order]) + np.arange(self.num_samples)).astype(np.int32)

    def __len__(self) -> int:
        return -(-self.num_samples // self._samples_per_shard)

    @overload
    def __getitem__(self, number: int) -> PlannedShard: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[PlannedShard]: ...
    def __getitem__(self, number: int | slice) -> PlannedShard | Sequence[PlannedShard]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        rows = self._rows[number * self._samples_per_shard : (number + 1) * self._samples_per_shard]
        columns = (column[rows].tolist() for column in self._columns)
        pairs = list(map(PlannedPair, *columns))
        codes = self._codes[rows]
        starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
        clips = tuple(
            PlannedClip(clip_key=self._keys[int(codes[start])].as_py(), pairs=tuple(pairs[start:stop]))
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True)
        )
        return PlannedShard(split=self.split, number=number, clips=clips)
