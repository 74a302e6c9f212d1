"""What each stage found -> one verdict for every row of the listing; the books must close."""

import collections
import dataclasses

import pyarrow as pa

from curation.catalog import Catalog
from curation.config import CurationConfig
from curation.copies import Copy
from curation.duplicates import describe_copy
from curation.flow_table import Measurement
from curation.probe import ProbedClip
from curation.selection import Selection
from shards.schema import CLIPS_SCHEMA, Verdict


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipResult:
    """What became of one clip."""

    verdict: Verdict
    detail: str | None
    sha256: str | None
    width: int | None
    height: int | None
    num_frames: int | None
    num_pairs: int
    num_in_range: int
    num_kept: int
    duplicate_of: str | None = None
    """Key of the clip that stands for it."""


def judge(
    catalog: Catalog,
    probed: dict[str, ProbedClip],
    measured: dict[str, Measurement],
    selections: dict[str, Selection],
    copies: dict[str, Copy],
    config: CurationConfig,
) -> dict[str, ClipResult]:
    """Give every clip its verdict."""
    num_in_range = {key: n for selection in selections.values() for key, n in selection.num_in_range.items()}
    num_kept: collections.Counter[str] = collections.Counter()
    for selection in selections.values():
        num_kept.update(selection.pairs["clip_key"].to_pylist())
    results = {
        key: _judge_clip(probed[key], measured.get(key), num_in_range.get(key, 0), num_kept[key], config)
        for key in catalog.clips
    }
    for key, copy in copies.items():
        clip, original = catalog.clips[key], catalog.clips[copy.original]
        results[key] = dataclasses.replace(
            results[key],
            verdict=Verdict.DUPLICATE,
            detail=describe_copy(copy, clip.split, original.split, original.row),
            duplicate_of=original.key,
        )
    return results


def _judge_clip(
    look: ProbedClip, one: Measurement | None, num_in_range: int, num_kept: int, config: CurationConfig
) -> ClipResult:
    verdict, detail = (one.verdict, one.detail) if one else (look.verdict, look.detail)
    num_pairs = one.num_pairs if one else 0
    if verdict is None and num_kept:
        verdict = Verdict.KEPT
    elif verdict is None:
        verdict = Verdict.NO_PAIR_IN_RANGE
        motion = f"[{config.min_motion:g}, {config.max_motion:g}]"
        reason = f"{num_in_range} of {num_pairs} pairs have motion in {motion}"
        reason += f", fewer than {config.min_pairs}" if num_in_range else ""
        detail = f"{reason}; {detail}" if detail else reason
    return ClipResult(
        verdict=verdict,
        detail=detail,
        sha256=look.sha256,
        width=look.width,
        height=look.height,
        num_frames=one.num_frames if one else look.num_frames,
        num_pairs=num_pairs,
        num_in_range=num_in_range,
        num_kept=num_kept,
    )


def clips_table(catalog: Catalog, results: dict[str, ClipResult]) -> pa.Table:
    """One row for every row of the listing, CLIPS_SCHEMA; further rows of a clip are merged into its first."""
    rows = []
    for number, row in enumerate(catalog.rows, 1):
        clip = catalog.clips[row.clip_key]
        listed = {
            "row": number,
            "uri": row.uri,
            "caption": row.caption,
            "clip_key": clip.key,
            "split": clip.split,
        }
        if clip.row == number:
            rows.append({**listed, **dataclasses.asdict(results[clip.key])})
        else:
            merged = {"verdict": Verdict.MERGED, "detail": f"the same clip as row {clip.row}"}
            rows.append({**listed, **merged, "num_pairs": 0, "num_in_range": 0, "num_kept": 0})
    return pa.Table.from_pylist(rows, schema=CLIPS_SCHEMA)


def count_verdicts(clips: pa.Table) -> dict[str, int]:
    """Rows by verdict, all verdicts, in the contract's order."""
    counts = collections.Counter(clips["verdict"].to_pylist())
    return {verdict.value: counts[verdict.value] for verdict in Verdict}
