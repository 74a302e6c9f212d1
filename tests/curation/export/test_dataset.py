"""Reading a finished data set back."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq

from curation.export.dataset import read_finished
from shards.schema import ADDED_COLUMNS, CLIPS, CLIPS_SCHEMA


def test_columns_added_later_are_null_in_older_data_sets(dataset: Path, tmp_path: Path) -> None:
    older = shutil.copytree(dataset, tmp_path / "older")
    clips = pq.read_table(older / CLIPS)
    pq.write_table(clips.drop_columns(list(ADDED_COLUMNS)), older / CLIPS)
    read = read_finished(older).clips
    assert read.schema == CLIPS_SCHEMA
    assert read.drop_columns(list(ADDED_COLUMNS)) == clips.drop_columns(list(ADDED_COLUMNS))
    assert all(read[name].null_count == read.num_rows for name in ADDED_COLUMNS)
