"""clips.parquet -> funnel, failures, duplicates, and the sizes of the clips.

Works on whole columns. Only the rows that the report shows become Python objects.
"""

import collections
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.inspection.report.report_data import (
    ClipSizes,
    DuplicateClip,
    Duplicates,
    FailedClip,
    Failures,
    Grid,
    Histogram,
    OriginalClip,
)  # fmt: skip
from curation.inspection.web.short_text import shorten
from shards.schema import Verdict

_MAX_REASONS = 8
_MAX_FAILED_CLIPS = 20
_MAX_ORIGINALS = 30
_MAX_DUPLICATES_PER_ORIGINAL = 10
_FRAME_EDGES = (2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)
_SIDE_EDGES_PX = (0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 800, 1000, 2000)
_QUANTILES = (0, 0.05, 0.5, 0.95, 1)
_NOT_FAILURES = (Verdict.KEPT, Verdict.MERGED, Verdict.DUPLICATE)


def count_funnel(clips: pa.Table) -> tuple[tuple[str, int], ...]:
    """Return label and count of each step, from listing rows to clips with kept pairs."""
    # Masks instead of filtered tables: for a million clips, each table takes 100 MB.
    is_clip = _is_first_row(clips)
    is_fetched = pc.and_(is_clip, pc.not_equal(clips["verdict"], Verdict.FETCH_FAILED.value))
    is_measured = pc.and_(is_fetched, pc.greater(clips["num_pairs"], 0))
    is_original = pc.and_(is_measured, pc.not_equal(clips["verdict"], Verdict.DUPLICATE.value))
    return (
        ("Listing rows", clips.num_rows),
        ("Clips", _count(is_clip)),
        ("Fetched", _count(is_fetched)),
        ("Measured", _count(is_measured)),
        ("Not a duplicate", _count(is_original)),
        ("With a pair in range", _count(pc.and_(is_original, pc.greater(clips["num_in_range"], 0)))),
        ("With a kept pair", _count(pc.equal(clips["verdict"], Verdict.KEPT.value))),
    )


def summarize_failures(clips: pa.Table, quarantined: Iterable[str]) -> tuple[Failures, ...]:
    """Summarise failed clips by verdict and reason. `quarantined` are the keys of the clips in OUT/quarantine/."""
    quarantined = pa.array(sorted(quarantined), pa.string())
    summaries = []
    for verdict in Verdict:
        if verdict in _NOT_FAILURES:
            continue
        failed = clips.filter(pc.equal(clips["verdict"], verdict.value))
        if not failed.num_rows:
            continue
        is_quarantined = pc.is_in(failed["clip_key"], value_set=quarantined)
        failed = failed.append_column("is_quarantined", is_quarantined)
        first = failed.sort_by([("is_quarantined", "descending"), ("row", "ascending")]).slice(0, _MAX_FAILED_CLIPS)
        reasons = _count_reasons(failed["detail"])
        summaries.append(
            Failures(
                verdict=verdict.value,
                num_clips=failed.num_rows,
                reasons=tuple(reasons[:_MAX_REASONS]),
                num_reasons=len(reasons),
                clips=tuple(
                    FailedClip(
                        row=row["row"],
                        uri=shorten(row["uri"]),
                        reason=shorten(row["detail"] or ""),
                        clip_key=row["clip_key"],
                        is_quarantined=row["is_quarantined"],
                    )
                    for row in first.to_pylist()
                ),
            )
        )  # fmt: skip
    return tuple(summaries)


def _count_reasons(details: pa.ChunkedArray) -> list[tuple[str, int]]:
    """Count reasons, most frequent first. If there are many, merges those that differ only in numbers."""
    details = pc.fill_null(details, "")
    counts = details.value_counts()
    if len(counts) > _MAX_REASONS:
        counts = pc.replace_substring_regex(details, r"\b\d+([,.]\d+)*\b", "#").value_counts()
    reasons = [(entry["values"], entry["counts"]) for entry in counts.to_pylist()]
    return sorted(reasons, key=lambda reason: (-reason[1], reason[0]))


