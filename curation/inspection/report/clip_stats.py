"""clips.parquet -> what failed and why, what stands there twice, how long and how large the GIFs are.

Whole columns are counted; rows become objects only where they are shown.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.inspection.report.report_data import (
    ClipCopy,
    ClipShapes,
    CopiedClip,
    Duplicates,
    FailedClip,
    Failures,
    Grid,
    Histogram,
)  # fmt: skip
from shards.schema import Verdict

_SHOWN_REASONS = 8
_SHOWN_CLIPS = 20
_SHOWN_ORIGINALS = 30
_SHOWN_COPIES = 10
_FRAME_EDGES = (2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000)
_SIDE_EDGES_PX = (0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 800, 1000, 2000)
_SHOWN_SHARES = (0, 0.05, 0.5, 0.95, 1)
_NO_FAILURE = (Verdict.KEPT, Verdict.MERGED, Verdict.DUPLICATE)


def count_steps(clips: pa.Table) -> tuple[tuple[str, int], ...]:
    """Count what is left after each step from rows to clips with kept pairs."""
    # Masks, not tables: of a million clips, each table of those that are left takes a hundred megabytes.
    own = _is_first(clips)
    here = pc.and_(own, pc.not_equal(clips["verdict"], Verdict.FETCH_FAILED.value))
    measured = pc.and_(here, pc.greater(clips["num_pairs"], 0))
    originals = pc.and_(measured, pc.not_equal(clips["verdict"], Verdict.DUPLICATE.value))
    return (
        ("Rows of the listing", clips.num_rows),
        ("Clips", _count(own)),
        ("Bytes at hand", _count(here)),
        ("Measured", _count(measured)),
        ("No copy of another", _count(originals)),
        ("With a pair in range", _count(pc.and_(originals, pc.greater(clips["num_in_range"], 0)))),
        ("With a kept pair", _count(pc.equal(clips["verdict"], Verdict.KEPT.value))),
    )


def gather_failures(clips: pa.Table, incidents: Iterable[str]) -> tuple[Failures, ...]:
    """Gather what failed and why, by verdict; `incidents` are the keys of the clips that can be replayed."""
    replayable = pa.array(sorted(incidents), pa.string())
    gathered = []
    for verdict in Verdict:
        if verdict in _NO_FAILURE:
            continue
        failed = clips.filter(pc.equal(clips["verdict"], verdict.value))
        if not failed.num_rows:
            continue
        has_incident = pc.is_in(failed["clip_key"], value_set=replayable)
        failed = failed.append_column("has_incident", has_incident)
        first = failed.sort_by([("has_incident", "descending"), ("row", "ascending")]).slice(0, _SHOWN_CLIPS)
        reasons = _count_reasons(failed["detail"])
        gathered.append(
            Failures(
                verdict=verdict.value,
                num_clips=failed.num_rows,
                reasons=tuple(reasons[:_SHOWN_REASONS]),
                num_reasons=len(reasons),
                clips=tuple(
                    FailedClip(
                        row=row["row"], uri=row["uri"], reason=row["detail"] or "", clip_key=row["clip_key"],
                        has_incident=row["has_incident"],
                    )
                    for row in first.to_pylist()
                ),
            )
        )  # fmt: skip
    return tuple(gathered)


def _count_reasons(details: pa.ChunkedArray) -> list[tuple[str, int]]:
    """Count reasons, the most frequent first; where there are many, those that differ in numbers alone are one."""
    details = pc.fill_null(details, "")
    counts = details.value_counts()
    if len(counts) > _SHOWN_REASONS:
        counts = pc.replace_substring_regex(details, r"\b\d+([,.]\d+)*\b", "#").value_counts()
    found = [(one["values"], one["counts"]) for one in counts.to_pylist()]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def gather_duplicates(clips: pa.Table) -> Duplicates:
    """Gather who stands for whom."""
    columns = ["row", "uri", "clip_key", "split", "detail", "duplicate_of", "duplicate_kind"]
    copies = clips.select(columns).filter(pc.equal(clips["verdict"], Verdict.DUPLICATE.value))
    keys = pc.unique(copies["duplicate_of"])
    is_original = pc.and_(_is_first(clips), pc.is_in(clips["clip_key"], value_set=keys))
    originals = {row["clip_key"]: row for row in clips.select(columns).filter(is_original).to_pylist()}
    near = np.array([kind == "near" for kind in copies["duplicate_kind"].to_pylist()], dtype=bool)
    splits = [originals[key]["split"] for key in copies["duplicate_of"].to_pylist()]
    across = np.array(
        [one != other for one, other in zip(copies["split"].to_pylist(), splits, strict=True)], dtype=bool
    )
    counted = {one["values"]: one["counts"] for one in copies["duplicate_of"].value_counts().to_pylist()}
    shown = sorted(counted, key=lambda key: (-counted[key], originals[key]["row"]))[:_SHOWN_ORIGINALS]
    return Duplicates(
        num_exact=int((~near).sum()),
        num_exact_across=int((across & ~near).sum()),
        num_near=int(near.sum()),
        num_originals=len(counted),
        originals=tuple(
            CopiedClip(
                row=originals[key]["row"], uri=originals[key]["uri"], split=originals[key]["split"],
                num_copies=counted[key], copies=tuple(_first_copies(copies, key)),
            )
            for key in shown
        ),
    )  # fmt: skip


def _first_copies(copies: pa.Table, original: str) -> Iterator[ClipCopy]:
    for row in copies.filter(pc.equal(copies["duplicate_of"], original)).slice(0, _SHOWN_COPIES).to_pylist():
        yield ClipCopy(row=row["row"], uri=row["uri"], split=row["split"], how=row["detail"])


def gather_shapes(clips: pa.Table) -> ClipShapes | None:
    """Count frames and sizes of the clips that were measured; None where there is none."""
    is_measured = pc.and_(_is_first(clips), pc.greater(clips["num_pairs"], 0))
    columns = ("num_frames", "width", "height", "num_pairs", "num_kept")
    measured = clips.select(columns).filter(is_measured)
    if not measured.num_rows:
        return None
    frames, widths, heights, num_pairs, num_kept = (measured[name].to_numpy() for name in columns)
    across, down = _bins_of(_SIDE_EDGES_PX, widths), _bins_of(_SIDE_EDGES_PX, heights)
    num_sides = len(_SIDE_EDGES_PX) - 1
    sizes = np.bincount(across * num_sides + down, minlength=num_sides**2).reshape(num_sides, num_sides)
    before, after = _count_frames(frames), _count_frames(frames[num_kept > 0])
    return ClipShapes(
        frames=Histogram(edges=_FRAME_EDGES, before=before, after=after, open_end=True),
        sizes=Grid(column_edges=_SIDE_EDGES_PX, row_edges=_SIDE_EDGES_PX, counts=tuple(map(tuple, sizes.tolist()))),
        spread=tuple(
            (name, tuple(np.quantile(values, _SHOWN_SHARES, method="lower").tolist()))
            for name, values in (
                ("Frames", frames), ("Width, px", widths), ("Height, px", heights), ("Pairs measured", num_pairs),
                ("Pairs kept", num_kept),
            )
        ),
    )  # fmt: skip


def _count_frames(num_frames: NDArray[Any]) -> tuple[int, ...]:
    return tuple(np.bincount(_bins_of(_FRAME_EDGES, num_frames), minlength=len(_FRAME_EDGES) - 1).tolist())


def _bins_of(edges: tuple[int, ...], values: NDArray[Any]) -> NDArray[np.int64]:
    """Tell the bin of each value; those beyond the ends are in the first and the last."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)


def _is_first(clips: pa.Table) -> pa.ChunkedArray:
    """Tell the first row of each clip from further ones."""
    return pc.not_equal(clips["verdict"], Verdict.MERGED.value)


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
