"""Motion histograms by time gap, compared with a plain loop over all pairs."""

import bisect
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.config import CurationConfig
from curation.flow.measure import method_digest
from curation.flow.table import write_part
from curation.inspection.report.motion_stats import GAP_EDGES_MS, count_kept_pairs, count_measured_pairs
from curation.selection.pairs import SELECTION_SCHEMA, select_pairs
from shards.errors import DatasetError
from shards.schema import CLIPS, FLOW, FLOW_SCHEMA

NUM_PAIRS = 3000


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """A random flow table: gaps up to 20 s, motion up to 300 px, a tenth without motion."""
    rng = np.random.default_rng(0)
    columns = {
        "clip_key": pa.array([f"k{number % 7}" for number in range(NUM_PAIRS)]).dictionary_encode(),
        "source_index": np.arange(NUM_PAIRS), "target_index": np.arange(NUM_PAIRS) + 1,
        "gap_ms": np.concatenate([rng.integers(0, 20_000, NUM_PAIRS - 4), [0, 50, 9_999, 5_000]]),
        "motion_px": np.where(rng.random(NUM_PAIRS) < 0.1, 0, rng.lognormal(2, 1.2, NUM_PAIRS)),
        "tracked_fraction": np.ones(NUM_PAIRS), "across_cut": rng.random(NUM_PAIRS) < 0.2,
    }  # fmt: skip
    return pa.table(columns).cast(FLOW_SCHEMA)


@pytest.fixture(scope="module")
def parts(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The flow table in three parts, and an empty part."""
    folder, method = tmp_path_factory.mktemp("flow"), method_digest(CurationConfig())
    pieces = [rows.slice(0, 100), rows.slice(100, 1900), rows.slice(2000), rows.slice(0, 0)]
    return [write_part(folder, method, [], [piece]).path for piece in pieces]


def test_counts_match_a_plain_loop(rows: pa.Table, parts: list[Path]) -> None:
    counts = count_measured_pairs(parts)
    pairs = [(row["gap_ms"], row["motion_px"]) for row in rows.to_pylist()]
    assert counts.num_across_cut == sum(rows["across_cut"].to_pylist()) > 0
    histogram = [0] * 41
    grid = [[0] * 21 for _ in GAP_EDGES_MS[:-1]]
    for gap, motion in pairs:
        histogram[min(int(motion), 40)] += 1
        column = min(bisect.bisect_right(GAP_EDGES_MS, gap) - 1, len(GAP_EDGES_MS) - 2)
        grid[column][min(int(motion) // 2, 20)] += 1
    assert counts.motion_histogram == tuple(histogram)
    by_gap = counts.summarize()
    assert by_gap.grid.counts == tuple(map(tuple, grid))
    for column, quantiles in enumerate(by_gap.quantiles):
        low, high = GAP_EDGES_MS[column], [*GAP_EDGES_MS[:-1], np.inf][column + 1]
        motions = sorted(motion for gap, motion in pairs if low <= gap < high)
        expected = [motions[int(np.ceil(quantile * len(motions))) - 1] for quantile in (0.1, 0.5, 0.9)]
        assert quantiles is not None
        assert all(0 <= min(exact, 100) - value <= 0.25 for value, exact in zip(quantiles, expected, strict=True))


def test_kept_pairs_are_counted_the_same_way(rows: pa.Table) -> None:
    kept = rows.set_column(0, "clip_key", rows["clip_key"].cast(pa.string())).select(SELECTION_SCHEMA.names)
    halves = [kept.slice(0, 1234), kept.slice(1234)]
    assert count_kept_pairs(halves).summarize() == count_kept_pairs([kept]).summarize()
    assert count_kept_pairs(halves).num_across_cut == sum(rows["across_cut"].to_pylist())
    assert sum(count_kept_pairs([]).motion_histogram) == 0
    assert set(count_kept_pairs([]).summarize().quantiles) == {None}


def test_damaged_part_raises_with_its_name(parts: list[Path], tmp_path: Path) -> None:
    damaged = tmp_path / parts[0].name
    damaged.write_bytes(parts[0].read_bytes()[:-50])
    with pytest.raises(DatasetError, match=damaged.name):
        count_measured_pairs([damaged])


def test_kept_pairs_have_across_cut_of_the_flow_table(dataset: Path) -> None:
    parts = sorted((dataset / FLOW).glob("*.parquet"))
    clips = pq.read_table(dataset / CLIPS).to_pylist()
    splits = {clip["clip_key"]: clip["split"] for clip in clips if clip["num_pairs"]}
    for config in (CurationConfig(), CurationConfig(drop_cuts=True)):
        kept = pa.concat_tables(one.pairs for one in select_pairs(parts, splits, config).values())
        keys = ["clip_key", "source_index", "target_index"]
        table = pq.read_table(parts).select([*keys, "across_cut"])
        table = table.set_column(0, "clip_key", table["clip_key"].cast(pa.string()))
        kept = kept.set_column(0, "clip_key", kept["clip_key"].cast(pa.string()))
        joined = kept.join(table, keys=keys, right_suffix="_measured")
        assert joined["across_cut"].to_pylist() == joined["across_cut_measured"].to_pylist()
        assert kept.num_rows == joined.num_rows > 0
