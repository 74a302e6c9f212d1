"""Measured clips -> those that are copies of others, and why: they get the verdict `duplicate`."""

from collections.abc import Mapping

from curation.catalog import Catalog
from curation.config import CurationConfig
from curation.copies import Copy, Print, find_copies
from curation.fingerprint import unpack_signature
from curation.flow_table import Measurement


def find_duplicates(catalog: Catalog, measured: Mapping[str, Measurement], config: CurationConfig) -> dict[str, Copy]:
    """Find the clips that others stand for, by key, among those that could be selected from."""
    prints = [
        Print(
            clip_key=key,
            split=catalog.clips[key].split,
            row=catalog.clips[key].row,
            digest=one.frames_sha256,
            signature=unpack_signature(one.signature),
        )
        for key, one in measured.items()
        if one.verdict is None
    ]
    return find_copies(prints, near_distance=config.near_distance, has_official_splits=bool(catalog.split_lists))


def describe_copy(copy: Copy, split: str, original_split: str, row: int) -> str:
    """Say in words why a clip is a duplicate; `row` is the original's, of the listing."""
    if copy.distance is None:
        return f"the same pictures as row {row}, {original_split}"
    return (
        f"nearly the pictures of row {row}, {copy.distance:g} bits of 64 apart: that is {original_split}, this {split}"
    )
