"""Kept pairs -> the position of every sample in the shards, planned in advance so that workers cannot change it.

All samples of a clip are in one shard, so that its GIF is decoded once, or in two if the clip is on a border. Inside a
shard they are spread evenly.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.config import CurationConfig
from shards.sample_order import rank_clip, spread_samples

SAMPLES_PER_FRAGMENT = 100
"""Approximate number of samples that are encoded in one task; small, so that workers share the work of a shard."""


class PlannedPair(NamedTuple):
    """A kept pair. A tuple, because millions are sent to workers and dataclasses take twice as long to send."""

    source_index: int
    target_index: int
    gap_ms: int
    motion_px: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class PlannedClip:
    """The pairs of a clip in one shard."""

    clip_key: str
    pairs: tuple[PlannedPair, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """Indices of the frames in the pairs, ascending and unique."""
        return tuple(sorted({index for pair in self.pairs for index in (pair.source_index, pair.target_index)}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """A shard that is not written yet."""

    split: str
    number: int
    clips: tuple[PlannedClip, ...]

    @property
    def key(self) -> tuple[str, int]:
        """Split and number, which identify the shard."""
        return self.split, self.number

    @property
    def num_samples(self) -> int:
        """Number of samples in the shard."""
        return sum(len(clip.pairs) for clip in self.clips)

    def split_into_fragments(self) -> list[tuple[PlannedClip, ...]]:
        """Group whole clips into fragments of about SAMPLES_PER_FRAGMENT samples."""
        fragments: list[list[PlannedClip]] = [[]]
        for clip in self.clips:
            if sum(len(planned.pairs) for planned in fragments[-1]) >= SAMPLES_PER_FRAGMENT:
                fragments.append([])
            fragments[-1].append(clip)
        return [tuple(fragment) for fragment in fragments]

    def order_samples(self, seed: int) -> list[tuple[str, PlannedPair]]:
        """Order the samples so that those of each clip are spread over the whole shard; returns clip keys and pairs."""
        return spread_samples(seed, ((clip.clip_key, clip.pairs) for clip in self.clips))


class ShardPlan(Sequence[PlannedShard]):
    """The shards of a split. Each is made from the table of kept pairs when it is requested."""

    def __init__(self, split: str, pairs: pa.Table, config: CurationConfig) -> None:
        """Distribute a selection (SELECTION_SCHEMA) among shards, clips in an order drawn by the seed."""
        self.split = split
        self.num_samples: int = pairs.num_rows
        """Number of samples in all shards."""
        self._samples_per_shard = config.samples_per_shard
        pairs = pairs.unify_dictionaries().combine_chunks()
        self._columns = [pairs[name].to_numpy() for name in PlannedPair._fields]
        clips = pairs["clip_key"].chunk(0) if self.num_samples else pa.array([], pairs.schema.field("clip_key").type)
        self._clip_keys = clips.dictionary
        self._codes = clips.indices.to_numpy()
        self._rows = self._order_rows(config.seed)
        """Rows of the table in the order of the shards, int32 [samples]; those of a clip are adjacent."""

    def _order_rows(self, seed: int) -> NDArray[np.int32]:
        starts = np.flatnonzero(np.diff(self._codes, prepend=-1))
        num_pairs = np.diff(starts, append=self.num_samples)
        clip_keys = self._clip_keys.take(pa.array(self._codes[starts])).to_pylist()
        random_order = np.array([rank_clip(seed, key) for key in clip_keys], dtype=np.uint64)
        order = np.argsort(random_order, kind="stable")  # Clip keys are sorted, so they decide between equal hashes.
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
            return [self[shard] for shard in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        rows = self._rows[number * self._samples_per_shard : (number + 1) * self._samples_per_shard]
        pairs = list(map(PlannedPair, *(column[rows].tolist() for column in self._columns)))
        codes = self._codes[rows]
        starts = np.flatnonzero(np.diff(codes, prepend=-1)).tolist()
        clips = tuple(
            PlannedClip(clip_key=self._clip_keys[int(codes[start])].as_py(), pairs=tuple(pairs[start:stop]))
            for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True)
        )
        return PlannedShard(split=self.split, number=number, clips=clips)
