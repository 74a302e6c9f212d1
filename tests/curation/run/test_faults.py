"""Damaged files, one killed worker and sliced clips: the bytes are those of an undisturbed run.

Full disks and repeated kills are in test_kills.py.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from curation.flow import schedule
from curation.flow import stage as flow_stage
from curation.run.workspace import Workspace
from shards.verification.dataset import verify_dataset
from tests.curation.helpers import (
    STARTING_WORKER,
    assert_same_dataset,
    check_independently,
    curate_command,
    find_processes,
    run,
    shard_hashes,
    wait_until,
)


def truncate(path: Path) -> None:
    """Cut off the end of a file."""
    path.write_bytes(path.read_bytes()[:-40])


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("pattern", ["flow/part-*", "train/*.tar"], ids=["part", "shard"])
@pytest.mark.parametrize(
    ("damage", "is_finished"), [(truncate, True), (flip, True), (Path.unlink, True), (Path.unlink, False)]
)
def test_damaged_file_is_made_again(listing, dataset, tmp_path, is_finished, pattern, damage):
    out = Path(shutil.copytree(dataset, tmp_path / "out"))
    damage(sorted(out.glob(pattern))[0])
    if not is_finished:
        Workspace(out).mark_unfinished()
    summary = run(listing, out, overwrite=is_finished)
    assert summary is not None, "the damaged data set counted as finished"
    if pattern == "flow/part-*":
        assert 0 < summary.num_pairs_measured < summary.curated.num_pairs
    else:
        assert summary.num_pairs_measured == 0
    assert_same_dataset(out, dataset)
    check_independently(listing, out, num_remeasured=0)


@pytest.mark.slow
def test_worker_killed_while_ray_starts_is_replaced(listing, dataset, tmp_path, monkeypatch):
    marker = f"PIX2GIF_TEST_{tmp_path.name}"
    monkeypatch.setenv(marker, "1")
    with subprocess.Popen(curate_command(listing, tmp_path / "out")) as process:
        assert wait_until(lambda: find_processes(marker, STARTING_WORKER), 60)
        os.kill(find_processes(marker, STARTING_WORKER)[0], signal.SIGKILL)
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()
    assert_same_dataset(tmp_path / "out", dataset)


def read_flow(out: Path) -> list[dict[str, object]]:
    """Return all rows of a flow table, sorted."""
    order = [(name, "ascending") for name in ("clip_key", "source_index", "target_index")]
    table = ds.dataset(out / "flow", format="parquet").to_table()
    return table.set_column(0, "clip_key", table["clip_key"].cast("string")).sort_by(order).to_pylist()


@pytest.fixture
def tiny_slices(monkeypatch):
    """Measure every clip in slices: clips that are long by the real bounds take minutes."""
    monkeypatch.setattr(schedule, "_SLICE_US", 1000)
    monkeypatch.setattr(schedule, "_MIN_MEASURING_TO_DECODING", 0)


def test_sliced_clips_have_the_same_rows_and_shards(listing, dataset, tmp_path, tiny_slices):
    run(listing, tmp_path / "out")
    assert len(list((tmp_path / "out" / "flow").iterdir())) == 13, "each clip has a part of its own"
    assert read_flow(tmp_path / "out") == read_flow(dataset)
    assert shard_hashes(tmp_path / "out") == shard_hashes(dataset)
    verify_dataset(tmp_path / "out")


def test_run_interrupted_between_slices_measures_only_the_missing_ones(
    listing, dataset, tmp_path, tiny_slices, monkeypatch
):
    done = []

    def make_part_or_stop(task):
        if len(done) == 30:
            raise KeyboardInterrupt
        done.append(task)
        return make_part(task)

    make_part = flow_stage.make_part
    monkeypatch.setattr(flow_stage, "make_part", make_part_or_stop)
    with pytest.raises(KeyboardInterrupt):
        run(listing, tmp_path / "out")
    slices = {path.name for path in (tmp_path / "out" / ".work" / "slices").iterdir()}
    assert len(slices) == 30
    monkeypatch.setattr(flow_stage, "make_part", make_part)
    summary = run(listing, tmp_path / "out")
    assert 0 < summary.num_pairs_measured < summary.curated.num_pairs
    assert shard_hashes(tmp_path / "out") == shard_hashes(dataset)
    assert not (tmp_path / "out" / ".work").exists()
