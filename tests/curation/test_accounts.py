"""Every row of the listing gets one verdict, and the books close."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from curation.accounts import ClipResult, clips_table, count_verdicts, judge
from curation.catalog import Catalog, read_catalog
from curation.config import CurationConfig, RunOptions
from curation.flow_table import Measurement
from curation.probe import ProbedClip
from curation.selection import Selection
from shards.schema import CLIPS_SCHEMA, Verdict
from tests.strategies import selection_table

LISTING = "kept.gif\tone\ngone.gif\ttwo\nkept.gif\tthree\nslow.gif\tfour\nstill.gif\tfive\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Five rows, four clips."""
    (tmp_path / "listing.tsv").write_text(LISTING)
    options = RunOptions(listing=tmp_path / "listing.tsv", out=tmp_path / "out")
    return read_catalog(options, CurationConfig(val_fraction=0))


def account(catalog: Catalog, num_in_range: int = 0, **config: Any) -> dict[str, ClipResult]:
    """Judge the clips: one is kept, one was not fetched, one too slow, one still."""
    keys = {clip.uri.partition(".")[0]: key for key, clip in catalog.clips.items()}
    probed = {key: ProbedClip(clip_key=key, sha256="ab", width=9, height=8, num_frames=7) for key in catalog.clips}
    probed[keys["gone"]] = ProbedClip(clip_key=keys["gone"], verdict=Verdict.FETCH_FAILED, detail="HTTP 404")
    sound = Measurement(
        clip_key="", sha256="ab", verdict=None, detail=None, width=9, height=8, num_frames=6, num_pairs=15
    )
    measured = {
        keys["kept"]: dataclasses.replace(sound, clip_key=keys["kept"], detail="damaged after 6 sound frames"),
        keys["slow"]: dataclasses.replace(sound, clip_key=keys["slow"]),
        keys["still"]: dataclasses.replace(
            sound, clip_key=keys["still"], verdict=Verdict.STILL, detail="one frame", num_frames=1, num_pairs=0
        ),
    }
    pairs = selection_table([(keys["kept"], 0, k) for k in (1, 2, 3)])
    counts = {keys["kept"]: 5, keys["slow"]: num_in_range}
    selection = Selection(pairs=pairs, num_in_range=counts, in_range_histogram=(5,), kept_histogram=(3,))
    return judge(catalog, probed, measured, {"train": selection}, {}, CurationConfig(**config))


def test_every_row_has_one_verdict_in_the_listings_order(catalog: Catalog) -> None:
    table = clips_table(catalog, account(catalog))
    assert table.schema.equals(CLIPS_SCHEMA)
    assert table["row"].to_pylist() == [1, 2, 3, 4, 5]
    assert table["caption"].to_pylist() == ["one", "two", "three", "four", "five"]
    assert table["verdict"].to_pylist() == ["kept", "fetch_failed", "merged", "no_pair_in_range", "still"]
    assert table["detail"].to_pylist() == [
        "damaged after 6 sound frames",
        "HTTP 404",
        "the same clip as row 1",
        "0 of 15 pairs have motion in [2, 20]",
        "one frame",
    ]


def test_a_clips_own_row_holds_its_counts_and_a_merged_row_none(catalog: Catalog) -> None:
    rows = clips_table(catalog, account(catalog)).to_pylist()
    counts = ("num_frames", "num_pairs", "num_in_range", "num_kept", "sha256", "width")
    assert [tuple(row[name] for name in counts) for row in rows] == [
        (6, 15, 5, 3, "ab", 9),
        (None, 0, 0, 0, None, None),
        (None, 0, 0, 0, None, None),
        (6, 15, 0, 0, "ab", 9),
        (1, 0, 0, 0, "ab", 9),
    ]
    assert rows[0]["clip_key"] == rows[2]["clip_key"]


def test_verdicts_are_counted_all_of_them_and_sum_to_the_rows(catalog: Catalog) -> None:
    counts = count_verdicts(clips_table(catalog, account(catalog)))
    assert list(counts) == [verdict.value for verdict in Verdict]
    assert sum(counts.values()) == len(catalog.rows)
    assert {name: count for name, count in counts.items() if count} == {
        "kept": 1,
        "merged": 1,
        "fetch_failed": 1,
        "still": 1,
        "no_pair_in_range": 1,
    }


def test_too_few_pairs_in_range_are_told_with_how_many_were_wanted(catalog: Catalog) -> None:
    results = account(catalog, num_in_range=2, min_pairs=3, max_motion=9.5)
    (slow,) = [one for one in results.values() if one.verdict is Verdict.NO_PAIR_IN_RANGE]
    assert slow.detail == "2 of 15 pairs have motion in [2, 9.5], fewer than 3"
    assert slow.num_in_range == 2


def test_a_clip_that_nobody_looked_at_is_a_fault_of_ours(catalog: Catalog) -> None:
    with pytest.raises(KeyError):
        judge(catalog, {}, {}, {}, {}, CurationConfig())
