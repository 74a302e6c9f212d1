"""What is announced is what is made, and nothing is written."""

import shutil

import pytest

from curation.config import CurationConfig
from curation.export.dataset import catalog_of, find_sources, read_finished
from curation.inspection.plan import Plan, make_plan
from curation.inspection.plan_text import format_plan
from curation.options import RunOptions
from curation.resplit import resplit
from curation.run.progress import Progress
from shards.errors import DatasetError
from shards.manifest import read_manifest


def plan_of(dataset, workers=2, **given) -> Plan:
    present = read_finished(dataset)
    config = present.config(given)
    options = RunOptions(**find_sources(present, None), out=dataset)
    return make_plan(present, catalog_of(present, options, config), config, workers)


@pytest.mark.parametrize("given", [{}, {"min_motion": 5.0, "max_motion": 9.5, "pairs_per_gif": 4, "min_pairs": 30}])
def test_what_is_announced_is_what_is_made(dataset, tmp_path, given):
    plan = plan_of(dataset, samples_per_shard=25, **given)
    present = read_finished(dataset)
    options = RunOptions(**find_sources(present, None), out=tmp_path / "out", flow=dataset / "flow", workers=0)
    resplit(present, options, present.config({**given, "samples_per_shard": 25}), Progress(quiet=True))
    made = read_manifest(tmp_path / "out").splits
    for split, quotas in plan.splits.items():
        assert quotas.kept_histogram == made[split].motion_histogram.counts
        assert len(quotas.kept_clips) == made[split].num_clips
        assert plan.num_shards(split) == len(made[split].shards)
    num_bytes = sum(shard.num_bytes for entry in made.values() for shard in entry.shards)
    assert plan.num_bytes == pytest.approx(num_bytes, rel=0.25)


def test_what_would_be_lost_is_counted_against_what_is_there(dataset):
    assert plan_of(dataset).loss.num_clips == plan_of(dataset).loss.num_samples == 0
    plan = plan_of(dataset, min_motion=11.0)
    kept = read_manifest(dataset).splits.values()
    slow = sum(sum(entry.motion_histogram.counts[: 11 - 2]) for entry in kept)
    assert plan.loss.num_samples == slow > 0
    assert plan_of(dataset, min_motion=100.0, max_motion=200.0).loss.num_clips == 12


def test_the_text_tells_the_funnel_and_that_nothing_was_written(dataset):
    before = sorted((path, path.stat().st_mtime_ns) for path in dataset.rglob("*"))
    text = format_plan(plan_of(dataset, min_motion=3.0, max_motion=15.0))
    assert sorted((path, path.stat().st_mtime_ns) for path in dataset.rglob("*")) == before
    for words in (
        "rows",
        "1,920 pairs",
        "train",
        "val",
        "3 to 4",
        "14 to 15",
        "of flat as kept",
        "Nothing was written",
    ):
        assert words in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_many_bins_share_lines_and_empty_ones_at_the_end_are_left_out(dataset):
    text = format_plan(plan_of(dataset, min_motion=0.0, max_motion=10_000.0))
    assert len(text.splitlines()) < 70


def test_a_plan_of_nothing_says_so(dataset):
    text = format_plan(plan_of(dataset, min_motion=9_000.0, max_motion=9_001.0))
    assert "with 0 pairs" in text
    assert "not known" in text


def test_a_damaged_table_gets_a_sentence(dataset, tmp_path):
    copied = shutil.copytree(dataset, tmp_path / "out")
    part = next((copied / "flow").glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=rf"{part.name}: cannot be read as a part of the flow table"):
        plan_of(copied)
    shutil.rmtree(copied / "flow")
    with pytest.raises(DatasetError, match="no part of a flow table"):
        plan_of(copied)


def test_options_that_are_not_named_are_those_of_the_data_set(dataset):
    present = read_finished(dataset)
    assert present.config({}) == CurationConfig()
    assert present.config({"seed": 3}).seed == 3
