"""Shards -> some pairs to look at, small: drawn from the first samples of shards that lie evenly among all.

Clips were dealt to shards, and each clip's samples along its shard, by the seed. So what stands first in a few shards
is a fair draw of all samples, and nothing else of them need be read.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from curation.inspection.report.report_data import ShownPair
from shards.location import Location
from shards.manifest import ShardEntry, SplitEntry
from shards.reader import read_head
from shards.schema import Sample

NUM_PAIRS = 300
NUM_BYTES = 5_000_000
"""Of all pictures together, at most; in the page they take a third more."""
_SIDE_PX = 192
_QUALITY = 80
_NUM_SHARDS = 30
_NUM_THREADS = 8


class _Head(NamedTuple):
    """The first samples of a shard."""

    split: str
    shard: str
    num_samples: int


def draw_pairs(out: Location, splits: Mapping[str, SplitEntry]) -> tuple[ShownPair, ...]:
    """Read some samples of every split, in an order in which splits and shards are mixed."""
    wanted = share_out(NUM_PAIRS, {name: entry.num_samples for name, entry in splits.items()})
    heads = [head for name, number in wanted.items() for head in _choose_heads(name, splits[name].shards, number)]
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        # A shard that lies in a store is a few requests, which take their time.
        samples = list(threads.map(lambda head: list(_read(out, head)), heads))
        by_split = [
            list(_mix(read for head, read in zip(heads, samples, strict=True) if head.split == name)) for name in wanted
        ]
        pairs = list(threads.map(_make_small, _mix(by_split)))
    num_bytes = np.cumsum([len(pair.source) + len(pair.target) for pair in pairs])
    return tuple(pairs[: int(np.searchsorted(num_bytes, NUM_BYTES, side="right"))])


def share_out(number: int, num_samples: Mapping[str, int]) -> dict[str, int]:
    """Divide a number of pairs among splits: one half evenly, the other by their samples, none more than it has."""
    total, num_splits = sum(num_samples.values()), sum(map(bool, num_samples.values()))
    return {
        name: min(own, round(number / 2 / num_splits + number / 2 * own / total)) if own else 0
        for name, own in num_samples.items()
    }


def _choose_heads(split: str, shards: tuple[ShardEntry, ...], number: int) -> Iterator[_Head]:
    """Share out `number` samples of a split among up to 30 of its shards."""
    num_shards = min(_NUM_SHARDS, len(shards), number)
    chosen = [shards[k] for k in np.linspace(0, len(shards) - 1, num_shards).round().astype(int)]
    # A last shard may hold fewer samples than its share; the others then give more.
    left = number
    for place, shard in enumerate(sorted(chosen, key=lambda one: one.num_samples)):
        taken = min(shard.num_samples, -(-left // (num_shards - place)))
        left -= taken
        yield _Head(split=split, shard=shard.name, num_samples=taken)


def _read(out: Location, head: _Head) -> Iterator[tuple[str, Sample]]:
    return ((head.shard, sample) for sample in read_head(out / head.split / head.shard, head.num_samples))


def _mix(queues: Iterable[list[tuple[str, Sample]]]) -> Iterator[tuple[str, Sample]]:
    """Merge lists so that each is spread evenly over the whole."""
    placed = [
        ((place + 0.5) / len(queue), number, one)
        for number, queue in enumerate(queues)
        for place, one in enumerate(queue)
    ]
    return (one for _, _, one in sorted(placed, key=lambda entry: entry[:2]))


def _make_small(drawn: tuple[str, Sample]) -> ShownPair:
    shard, sample = drawn
    record = sample.record
    return ShownPair(
        key=record.key,
        caption=record.caption,
        split=record.split,
        shard=shard,
        source_index=record.source_index,
        target_index=record.target_index,
        motion_px=record.motion_px,
        gap_ms=record.gap_ms,
        source=_shrink(sample.source),
        target=_shrink(sample.target),
    )


def _shrink(picture: bytes) -> bytes:
    """Encode a picture anew as a JPEG whose longer side has 192 pixels at most."""
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
    small.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.BILINEAR)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()
