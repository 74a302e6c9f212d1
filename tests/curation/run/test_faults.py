"""Whatever happens to files between runs, and to giants in slices, the bytes are those of an undisturbed run.

What is done to disks, and to processes again and again, stands in test_kills.py.
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
from shards.verify import verify_dataset
from tests.curation.helpers import (
    STARTING_WORKER,
    check_independently,
    find_processes,
    hold_against,
    run,
    shard_hashes,
    wait_until,
    words,
)


def truncate(path: Path) -> None:
    """Tear a file."""
    path.write_bytes(path.read_bytes()[:-40])


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("is_finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("pattern", ["flow/part-*", "train/*.tar"], ids=["part", "shard"])
@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink], ids=["truncated", "flipped", "deleted"])
def test_what_is_damaged_between_runs_is_made_again(listing, dataset, tmp_path, is_finished, pattern, damage):
    out = Path(shutil.copytree(dataset, tmp_path / "out"))
    damage(sorted(out.glob(pattern))[0])
    if not is_finished:
        (out / "dataset.json").unlink()
        (out / ".work").mkdir()
    summary = run(listing, out)
    assert summary is not None, "it did not count as finished"
    if pattern == "flow/part-*":
        assert 0 < summary.num_pairs_measured < summary.curated.num_pairs
    else:
        assert summary.num_pairs_measured == 0
    hold_against(out, dataset)
    check_independently(listing, out, num_remeasured=0)


def test_a_worker_that_is_killed_while_ray_starts_is_replaced(listing, dataset, tmp_path, monkeypatch):
    marker = f"PIX2GIF_TEST_{tmp_path.name}"
    monkeypatch.setenv(marker, "1")
    with subprocess.Popen(words(listing, tmp_path / "out")) as process:
        assert wait_until(lambda: find_processes(marker, STARTING_WORKER), 60)
        os.kill(find_processes(marker, STARTING_WORKER)[0], signal.SIGKILL)
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()
    hold_against(tmp_path / "out", dataset)


def read_flow(out: Path) -> list[dict[str, object]]:
    """Read all rows of a flow table, in an order of their own."""
    order = [(name, "ascending") for name in ("clip_key", "source_index", "target_index")]
    table = ds.dataset(out / "flow", format="parquet").to_table()
    return table.set_column(0, "clip_key", table["clip_key"].cast("string")).sort_by(order).to_pylist()


@pytest.fixture
def tiny_slices(monkeypatch):
    """Let every clip be a giant."""
    monkeypatch.setattr(schedule, "_SLICE_US", 1000)
    monkeypatch.setattr(schedule, "_SLICE_TO_DECODING", 0)


def test_giants_in_slices_have_the_same_rows_and_shards(listing, dataset, tmp_path, tiny_slices):
    run(listing, tmp_path / "out")
    assert len(list((tmp_path / "out" / "flow").iterdir())) == 13, "a part each"
    assert read_flow(tmp_path / "out") == read_flow(dataset)
    assert shard_hashes(tmp_path / "out") == shard_hashes(dataset)
    verify_dataset(tmp_path / "out")


def test_a_run_that_stops_among_slices_measures_only_the_missing_ones(
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
