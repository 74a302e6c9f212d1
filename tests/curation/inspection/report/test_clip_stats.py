"""What is gathered of clips.parquet: steps, failures, duplicates, frames and sizes."""

from typing import Any

import pyarrow as pa

from curation.inspection.report.clip_stats import count_steps, gather_duplicates, gather_failures, gather_shapes
from curation.selection.duplicates import Duplicate
from shards.schema import CLIPS_SCHEMA


def clip(row: int, verdict: str, **fields: Any) -> dict[str, Any]:
    """Make a row of clips.parquet."""
    named = {"row": row, "uri": f"{row}.gif", "caption": "c", "clip_key": f"k{row}", "split": "train"}
    return {**named, "verdict": verdict, "num_pairs": 0, "num_in_range": 0, "num_kept": 0, **fields}


def kept(row: int, **fields: Any) -> dict[str, Any]:
    """Make the row of a clip that was measured and, unless told otherwise, kept."""
    measured = {
        "verdict": "kept",
        "num_frames": 4,
        "width": 120,
        "height": 60,
        "num_pairs": 6,
        "num_in_range": 5,
        "num_kept": 3,
    }
    return {**clip(row, ""), **measured, **fields}


def copy(row: int, original: int, distance: float | None, **fields: Any) -> dict[str, Any]:
    """Make the row of a clip that another one stands for."""
    found = Duplicate(clip_key=f"k{row}", original=f"k{original}", distance=distance)
    reason = {"detail": found.describe("train", "val", original), "duplicate_kind": found.kind}
    measured = {"num_frames": 4, "width": 120, "height": 60, "num_pairs": 6}
    return clip(row, "duplicate", duplicate_of=f"k{original}", **{**measured, **reason, **fields})


def table(*rows: dict[str, Any]) -> pa.Table:
    """Make clips.parquet of rows."""
    return pa.Table.from_pylist(list(rows), schema=CLIPS_SCHEMA)


def test_steps_count_what_is_left() -> None:
    clips = table(
        kept(1), clip(2, "merged", clip_key="k1"), clip(3, "fetch_failed"), clip(4, "not_a_gif"), copy(5, 1, None),
        kept(6, verdict="no_pair_in_range", num_in_range=0, num_kept=0),
        kept(7, verdict="no_pair_in_range", num_kept=0),
    )  # fmt: skip
    assert [number for _, number in count_steps(clips)] == [7, 6, 5, 4, 3, 2, 1]


def test_failures_are_counted_by_reason_and_those_that_can_be_replayed_come_first() -> None:
    clips = table(
        kept(1), clip(2, "merged"), clip(3, "fetch_failed", detail="HTTP 404"), clip(4, "crashed", detail="signal 11"),
        clip(5, "fetch_failed", detail="HTTP 500"), clip(6, "fetch_failed", detail="HTTP 404"),
        clip(7, "crashed", detail="signal 9"),
    )  # fmt: skip
    fetch, crashed = gather_failures(clips, ["k7", "k3-of-another-run"])
    assert (fetch.verdict, fetch.num_clips, fetch.num_reasons) == ("fetch_failed", 3, 2)
    assert fetch.reasons == (("HTTP 404", 2), ("HTTP 500", 1))
    assert [(one.row, one.uri, one.reason, one.has_incident) for one in fetch.clips] == [
        (3, "3.gif", "HTTP 404", False), (5, "5.gif", "HTTP 500", False), (6, "6.gif", "HTTP 404", False),
    ]  # fmt: skip
    assert [(one.clip_key, one.has_incident) for one in crashed.clips] == [("k7", True), ("k4", False)]


def test_reasons_that_differ_in_numbers_alone_are_one_where_there_are_many() -> None:
    details = [f"0 of {number:,} pairs have motion in [2, 20.5]" for number in range(990, 1020)] + [
        None,
        "an MP4 video",
    ]
    clips = table(*(clip(row, "no_pair_in_range", detail=detail) for row, detail in enumerate(details, 1)))
    (failed,) = gather_failures(clips, [])
    assert failed.reasons == (("# of # pairs have motion in [#, #]", 30), ("", 1), ("an MP4 video", 1))
    assert len(failed.clips) == 20
    many = table(*(clip(row, "undecodable", detail=chr(64 + row) * 3) for row in range(1, 13)))
    (failed,) = gather_failures(many, [])
    assert (len(failed.reasons), failed.num_reasons, failed.reasons[0]) == (8, 12, ("AAA", 1))


def test_duplicates_are_told_apart_and_gathered_by_who_stands_for_them() -> None:
    clips = table(
        kept(1, split="val"),
        copy(2, 1, None),
        copy(3, 1, None, split="val"),
        copy(4, 1, 6.5),
        kept(5),
        copy(6, 5, None),
    )
    found = gather_duplicates(clips)
    assert (found.num_exact, found.num_exact_across, found.num_near, found.num_originals) == (3, 1, 1, 2)
    first, second = found.originals
    assert (first.row, first.uri, first.split, first.num_copies) == (1, "1.gif", "val", 3)
    assert [(one.row, one.split) for one in first.copies] == [(2, "train"), (3, "val"), (4, "train")]
    reason = "nearly the same pictures as row 1, val: 6.5 of 64 bits differ, and this clip is in train"
    assert first.copies[2].how == reason
    assert [one.row for one in second.copies] == [6]
    assert gather_duplicates(table(kept(1))).originals == ()


def test_frames_and_sizes_are_those_of_measured_clips() -> None:
    clips = table(
        kept(1), kept(2, num_frames=12, num_kept=0, verdict="no_pair_in_range"), kept(3, num_frames=5000, width=3000),
        clip(4, "too_large", width=9000, height=9000, num_frames=7), clip(5, "merged"),
    )  # fmt: skip
    shapes = gather_shapes(clips)
    assert shapes is not None
    assert shapes.frames.edges[:4] == (2, 5, 10, 15)
    assert (shapes.frames.before[:3], shapes.frames.before[-1], sum(shapes.frames.before)) == ((1, 0, 1), 1, 3)
    assert (shapes.frames.after[:3], shapes.frames.after[-1]) == ((1, 0, 0), 1)
    places = {
        (shapes.sizes.column_edges[x], shapes.sizes.row_edges[y]): count
        for x, column in enumerate(shapes.sizes.counts)
        for y, count in enumerate(column)
        if count
    }
    assert places == {(100, 50): 2, (1000, 50): 1}
    assert dict(shapes.spread)["Frames"] == (4, 4, 12, 12, 5000)
    assert gather_shapes(table(clip(1, "still"))) is None
