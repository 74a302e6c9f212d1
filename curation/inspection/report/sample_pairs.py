"""Shards -> a sample of kept pairs with thumbnails.

Reads the first samples of shards at even intervals. The seed shuffles clips over shards and samples within a shard,
so these are a random sample, and only the start of a few shards is read.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from curation.inspection.report.report_data import SamplePair
from curation.inspection.web.short_text import shorten
from shards.errors import DatasetError
from shards.manifest import ShardEntry, SplitEntry
from shards.pictures import DECODE_ERRORS, SHARD_FORMATS
from shards.reader import read_head
from shards.schema import Sample
from shards.storage.location import Location

NUM_PAIRS = 300
MAX_BYTES = 5_000_000
"""Limit on the size of all thumbnails. Base64 in the page adds a third."""
_THUMBNAIL_PX = 192
_JPEG_QUALITY = 80
_MAX_SHARDS_PER_SPLIT = 30
_NUM_THREADS = 8


class _Head(NamedTuple):
    """The first samples of a shard."""

    split: str
    shard: str
    num_samples: int


def read_sample_pairs(out: Location, splits: Mapping[str, SplitEntry]) -> tuple[SamplePair, ...]:
    """Read up to NUM_PAIRS pairs of all splits, interleaved by split and shard. Deterministic."""
    num_pairs = allocate_pairs(NUM_PAIRS, {name: entry.num_samples for name, entry in splits.items()})
    heads = [head for name, number in num_pairs.items() for head in _choose_heads(name, splits[name].shards, number)]
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        # Threads: in an object store, each shard costs a few requests.
        samples = list(threads.map(lambda head: _read_samples(out, head), heads))
        by_split = [
            _interleave([read for head, read in zip(heads, samples, strict=True) if head.split == name])
            for name in num_pairs
        ]
        pairs = list(threads.map(_make_pair, _interleave(by_split)))
    num_bytes = np.cumsum([len(pair.source) + len(pair.target) for pair in pairs])
    return tuple(pairs[: int(np.searchsorted(num_bytes, MAX_BYTES, side="right"))])


def allocate_pairs(num_pairs: int, num_samples: Mapping[str, int]) -> dict[str, int]:
    """Divide `num_pairs` among splits: half equally, half by number of samples, none more than it has."""
    total, num_splits = sum(num_samples.values()), sum(map(bool, num_samples.values()))
    return {
        name: min(number, round(num_pairs / 2 / num_splits + num_pairs / 2 * number / total)) if number else 0
        for name, number in num_samples.items()
    }


def _choose_heads(split: str, shards: tuple[ShardEntry, ...], num_pairs: int) -> Iterator[_Head]:
    """Divide `num_pairs` among up to 30 shards of a split."""
    num_shards = min(_MAX_SHARDS_PER_SPLIT, len(shards), num_pairs)
    chosen = [shards[k] for k in np.linspace(0, len(shards) - 1, num_shards).round().astype(int)]
    # Smallest first: the last shard may have too few samples, and the others then give more.
    num_left = num_pairs
    for position, shard in enumerate(sorted(chosen, key=lambda shard: shard.num_samples)):
        num_taken = min(shard.num_samples, -(-num_left // (num_shards - position)))
        num_left -= num_taken
        yield _Head(split=split, shard=shard.name, num_samples=num_taken)


def _read_samples(out: Location, head: _Head) -> list[tuple[str, Sample]]:
    return [(head.shard, sample) for sample in read_head(out / head.split / head.shard, head.num_samples)]


def _interleave(lists: Iterable[list[tuple[str, Sample]]]) -> list[tuple[str, Sample]]:
    """Merge lists so that the items of each are spread evenly over the result."""
    positions = [
        ((position + 0.5) / len(items), number, item)
        for number, items in enumerate(lists)
        for position, item in enumerate(items)
    ]
    return [item for _, _, item in sorted(positions, key=lambda entry: entry[:2])]


def _make_pair(shard_and_sample: tuple[str, Sample]) -> SamplePair:
    shard, sample = shard_and_sample
    record = sample.record
    return SamplePair(
        key=record.key,
        caption=shorten(record.caption),
        split=record.split,
        shard=shard,
        source_index=record.source_index,
        target_index=record.target_index,
        motion_px=record.motion_px,
        gap_ms=record.gap_ms,
        source=_make_thumbnail(sample, "source"),
        target=_make_thumbnail(sample, "target"),
    )


def _make_thumbnail(sample: Sample, role: Literal["source", "target"]) -> bytes:
    """Encode a picture of a sample as JPEG with a longer side of up to 192 px. Raises DatasetError if it is damaged."""
    try:
        with Image.open(io.BytesIO(getattr(sample, role)), formats=SHARD_FORMATS) as image:
            thumbnail = image.convert("RGB")
    except DECODE_ERRORS as error:
        raise DatasetError(
            f"the {role} of sample {sample.record.key} cannot be decoded ({error}); make the data set again"
        ) from error
    thumbnail.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BILINEAR)
    data = io.BytesIO()
    thumbnail.save(data, "JPEG", quality=_JPEG_QUALITY)
    return data.getvalue()
