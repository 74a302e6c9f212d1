"""A plan counts what resplit keeps, and writes nothing."""

import shutil

import pytest

from curation.config import CurationConfig
from curation.export.dataset import find_sources, read_finished, rebuild_catalog
from curation.inspection.plan import Plan, make_plan
from curation.inspection.plan_text import format_plan
from curation.options import RunOptions
from curation.pipeline import curate
from curation.resplit import resplit
from curation.run.progress import Progress
from shards.errors import DatasetError
from shards.manifest import read_manifest


def make_plan_with(dataset, **given) -> Plan:
    finished = read_finished(dataset)
    config = finished.config(given)
    options = RunOptions(**find_sources(finished, None), out=dataset)
    return make_plan(finished, rebuild_catalog(finished, options, config), config)


@pytest.mark.parametrize("given", [{}, {"min_motion": 5.0, "max_motion": 9.5, "pairs_per_gif": 4, "min_pairs": 30}])
def test_plan_matches_resplit(dataset, tmp_path, given):
    plan = make_plan_with(dataset, samples_per_shard=25, **given)
    finished = read_finished(dataset)
    options = RunOptions(**find_sources(finished, None), out=tmp_path / "out", flow=dataset / "flow", workers=0)
    resplit(finished, options, finished.config({**given, "samples_per_shard": 25}), Progress(quiet=True))
    actual = read_manifest(tmp_path / "out").splits
    for split, quotas in plan.splits.items():
        assert quotas.kept_histogram == actual[split].motion_histogram.counts
        assert len(quotas.kept_clips) == actual[split].num_clips
        assert plan.num_shards(split) == len(actual[split].shards)
    num_bytes = sum(shard.num_bytes for entry in actual.values() for shard in entry.shards)
    assert plan.num_bytes == pytest.approx(num_bytes, rel=0.25)


def test_loss_is_counted_against_the_current_samples(dataset):
    assert make_plan_with(dataset).loss.num_clips == make_plan_with(dataset).loss.num_samples == 0
    plan = make_plan_with(dataset, min_motion=11.0)
    current = read_manifest(dataset).splits.values()
    num_slow = sum(sum(entry.motion_histogram.counts[: 11 - 2]) for entry in current)
    assert plan.loss.num_samples == num_slow > 0
    assert make_plan_with(dataset, min_motion=100.0, max_motion=200.0).loss.num_clips == 12


def test_text_has_all_counts_and_nothing_is_written(dataset):
    before = sorted((path, path.stat().st_mtime_ns) for path in dataset.rglob("*"))
    text = format_plan(make_plan_with(dataset, min_motion=3.0, max_motion=15.0))
    assert sorted((path, path.stat().st_mtime_ns) for path in dataset.rglob("*")) == before
    for expected in (
        "rows",
        "1,920 pairs",
        "train",
        "val",
        "3 to 4",
        "14 to 15",
        "100% is flat",
        "Nothing was written",
    ):
        assert expected in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_text_merges_many_bins_and_skips_empty_ones_at_the_end(dataset):
    text = format_plan(make_plan_with(dataset, min_motion=0.0, max_motion=10_000.0))
    assert len(text.splitlines()) < 70


def test_plan_that_keeps_nothing_has_size_0(dataset):
    text = format_plan(make_plan_with(dataset, min_motion=9_000.0, max_motion=9_001.0))
    assert "with 0 pairs" in text
    assert "Estimated size: 0 B in 0 shards." in text


def test_plan_of_a_data_set_without_measured_clips_is_one_line(tmp_path):
    (tmp_path / "page.gif").write_bytes(b"<html>")
    (tmp_path / "listing.tsv").write_text("page.gif\ta caption\n")
    options = RunOptions(listing=tmp_path / "listing.tsv", out=tmp_path / "out", workers=0)
    curate(options, CurationConfig(), Progress(quiet=True))
    text = format_plan(make_plan_with(tmp_path / "out"))
    assert (
        text == f"{tmp_path / 'out'}: no clip was measured, so there are no pairs to select from. Nothing was written."
    )


def test_damaged_or_missing_flow_table_raises(dataset, tmp_path):
    copied = shutil.copytree(dataset, tmp_path / "out")
    part = next((copied / "flow").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=rf"{part.name}: cannot be read as a part of the flow table"):
        make_plan_with(copied)
    shutil.rmtree(copied / "flow")
    with pytest.raises(DatasetError, match="the flow table that pairs were measured in is missing"):
        make_plan_with(copied)


def test_options_default_to_those_of_the_data_set(dataset):
    finished = read_finished(dataset)
    assert finished.config({}) == CurationConfig()
    assert finished.config({"seed": 3}).seed == 3
