"""Every row of the listing gets exactly one verdict."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.decode.probe_results import ProbeResults
from curation.export.clip_verdicts import ClipVerdicts, assign_verdicts, make_clip_rows
from curation.flow.measure_results import MeasureResults
from curation.flow.table import Measurement
from curation.listing.catalog import Catalog, read_catalog
from curation.options import RunOptions
from curation.selection.duplicates import Duplicate
from curation.selection.pairs import Selection
from shards.schema import CLIPS_SCHEMA, Verdict
from tests.strategies import selection_table

SHA256 = "ab" * 32
LISTING = "kept.gif\tone\ngone.gif\ttwo\nkept.gif\tthree\nslow.gif\tfour\nstill.gif\tfive\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Five rows, four clips."""
    options = RunOptions(listing=tmp_path / "listing.tsv", out=tmp_path / "out")
    return read_catalog(LISTING.encode(), options, CurationConfig(val_fraction=0))


def assign(
    catalog: Catalog, num_in_range: int = 0, duplicates: Mapping[str, Duplicate] | None = None, **config: Any
) -> ClipVerdicts:
    """Assign verdicts: one clip is kept, one was not fetched, one is too slow, one is still."""
    keys = {clip.uri.partition(".")[0]: key for key, clip in catalog.clips.items()}
    probed = ProbeResults(catalog.clips)
    for key in catalog.clips:
        probed.record(ProbedClip(clip_key=key, sha256=SHA256, width=9, height=8, num_frames=7))
    probed.record(ProbedClip(clip_key=keys["gone"], verdict=Verdict.FETCH_FAILED, detail="HTTP 404"))
    sound = Measurement(
        clip_key="", sha256=SHA256, verdict=None, detail=None, width=9, height=8, num_frames=6, num_pairs=15
    )
    measured = MeasureResults(
        catalog.clips,
        [
            dataclasses.replace(sound, clip_key=keys["kept"], detail="damaged after 6 sound frames"),
            dataclasses.replace(sound, clip_key=keys["slow"]),
            dataclasses.replace(
                sound, clip_key=keys["still"], verdict=Verdict.STILL, detail="one frame", num_frames=1, num_pairs=0
            ),
        ],
    )
    selection = Selection(
        clip_keys=(keys["kept"], keys["slow"]),
        num_in_range=np.array([5, num_in_range]),
        num_kept=np.array([3, 0]),
        pairs=selection_table([(keys["kept"], 0, k) for k in (1, 2, 3)]),
        in_range_histogram=(5,),
        kept_histogram=(3,),
    )
    return assign_verdicts(catalog, probed, measured, {"train": selection}, duplicates or {}, CurationConfig(**config))


def rows_of(verdicts: ClipVerdicts) -> list[dict[str, Any]]:
    """Return the rows of clips.parquet."""
    return pa.Table.from_batches(make_clip_rows(verdicts), CLIPS_SCHEMA).to_pylist()


def test_every_row_has_one_verdict_in_the_order_of_the_listing(catalog: Catalog) -> None:
    table = pa.Table.from_batches(make_clip_rows(assign(catalog)))
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


def test_only_the_first_row_of_a_clip_has_its_counts(catalog: Catalog) -> None:
    rows = rows_of(assign(catalog))
    counts = ("num_frames", "num_pairs", "num_in_range", "num_kept", "sha256", "width")
    assert [tuple(row[name] for name in counts) for row in rows] == [
        (6, 15, 5, 3, SHA256, 9),
        (None, 0, 0, 0, None, None),
        (None, 0, 0, 0, None, None),
        (6, 15, 0, 0, SHA256, 9),
        (1, 0, 0, 0, SHA256, 9),
    ]
    assert rows[0]["clip_key"] == rows[2]["clip_key"]


def test_batches_continue_the_row_numbers(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows_of(assign(catalog))
    # A real batch has 16,384 rows.
    monkeypatch.setattr("curation.export.clip_verdicts._ROWS_PER_BATCH", 2)
    assert len(list(make_clip_rows(assign(catalog)))) == 3
    assert rows_of(assign(catalog)) == whole


@pytest.mark.parametrize(
    ("distance", "kind", "detail"),
    [
        (None, "exact", "the same pictures as row 1, train"),
        (0.0, "near", "nearly the same pictures as row 1, train: 0 of 64 bits differ, and this clip is in train"),
    ],
)
def test_a_duplicate_names_its_original_and_its_kind(
    catalog: Catalog, distance: float | None, kind: str, detail: str
) -> None:
    kept, slow = (key for key in catalog.clips if key.startswith(("kept", "slow")))
    duplicate = Duplicate(clip_key=slow, original=kept, distance=distance)
    row = rows_of(assign(catalog, duplicates={slow: duplicate}))[3]
    assert (row["verdict"], row["duplicate_of"], row["duplicate_kind"]) == ("duplicate", kept, kind)
    assert (row["detail"], row["num_pairs"]) == (detail, 15)


def test_detail_says_how_many_pairs_in_range_were_needed(catalog: Catalog) -> None:
    rows = rows_of(assign(catalog, num_in_range=2, min_pairs=3, max_motion=9.5))
    (slow,) = [row for row in rows if row["verdict"] == Verdict.NO_PAIR_IN_RANGE]
    assert slow["detail"] == "2 of 15 pairs have motion in [2, 9.5], fewer than 3"
    assert slow["num_in_range"] == 2


def test_a_clip_that_was_not_probed_raises(catalog: Catalog) -> None:
    with pytest.raises(RuntimeError, match=r"kept-.* was not probed"):
        assign_verdicts(catalog, ProbeResults(catalog.clips), MeasureResults(catalog.clips), {}, {}, CurationConfig())
