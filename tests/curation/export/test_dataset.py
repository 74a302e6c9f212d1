"""Reading a finished data set back."""

import dataclasses
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.export.dataset import read_finished
from shards.errors import DatasetError
from shards.files import describe_files
from shards.manifest import read_manifest, write_manifest
from shards.schema import ADDED_COLUMNS, CLIPS, CLIPS_SCHEMA, REPORT


def test_columns_added_later_are_null_in_older_data_sets(dataset: Path, tmp_path: Path) -> None:
    older = shutil.copytree(dataset, tmp_path / "older")
    clips = pq.read_table(older / CLIPS)
    pq.write_table(clips.drop_columns(list(ADDED_COLUMNS)), older / CLIPS)
    write_manifest(older, dataclasses.replace(read_manifest(older), files=describe_files(older, REPORT)))
    read = read_finished(older).clips
    assert read.schema == CLIPS_SCHEMA
    assert read.drop_columns(list(ADDED_COLUMNS)) == clips.drop_columns(list(ADDED_COLUMNS))
    assert all(read[name].null_count == read.num_rows for name in ADDED_COLUMNS)


def test_clip_table_that_was_changed_is_not_read(dataset: Path, tmp_path: Path) -> None:
    out = shutil.copytree(dataset, tmp_path / "out")
    clips = pq.read_table(out / CLIPS)
    captions = ["a dog", *clips["caption"].to_pylist()[1:]]
    pq.write_table(clips.set_column(2, clips.schema.field(2), [captions]), out / CLIPS)
    with pytest.raises(DatasetError, match=r"clips\.parquet: its SHA-256 is not the manifest's; restore the file"):
        read_finished(out)
