"""Seed and pairs -> which caption a sample has, and its position in the shards.

All samples of a clip are in one shard, or in two if the clip is on a border. Inside a shard they are spread evenly.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from shards.seeded_hash import hash64, uniform


class FramePair(Protocol):
    """A tuple that starts with the indices of source and target."""

    def __getitem__(self, index: int, /) -> float: ...


Pair = TypeVar("Pair", bound=FramePair)


def choose_caption(seed: int, clip_key: str, pair: FramePair, captions: Sequence[str]) -> str:
    """Return one of the clip's captions, drawn by the seed and the sample's key."""
    return captions[hash64(seed, "caption", clip_key, pair[0], pair[1]) % len(captions)]


def rank_clip(seed: int, clip_key: str) -> int:
    """Return the number by which the clips of a split are sorted before they are cut into shards."""
    return hash64(seed, "shard", clip_key)


def spread_samples(seed: int, clips: Iterable[tuple[str, Sequence[Pair]]]) -> list[tuple[str, Pair]]:
    """Order the samples of a shard so that those of each clip are spread over it; returns clip keys and pairs."""
    positioned = []
    for clip_key, pairs in clips:
        shuffled = sorted(pairs, key=lambda pair: hash64(seed, "place", clip_key, pair[0], pair[1]))
        offset = uniform(seed, "offset", clip_key)
        positioned += [((index + offset) / len(shuffled), clip_key, pair) for index, pair in enumerate(shuffled)]
    positioned.sort(key=lambda sample: sample[:2])
    return [(clip_key, pair) for _, clip_key, pair in positioned]


def order_split(
    seed: int, samples_per_shard: int, clips: Mapping[str, Iterable[tuple[int, int]]]
) -> Iterator[list[tuple[str, tuple[int, int]]]]:
    """Yield the samples of each shard of a split in order: clip keys and pairs of frame indices."""
    rows = [
        (clip_key, pair)
        for clip_key in sorted(clips, key=lambda key: (rank_clip(seed, key), key))
        for pair in sorted(clips[clip_key])
    ]
    for start in range(0, len(rows), samples_per_shard):
        of_shard: dict[str, list[tuple[int, int]]] = {}
        for clip_key, pair in rows[start : start + samples_per_shard]:
            of_shard.setdefault(clip_key, []).append(pair)
        yield spread_samples(seed, of_shard.items())
