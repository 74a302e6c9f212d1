"""Measured clips -> duplicates: clips with the same or similar frames as a clip that is kept instead.

Exact duplicates have the same digest of all frames. Near-duplicates have similar perceptual hashes.
"""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from curation.code_cache import fill_once
from curation.config import CurationConfig
from curation.decode.fingerprint import CROPS, NUM_FRAMES, unpack_signature
from curation.flow.stage import FlowTable
from curation.flow.table import iterate_measurements
from curation.listing.catalog import Catalog
from curation.listing.clips import Clips
from curation.selection.signatures import Signatures
from shards.schema import SPLITS
from shards.storage.location import Location


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """What duplicates are found by, in columns: every field is [clips]."""

    clip_keys: Sequence[str]
    splits: NDArray[np.int8]
    """Indices into SPLITS."""
    rows: NDArray[np.int32]
    """The first row of the listing that names each clip, from 1."""
    digests: NDArray[np.void]
    """SHA-256 over the frames, 32 bytes each."""
    signatures: Signatures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Duplicate:
    """A clip that is left out because another one has its pictures."""

    clip_key: str
    original: str
    """The key of the clip that is kept instead."""
    distance: float | None
    """Of a near-duplicate, the distance to its original in bits of 64; None for an exact one."""

    @property
    def kind(self) -> str:
        """The value of `duplicate_kind` in clips.parquet: exact or near."""
        return "exact" if self.distance is None else "near"

    def describe(self, split: str, original_split: str, original_row: int) -> str:
        """Return the reason for the verdict in words."""
        if self.distance is None:
            return f"the same pictures as row {original_row}, {original_split}"
        return (
            f"nearly the same pictures as row {original_row}, {original_split}: {self.distance:g} of 64 bits differ, "
            f"and this clip is in {split}"
        )


def may_search(clips: Clips, config: CurationConfig) -> bool:
    """Return whether `find_duplicates` may search for near-duplicates. Within one split they are kept."""
    return bool(config.near_distance and np.any(clips.splits != clips.splits[:1]))


@fill_once
def warm_up_search() -> None:
    """Load or compile the search for near-duplicates."""
    from curation.selection.near_duplicates import find_near_duplicates

    frame = np.zeros((1, len(CROPS)), np.uint64)
    find_near_duplicates(Signatures.join([frame, frame]), max_distance=1)


def find_duplicates(catalog: Catalog, table: FlowTable, config: CurationConfig) -> dict[str, Duplicate]:
    """Find the duplicates among the clips that pairs can be selected from; returns them by key."""
    clips, usable = catalog.clips, table.measured.usable
    fingerprints = Fingerprints(
        clip_keys=[clips.keys_in_order[number] for number in usable.tolist()],
        splits=clips.splits[usable],
        rows=clips.first_rows[usable],
        digests=table.measured.frames_sha256[usable],
        signatures=_read_signatures(table.parts if config.near_distance else (), clips).take(usable),
    )
    return choose_duplicates(
        fingerprints, near_distance=config.near_distance, has_official_splits=bool(catalog.split_lists)
    )


def _read_signatures(parts: Iterable[Location], clips: Clips) -> Signatures:
    """Read the signature of every clip from the parts of a flow table; a clip that is in no part has no hashes."""
    starts, num_frames = (np.zeros(len(clips), dtype=np.int32) for _ in range(2))
    # The operating system allocates memory only for what is written.
    hashes = np.empty((NUM_FRAMES * len(clips), len(CROPS)), dtype=np.uint64)
    end = 0
    for measurement in iterate_measurements(parts):
        number, signature = clips.number(measurement.clip_key), unpack_signature(measurement.signature)
        starts[number], num_frames[number] = end, len(signature)
        end += len(signature)
        hashes[starts[number] : end] = signature
    return Signatures(hashes[:end], starts, num_frames)


def choose_duplicates(
    fingerprints: Fingerprints, *, near_distance: int, has_official_splits: bool
) -> dict[str, Duplicate]:
    """Choose which clips to leave out: all exact duplicates, and near-duplicates of a clip in another split.

    The clip with the first row stays. With official split lists, clips of val and test come before those of train.
    `near_distance` is the distance in bits up to which clips are near-duplicates; 0 finds only exact ones.
    """
    splits = fingerprints.splits
    ranked = np.lexsort([fingerprints.rows, (splits == SPLITS.index("train")) & has_official_splits])
    originals = _find_originals(fingerprints.digests[ranked])
    is_original = originals == np.arange(len(originals))
    duplicates = {
        (key := fingerprints.clip_keys[ranked[index]]): Duplicate(
            clip_key=key, original=fingerprints.clip_keys[ranked[originals[index]]], distance=None
        )
        for index in np.flatnonzero(~is_original).tolist()
    }
    unique = ranked[is_original]
    if near_distance and np.any(splits[unique] != splits[unique[:1]]):
        # Imported here because Numba takes 0.3 s to import.
        from curation.selection.near_duplicates import find_near_duplicates

        near = find_near_duplicates(fingerprints.signatures.take(unique), near_distance, splits[unique])
        duplicates |= _drop_across_splits([fingerprints.clip_keys[index] for index in unique.tolist()], near)
    return duplicates


def _find_originals(digests: NDArray[np.void]) -> NDArray[np.int64]:
    """Return for each digest, [clips], the index of the first one that is equal to it."""
    words = digests.view("<u8").reshape(len(digests), digests.dtype.itemsize // 8)
    order = np.lexsort([np.arange(len(words)), *words.T])
    is_new = np.ones(len(words), dtype=bool)
    is_new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    originals = np.empty(len(words), dtype=np.int64)
    originals[order] = order[is_new][np.cumsum(is_new) - 1]
    return originals


def _drop_across_splits(clip_keys: Sequence[str], near: Mapping[tuple[int, int], float]) -> dict[str, Duplicate]:
    """Drop every clip that is near an earlier clip which is not dropped itself.

    `clip_keys` are in order of rank. `near` holds the distances of clips in different splits, by their indices.
    """
    earlier: dict[int, list[tuple[float, int]]] = collections.defaultdict(list)
    for (first, second), distance in near.items():
        earlier[second].append((distance, first))
    duplicates: dict[str, Duplicate] = {}
    for index in sorted(earlier):
        kept = [(distance, original) for distance, original in earlier[index] if clip_keys[original] not in duplicates]
        if kept:
            distance, original = min(kept)
            key = clip_keys[index]
            duplicates[key] = Duplicate(clip_key=key, original=clip_keys[original], distance=distance)
    return duplicates
