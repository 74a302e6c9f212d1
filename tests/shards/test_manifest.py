"""dataset.json is read as it was written, and errors name what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shards.errors import DatasetError
from shards.manifest import (
    FileEntry,
    ListingEntry,
    Manifest,
    MotionHistogram,
    ShardEntry,
    SplitEntry,
    digest,
    read_manifest,
    write_manifest,
)
from shards.schema import CLIPS, MANIFEST, REPORT

SHARD = ShardEntry(name="00000.tar", num_samples=3, num_bytes=10240, sha256="ab" * 32)
FILE = FileEntry(num_bytes=7, sha256="ef" * 32)
HISTOGRAM = MotionHistogram(bin_edges=(2, 3, 4), counts=(1, 2))
EXAMPLE = Manifest(
    listing=ListingEntry(uri="tgif.tsv", sha256="cd" * 32, num_rows=5),
    config={"seed": 0, "min_motion": 2.0, "split_lists": {}},
    software={"pillow": "13.0.0"},
    verdicts={"kept": 4, "still": 1},
    splits={"train": SplitEntry(num_samples=3, num_clips=2, motion_histogram=HISTOGRAM, shards=(SHARD,))},
    files={CLIPS: FILE, REPORT: FILE},
)


def test_manifest_is_read_as_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, EXAMPLE)
    assert read_manifest(tmp_path) == EXAMPLE


def test_equal_manifests_give_equal_bytes_with_the_promised_fields(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a", EXAMPLE)
    write_manifest(tmp_path / "b", read_manifest(tmp_path / "a"))
    data = (tmp_path / "a" / MANIFEST).read_bytes()
    assert data == (tmp_path / "b" / MANIFEST).read_bytes()
    assert json.loads(data).keys() == {
        *("schema_version", "listing", "config", "config_digest", "software", "verdicts", "splits"),
        *("files", "file_sizes", "digest"),
    }


def test_digest_depends_on_values_not_on_order() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1, "b": 2}) != digest({"a": 2, "b": 1})


def edit(out: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Edit a written manifest."""
    fields = json.loads((out / MANIFEST).read_text())
    change(fields)
    (out / MANIFEST).write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda fields: fields["config"].update(seed=1), "config_digest"),
        (lambda fields: fields.update(config_digest="0" * 64), "config_digest"),
        (lambda fields: fields.update(schema_version=3), "schema_version 3, this software reads 1 and 2"),
        (lambda fields: fields.pop("schema_version"), "schema_version"),
        (lambda fields: fields.pop("verdicts"), "verdicts"),
        (lambda fields: fields["listing"].pop("num_rows"), "num_rows"),
        (lambda fields: fields["splits"]["train"].pop("shards"), "shards"),
        (lambda fields: fields["splits"]["train"]["shards"][0].pop("sha256"), "sha256"),
        (lambda fields: fields.update(splits=[]), "not a manifest"),
    ],
)
def test_edited_manifest_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str) -> None:
    write_manifest(tmp_path, EXAMPLE)
    edit(tmp_path, change)
    with pytest.raises(DatasetError, match=rf"{MANIFEST}.*{told}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(mood="cheerful"),
        lambda fields: fields["listing"].update(num_bytes=7),
        lambda fields: fields["splits"]["train"].update(num_hours=7),
        lambda fields: fields["splits"]["train"]["motion_histogram"].update(unit="px"),
        lambda fields: fields["splits"]["train"]["shards"][0].update(md5="ef" * 16),
    ],
    ids=["manifest", "listing", "split", "histogram", "shard"],
)
def test_unknown_fields_are_ignored(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    write_manifest(tmp_path, EXAMPLE)
    edit(tmp_path, change)
    assert read_manifest(tmp_path) == EXAMPLE


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema_version": 1}'])
def test_invalid_manifest_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(data)
    with pytest.raises(DatasetError, match=f"{MANIFEST}: not a manifest"):
        read_manifest(tmp_path)


def test_folder_without_a_manifest_is_no_finished_data_set(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"{tmp_path}: no {MANIFEST}"):
        read_manifest(tmp_path)


def test_folder_in_place_of_the_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(DatasetError, match=MANIFEST):
        read_manifest(tmp_path)
