"""Measured clips -> those that are copies of others, and why: they get the verdict `duplicate`."""

from collections.abc import Iterable

import numpy as np

from curation.config import CurationConfig
from curation.decode.fingerprint import CROPS, NUM_FRAMES, unpack_signature
from curation.flow.stage import FlowTable
from curation.flow.table import iterate_measurements
from curation.listing.catalog import Catalog
from curation.listing.clips import Clips
from curation.selection.near_copies import Copy, Prints, find_copies
from curation.selection.signatures import Signatures
from shards.location import Location

_NEARLY = "nearly the pictures of"


def find_duplicates(catalog: Catalog, table: FlowTable, config: CurationConfig) -> dict[str, Copy]:
    """Find the clips that others stand for, by key, among those that could be selected from."""
    clips, usable = catalog.clips, table.measured.usable
    prints = Prints(
        clip_keys=[clips.keys_in_order[number] for number in usable.tolist()],
        splits=clips.splits[usable],
        rows=clips.first_rows[usable],
        digests=table.measured.frames_sha256[usable],
        signatures=read_signatures(table.parts if config.near_distance else (), clips).take(usable),
    )
    return find_copies(prints, near_distance=config.near_distance, has_official_splits=bool(catalog.split_lists))


def read_signatures(parts: Iterable[Location], clips: Clips) -> Signatures:
    """Read from a flow table's parts the signatures of all clips, by their numbers; empty where there is none."""
    starts, num_frames = (np.zeros(len(clips), dtype=np.int32) for _ in range(2))
    # What is not written to takes no memory.
    hashes = np.empty((NUM_FRAMES * len(clips), len(CROPS)), dtype=np.uint64)
    end = 0
    for one in iterate_measurements(parts):
        number, signature = clips.number(one.clip_key), unpack_signature(one.signature)
        starts[number], num_frames[number] = end, len(signature)
        end += len(signature)
        hashes[starts[number] : end] = signature
    return Signatures(hashes[:end], starts, num_frames)


def is_near(detail: str) -> bool:
    """Whether a clip that `describe_copy` told of is a near copy, not an exact one."""
    return detail.startswith(_NEARLY)


def describe_copy(copy: Copy, split: str, original_split: str, row: int) -> str:
    """Say in words why a clip is a duplicate; `row` is the original's, of the listing."""
    if copy.distance is None:
        return f"the same pictures as row {row}, {original_split}"
    return f"{_NEARLY} row {row}, {copy.distance:g} bits of 64 apart: that is {original_split}, this {split}"
