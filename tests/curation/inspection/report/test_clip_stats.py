"""Statistics from clips.parquet: funnel, failures, duplicates, clip sizes."""

from typing import Any

import pyarrow as pa

from curation.inspection.report.clip_stats import (
    count_funnel,
    summarize_duplicates,
    summarize_failures,
    summarize_sizes,
)
from curation.selection.duplicates import Duplicate
from shards.schema import CLIPS_SCHEMA


def make_row(row: int, verdict: str, **fields: Any) -> dict[str, Any]:
    """Make a row of clips.parquet."""
    defaults = {"row": row, "uri": f"{row}.gif", "caption": "c", "clip_key": f"k{row}", "split": "train"}
    return {**defaults, "verdict": verdict, "num_pairs": 0, "num_in_range": 0, "num_kept": 0, **fields}


def make_measured(row: int, **fields: Any) -> dict[str, Any]:
    """Make the row of a measured clip; its verdict is `kept` by default."""
    sizes = {"num_frames": 4, "width": 120, "height": 60, "num_pairs": 6, "num_in_range": 5, "num_kept": 3}
    return make_row(row, **{"verdict": "kept", **sizes, **fields})


def make_duplicate(row: int, original: int, distance: float | None, **fields: Any) -> dict[str, Any]:
    """Make the row of a duplicate; `distance` is None for an exact one."""
    duplicate = Duplicate(clip_key=f"k{row}", original=f"k{original}", distance=distance)
    reason = {"detail": duplicate.describe("train", "val", original), "duplicate_kind": duplicate.kind}
    sizes = {"num_frames": 4, "width": 120, "height": 60, "num_pairs": 6}
    return make_row(row, "duplicate", duplicate_of=f"k{original}", **{**sizes, **reason, **fields})


def make_table(*rows: dict[str, Any]) -> pa.Table:
    """Make a table of CLIPS_SCHEMA."""
    return pa.Table.from_pylist(list(rows), schema=CLIPS_SCHEMA)


def test_funnel_counts_what_each_step_leaves() -> None:
    clips = make_table(
        make_measured(1), make_row(2, "merged", clip_key="k1"), make_row(3, "fetch_failed"), make_row(4, "not_a_gif"),
        make_duplicate(5, 1, None), make_measured(6, verdict="no_pair_in_range", num_in_range=0, num_kept=0),
        make_measured(7, verdict="no_pair_in_range", num_kept=0),
    )  # fmt: skip
    assert [number for _, number in count_funnel(clips)] == [7, 6, 5, 4, 3, 2, 1]


def test_failures_are_counted_by_reason_and_list_quarantined_clips_first() -> None:
    clips = make_table(
        make_measured(1), make_row(2, "merged"), make_row(3, "fetch_failed", detail="HTTP 404"),
        make_row(4, "crashed", detail="signal 11"), make_row(5, "fetch_failed", detail="HTTP 500"),
        make_row(6, "fetch_failed", detail="HTTP 404"), make_row(7, "crashed", detail="signal 9"),
    )  # fmt: skip
    fetch, crashed = summarize_failures(clips, ["k7", "k3-of-another-run"])
    assert (fetch.verdict, fetch.num_clips, fetch.num_reasons) == ("fetch_failed", 3, 2)
    assert fetch.reasons == (("HTTP 404", 2), ("HTTP 500", 1))
    assert [(clip.row, clip.uri, clip.reason, clip.is_quarantined) for clip in fetch.clips] == [
        (3, "3.gif", "HTTP 404", False), (5, "5.gif", "HTTP 500", False), (6, "6.gif", "HTTP 404", False),
    ]  # fmt: skip
    assert [(clip.clip_key, clip.is_quarantined) for clip in crashed.clips] == [("k7", True), ("k4", False)]


def test_many_reasons_that_differ_only_in_numbers_are_merged() -> None:
    details = [f"0 of {number:,} pairs have motion in [2, 20.5]" for number in range(990, 1020)] + [
        None,
        "an MP4 video",
    ]
    clips = make_table(*(make_row(row, "no_pair_in_range", detail=detail) for row, detail in enumerate(details, 1)))
    (failures,) = summarize_failures(clips, [])
    assert failures.reasons == (("# of # pairs have motion in [#, #]", 30), ("", 1), ("an MP4 video", 1))
    assert len(failures.clips) == 20
    many = make_table(*(make_row(row, "undecodable", detail=chr(64 + row) * 3) for row in range(1, 13)))
    (failures,) = summarize_failures(many, [])
    assert (len(failures.reasons), failures.num_reasons, failures.reasons[0]) == (8, 12, ("AAA", 1))


def test_duplicates_are_counted_by_kind_and_listed_by_original() -> None:
    near = make_duplicate(4, 1, 6.5)
    clips = make_table(
        make_measured(1, split="val"), make_duplicate(2, 1, None), make_duplicate(3, 1, None, split="val"), near,
        make_measured(5), make_duplicate(6, 5, None),
    )  # fmt: skip
    duplicates = summarize_duplicates(clips)
    assert (duplicates.num_exact, duplicates.num_exact_across, duplicates.num_near) == (3, 1, 1)
    assert duplicates.num_originals == 2
    first, second = duplicates.originals
    assert (first.row, first.uri, first.split, first.num_duplicates) == (1, "1.gif", "val", 3)
    assert [(clip.row, clip.split) for clip in first.duplicates] == [(2, "train"), (3, "val"), (4, "train")]
    assert first.duplicates[2].reason == near["detail"]
    assert [clip.row for clip in second.duplicates] == [6]
    assert summarize_duplicates(make_table(make_measured(1))).originals == ()


def test_clip_sizes_cover_measured_clips_only() -> None:
    clips = make_table(
        make_measured(1), make_measured(2, num_frames=12, num_kept=0, verdict="no_pair_in_range"),
        make_measured(3, num_frames=5000, width=3000),
        make_row(4, "too_large", width=9000, height=9000, num_frames=7), make_row(5, "merged"),
    )  # fmt: skip
    sizes = summarize_sizes(clips)
    assert sizes is not None
    assert sizes.frames.edges[:4] == (2, 5, 10, 15)
    assert (sizes.frames.before[:3], sizes.frames.before[-1], sum(sizes.frames.before)) == ((1, 0, 1), 1, 3)
    assert (sizes.frames.after[:3], sizes.frames.after[-1]) == ((1, 0, 0), 1)
    cells = {
        (sizes.dimensions.column_edges[x], sizes.dimensions.row_edges[y]): count
        for x, column in enumerate(sizes.dimensions.counts)
        for y, count in enumerate(column)
        if count
    }
    assert cells == {(100, 50): 2, (1000, 50): 1}
    assert dict(sizes.quantiles)["Frames"] == (4, 4, 12, 12, 5000)
    assert summarize_sizes(make_table(make_row(1, "still"))) is None
