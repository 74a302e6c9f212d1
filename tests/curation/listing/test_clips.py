"""Clips are looked up by key and by number."""

from pathlib import Path

import numpy as np
import pytest

from curation.config import CurationConfig
from curation.listing.catalog import Catalog, read_catalog
from curation.options import RunOptions


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Three clips, the second of which has three rows."""
    listing = b"a.gif\tone\nb.gif\ttwo\na.gif\tone\nb.gif\tthree\nc.gif\tfour\nb.gif\ttwo"
    options = RunOptions(listing=tmp_path / "listing.tsv", out=tmp_path / "out")
    return read_catalog(listing, options, CurationConfig())


def test_numbers_keys_and_clips_match(catalog: Catalog) -> None:
    clips = catalog.clips
    for number, (key, clip) in enumerate(clips.items()):
        assert (clips.keys_in_order[number], clips.number(key), clip.key) == (key, number, key)
        assert (clips.uri(number), clips.location(number)) == (clip.uri, clip.location)
        assert (clips.split(number), clips.first_rows[number]) == (clip.split, clip.row)
    assert [clip.captions for clip in clips.values()] == [("one",), ("two", "three"), ("four",)]
    assert clips.first_rows.tolist() == [1, 2, 5]


def test_key_of_another_listing_has_no_number(catalog: Catalog) -> None:
    keys = [*reversed(catalog.clips.keys_in_order), "other"]
    assert catalog.clips.find_numbers(keys).tolist() == [2, 1, 0, -1]
    with pytest.raises(KeyError):
        catalog.clips.number("other")


def test_with_splits_changes_only_the_splits(catalog: Catalog) -> None:
    moved = catalog.clips.with_splits(np.array([2, 1, 0], np.int8))
    assert [clip.split for clip in moved.values()] == ["test", "val", "train"]
    assert [clip.captions for clip in moved.values()] == [clip.captions for clip in catalog.clips.values()]