def summarize_duplicates(clips: pa.Table) -> Duplicates:
    """Count duplicates, and list the clips that have the most."""
    columns = ["row", "uri", "clip_key", "split", "detail", "duplicate_of", "duplicate_kind"]
    duplicates = clips.select(columns).filter(pc.equal(clips["verdict"], Verdict.DUPLICATE.value))
    is_original = pc.and_(
        _is_first_row(clips), pc.is_in(clips["clip_key"], value_set=pc.unique(duplicates["duplicate_of"]))
    )
    originals = {row["clip_key"]: row for row in clips.select(columns).filter(is_original).to_pylist()}
    kinds, splits, keys = (duplicates[name].to_pylist() for name in ("duplicate_kind", "split", "duplicate_of"))
    num_by_kind, num_by_original = collections.Counter(kinds), collections.Counter(keys)
    listed = sorted(num_by_original, key=lambda key: (-num_by_original[key], originals[key]["row"]))[:_MAX_ORIGINALS]
    return Duplicates(
        num_exact=num_by_kind["exact"],
        num_exact_across=sum(
            kind == "exact" and split != originals[key]["split"]
            for kind, split, key in zip(kinds, splits, keys, strict=True)
        ),
        num_near=num_by_kind["near"],
        num_originals=len(num_by_original),
        originals=tuple(
            OriginalClip(
                row=originals[key]["row"], uri=shorten(originals[key]["uri"]), split=originals[key]["split"],
                num_duplicates=num_by_original[key], duplicates=_list_duplicates(duplicates, key),
            )
            for key in listed
        ),
    )  # fmt: skip


def _list_duplicates(duplicates: pa.Table, original_key: str) -> tuple[DuplicateClip, ...]:
    rows = duplicates.filter(pc.equal(duplicates["duplicate_of"], original_key)).slice(0, _MAX_DUPLICATES_PER_ORIGINAL)
    return tuple(
        DuplicateClip(row=row["row"], uri=shorten(row["uri"]), split=row["split"], reason=row["detail"])
        for row in rows.to_pylist()
    )


def summarize_sizes(clips: pa.Table) -> ClipSizes | None:
    """Count measured clips by frames and dimensions. Returns None if no clip was measured."""
    is_measured = pc.and_(_is_first_row(clips), pc.greater(clips["num_pairs"], 0))
    columns = ("num_frames", "width", "height", "num_pairs", "num_kept")
    measured = clips.select(columns).filter(is_measured)
    if not measured.num_rows:
        return None
    num_frames, widths, heights, num_pairs, num_kept = (measured[name].to_numpy() for name in columns)
    num_bins = len(_SIDE_EDGES_PX) - 1
    cells = _find_bins(_SIDE_EDGES_PX, widths) * num_bins + _find_bins(_SIDE_EDGES_PX, heights)
    counts = np.bincount(cells, minlength=num_bins**2).reshape(num_bins, num_bins)
    return ClipSizes(
        frames=Histogram(
            edges=_FRAME_EDGES, before=_count_by_frames(num_frames), after=_count_by_frames(num_frames[num_kept > 0]),
            open_end=True,
        ),
        dimensions=Grid(
            column_edges=_SIDE_EDGES_PX, row_edges=_SIDE_EDGES_PX, counts=tuple(map(tuple, counts.tolist()))
        ),
        quantiles=tuple(
            (label, tuple(np.quantile(values, _QUANTILES, method="lower").tolist()))
            for label, values in (
                ("Frames", num_frames), ("Width, px", widths), ("Height, px", heights), ("Measured pairs", num_pairs),
                ("Kept pairs", num_kept),
            )
        ),
    )  # fmt: skip


def _count_by_frames(num_frames: NDArray[Any]) -> tuple[int, ...]:
    return tuple(np.bincount(_find_bins(_FRAME_EDGES, num_frames), minlength=len(_FRAME_EDGES) - 1).tolist())


def _find_bins(edges: tuple[int, ...], values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the bin of each value. Values outside the edges go to the first or last bin."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _is_first_row(clips: pa.Table) -> pa.ChunkedArray:
    """Return a mask of the first row of each clip."""
    return pc.not_equal(clips["verdict"], Verdict.MERGED.value)


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
