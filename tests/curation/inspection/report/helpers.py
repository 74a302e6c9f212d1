"""Hand-made reports for tests of the page: a small one, an empty one, and text that tries to break out of HTML."""

import dataclasses
import io

import numpy as np
from PIL import Image

from curation.inspection.report.report_data import (
    ClipSizes,
    DuplicateClip,
    Duplicates,
    FailedClip,
    Failures,
    Grid,
    Histogram,
    MotionByGap,
    OriginalClip,
    Report,
    SamplePair,
    SplitSummary,
)
from curation.run.progress import StageTime

HOSTILE = """<script>alert(1)</script> </script><!-- "x" onerror='y' & </title></svg> \N{SLICE OF PIZZA}"""
GRID = Grid(column_edges=(0, 100, 200), row_edges=(0, 2, 4), counts=((30, 10), (0, 20)))
BY_GAP = MotionByGap(grid=GRID, quantiles=((0.5, 1.25, 3.0), None))
NO_PAIRS_BY_GAP = MotionByGap(grid=Grid(column_edges=(0, 100), row_edges=(0, 2), counts=((0,),)), quantiles=(None,))
NO_DUPLICATES = Duplicates(num_exact=0, num_exact_across=0, num_near=0, num_originals=0, originals=())


def encode_gray_jpeg(value: int) -> bytes:
    """Encode a square of one gray level as JPEG."""
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def make_pair(number: int = 0, **changes: object) -> SamplePair:
    """Make a sample pair, with some fields changed."""
    pair = SamplePair(
        key=f"a_{number:04d}_0003", caption="a ball rolls", split="train", shard="00000.tar", source_index=number,
        target_index=number + 3, motion_px=3.456, gap_ms=1240, source=encode_gray_jpeg(40),
        target=encode_gray_jpeg(90),
    )  # fmt: skip
    return dataclasses.replace(pair, **changes)


def make_report() -> Report:
    """Make a report with failures, duplicates, one split of three motion bins, and two sample pairs."""
    split = SplitSummary(
        name="train", num_clips=67, num_samples=650, num_shards=2, num_bytes=34_512_896,
        motion=Histogram(edges=(2, 3, 4, 5), before=(9000, 3000, 1000), after=(210, 220, 220)),
    )  # fmt: skip
    clip_sizes = ClipSizes(
        frames=Histogram(edges=(2, 5, 10, 20), before=(10, 50, 8), after=(9, 50, 8), open_end=True),
        dimensions=GRID, quantiles=(("Frames", (2, 3, 16, 55, 1204)),),
    )  # fmt: skip
    crashed = FailedClip(row=7, uri="bad.gif", reason="killed by signal 11", clip_key="bad-0123", is_quarantined=True)
    not_fetched = FailedClip(
        row=3, uri="https://example.org/a.gif?b=1&c=2", reason="HTTP 404", clip_key="a-4567", is_quarantined=False
    )
    duplicates = (
        DuplicateClip(row=9, uri="c.gif", split="val", reason="nearly the pictures of row 2"),
        DuplicateClip(row=10, uri="d.gif", split="train", reason="the same pictures as row 2, train"),
    )
    return Report(
        title="tgif-small", listing="file:///data/tgif.tsv", dataset_argument=".",
        funnel=(("Listing rows", 1201), ("Clips", 1191), ("With a kept pair", 67)),
        verdicts={"kept": 67, "merged": 10, "fetch_failed": 1123, "crashed": 1},
        failures=(
            Failures(verdict="fetch_failed", num_clips=1123, reasons=(("HTTP 404", 1000), ("HTTP #", 23)),
                     num_reasons=12, clips=(not_fetched,)),
            Failures(verdict="crashed", num_clips=1, reasons=((crashed.reason, 1),), num_reasons=1, clips=(crashed,)),
        ),
        duplicates=Duplicates(
            num_exact=11, num_exact_across=1, num_near=1, num_originals=40,
            originals=(OriginalClip(row=2, uri="b.gif", split="train", num_duplicates=12, duplicates=duplicates),),
        ),
        clip_sizes=clip_sizes, num_pairs_measured=60_654, num_pairs_in_range=13_000, num_pairs_kept=650,
        num_measured_across_cut=606, num_kept_across_cut=13, motion_range_px=(2.0, 5.0),
        motion_histogram=(40_000, 2_000, 9000, 3000, 1000, 654, 5_000), measured_by_gap=BY_GAP, kept_by_gap=BY_GAP,
        flatness=0.9934, splits=(split,), pairs=(make_pair(), make_pair(1, caption=HOSTILE)),
        stages=(
            StageTime(name="fetch", seconds=12.3),
            StageTime(name="measure", seconds=200.0, num_done=60_654, unit="pairs"),
            StageTime(name="export", seconds=20.0, num_done=650, unit="samples"),
        ),
        config={"seed": 0, "max_bytes": None}, software={"numpy": "2.1.0"},
    )  # fmt: skip


def make_empty_report() -> Report:
    """Make the report of a listing without rows."""
    return Report(
        title="nothing", listing="empty.tsv", dataset_argument=".", funnel=(("Listing rows", 0), ("Clips", 0)),
        verdicts={}, failures=(), duplicates=NO_DUPLICATES, clip_sizes=None, num_pairs_measured=0,
        num_pairs_in_range=0, num_pairs_kept=0, num_measured_across_cut=0, num_kept_across_cut=0,
        motion_range_px=(2.0, 20.0), motion_histogram=(), measured_by_gap=NO_PAIRS_BY_GAP,
        kept_by_gap=NO_PAIRS_BY_GAP, flatness=None, splits=(), pairs=(), stages=(), config={}, software={},
    )  # fmt: skip
