"""Finished data set -> duplicates that it still contains, and leakage between its splits.

Compares the fingerprints of all clips with samples again, at a distance of the caller's choice. Decodes no picture:
fingerprints are in the flow table, kept pairs in the shards.
"""

import collections
import dataclasses
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from curation.decode.fingerprint import unpack_signature
from curation.errors import CurationError
from curation.export.dataset import read_finished
from curation.flow.table import Measurement, read_measurements
from curation.inspection.web.short_text import shorten
from curation.selection.near_duplicates import find_near_duplicates
from curation.selection.signatures import Signatures
from shards.schema import FLOW, Verdict
from shards.storage.location import Location, list_files

_MIN_PAIRS = 3
"""A clip with fewer kept pairs is not reported as a single-source clip."""
_MAX_LISTED = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class DuplicatePair:
    """Two clips with samples that are exact duplicates or near-duplicates."""

    clip_keys: tuple[str, str]
    splits: tuple[str, str]
    distance: float | None
    """Median Hamming distance of their frame hashes, in bits of 64. None for exact duplicates."""

    @property
    def is_leak(self) -> bool:
        """Whether the two clips are in different splits."""
        return self.splits[0] != self.splits[1]

    def __str__(self) -> str:
        bits = "bit" if self.distance == 1 else "bits"
        kind = "identical frames" if self.distance is None else f"distance {self.distance:g} {bits}"
        return f"{self.clip_keys[0]} ({self.splits[0]}) and {self.clip_keys[1]} ({self.splits[1]}): {kind}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """Result of an audit. Only clips with samples are compared."""

    num_clips: int
    num_duplicate_rows: int
    """Listing rows that curation excluded as duplicates."""
    exact: tuple[DuplicatePair, ...]
    near: tuple[DuplicatePair, ...]
    shared_captions: tuple[tuple[str, tuple[str, ...]], ...]
    """Captions that occur in more than one split, each with these splits."""
    single_source_clips: tuple[str, ...]
    """Clips with three or more kept pairs that all have the same source frame."""

    @property
    def num_leaks(self) -> int:
        """Number of duplicate pairs whose clips are in different splits."""
        return sum(pair.is_leak for pair in (*self.exact, *self.near))

    def __str__(self) -> str:
        lines = [f"{self.num_clips:,} clips with samples; curation excluded {self.num_duplicate_rows:,} duplicate rows"]
        lines += _format_pairs("exact duplicates", self.exact)
        lines += _format_pairs("near-duplicates", self.near)
        lines.append(f"captions in several splits: {len(self.shared_captions):,}")
        lines += _list_first(f"{shorten(caption)!r} in {', '.join(splits)}" for caption, splits in self.shared_captions)
        lines.append(f"clips with one source frame for all pairs: {len(self.single_source_clips):,}")
        lines += _list_first(self.single_source_clips)
        leaks = "1 leak" if self.num_leaks == 1 else f"{self.num_leaks or 'no'} leaks"
        return "\n".join([*lines, f"{leaks} between splits"])


def audit_dataset(out: Location, samples: pa.Table, near_distance: int) -> Audit:
    """Find duplicates and leakage among the clips that have samples.

    `samples` has one row per sample and the columns clip_key and source_index (see `sample_index.load_index`).
    Clips up to `near_distance` bits apart are near-duplicates; 0 finds exact duplicates only.
    Raises CurationError if the flow table has no fingerprint of a clip, DatasetError if the table of clips is damaged.
    """
    clips = read_finished(out).clips.select(["clip_key", "caption", "split", "verdict"]).to_pylist()
    split_of_clip = {row["clip_key"]: row["split"] for row in clips if row["verdict"] == Verdict.KEPT}
    measurements = {
        measurement.clip_key: measurement
        for path in list_files(out / FLOW, "part-*.parquet")
        for measurement in read_measurements(path)
        if measurement.clip_key in split_of_clip and measurement.frames_sha256
    }
    if missing := sorted(split_of_clip.keys() - measurements.keys()):
        raise CurationError(f"{out / FLOW} has no fingerprint of {missing[0]}; run curation again to create it")
    exact, unique = _find_exact(split_of_clip, measurements)
    signatures = Signatures.join(unpack_signature(measurements[key].signature) for key in unique if near_distance)
    near = find_near_duplicates(signatures, near_distance)
    return Audit(
        num_clips=len(split_of_clip),
        num_duplicate_rows=sum(row["verdict"] == Verdict.DUPLICATE for row in clips),
        exact=exact,
        near=tuple(
            _make_pair(split_of_clip, unique[first], unique[second], distance)
            for (first, second), distance in sorted(near.items())
        ),
        shared_captions=_find_shared_captions(clips, split_of_clip),
        single_source_clips=_find_single_source_clips(samples),
    )


def _find_exact(
    split_of_clip: dict[str, str], measurements: dict[str, Measurement]
) -> tuple[tuple[DuplicatePair, ...], list[str]]:
    """Return all exact duplicates, and the first clip of each distinct frame hash."""
    first: dict[str, str] = {}
    exact = []
    for key in split_of_clip:
        original = first.setdefault(measurements[key].frames_sha256, key)
        if original != key:
            exact.append(_make_pair(split_of_clip, original, key, None))
    return tuple(exact), list(first.values())


def _make_pair(split_of_clip: dict[str, str], first: str, second: str, distance: float | None) -> DuplicatePair:
    return DuplicatePair(
        clip_keys=(first, second), splits=(split_of_clip[first], split_of_clip[second]), distance=distance
    )


def _find_shared_captions(
    clips: Iterable[dict[str, str]], split_of_clip: dict[str, str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    splits_of_caption = collections.defaultdict(set)
    for row in clips:
        if row["clip_key"] in split_of_clip:
            splits_of_caption[row["caption"]].add(row["split"])
    return tuple(
        (caption, tuple(sorted(splits))) for caption, splits in sorted(splits_of_caption.items()) if len(splits) > 1
    )


def _find_single_source_clips(samples: pa.Table) -> tuple[str, ...]:
    grouped = samples.group_by("clip_key").aggregate([("source_index", "count_distinct"), ("source_index", "count")])
    is_single_source = pc.and_(
        pc.equal(grouped["source_index_count_distinct"], 1), pc.greater_equal(grouped["source_index_count"], _MIN_PAIRS)
    )
    return tuple(sorted(grouped.filter(is_single_source)["clip_key"].to_pylist()))


def _format_pairs(name: str, pairs: tuple[DuplicatePair, ...]) -> list[str]:
    num_leaks = sum(pair.is_leak for pair in pairs)
    leaks_first = sorted(pairs, key=lambda pair: (not pair.is_leak, pair.clip_keys))
    return [
        f"{name}: {len(pairs) - num_leaks:,} within a split, {num_leaks:,} across splits",
        *_list_first(leaks_first),
    ]


def _list_first(items: Iterable[object]) -> list[str]:
    lines = [f"  {item}" for item in items]
    return lines[:_MAX_LISTED] + ([f"  and {len(lines) - _MAX_LISTED:,} more"] if len(lines) > _MAX_LISTED else [])
