"""Measured clips -> those that are copies of others, and why: they get the verdict `duplicate`."""

import sys
from collections.abc import Iterable

import numpy as np

from curation.catalog import Catalog
from curation.clips import Clips
from curation.config import CurationConfig
from curation.copies import Copy, Prints, find_copies
from curation.fingerprint import INSIDES
from curation.flow_stage import FlowTable
from curation.flow_table import read_measurements_of
from curation.signatures import Signatures
from shards.location import Location

_BYTES_PER_FRAME = 8 * len(INSIDES)


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
    starts, num_frames = (np.zeros(len(clips), dtype=np.int64) for _ in range(2))
    data = bytearray()
    for one in read_measurements_of(parts):
        number = clips.number(one.clip_key)
        starts[number] = len(data) // _BYTES_PER_FRAME
        data += bytes.fromhex(one.signature)
        num_frames[number] = len(data) // _BYTES_PER_FRAME - starts[number]
    hashes = np.frombuffer(data, dtype=np.uint64)
    if sys.byteorder == "little":
        hashes.byteswap(inplace=True)
    return Signatures(hashes.reshape(-1, len(INSIDES)), starts, num_frames)


def describe_copy(copy: Copy, split: str, original_split: str, row: int) -> str:
    """Say in words why a clip is a duplicate; `row` is the original's, of the listing."""
    if copy.distance is None:
        return f"the same pictures as row {row}, {original_split}"
    return (
        f"nearly the pictures of row {row}, {copy.distance:g} bits of 64 apart: that is {original_split}, this {split}"
    )
