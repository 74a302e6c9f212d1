"""A finished data set -> what in it stands twice, and whether anything leaks from one split into another.

What a run leaves out as a copy is held against its fingerprints again, and so is what it kept, with a threshold of the
auditor's own choosing. Nothing is decoded: the fingerprints stand beside the flow table, the kept pairs in the shards.
"""

import collections
import dataclasses
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from curation.decode.fingerprint import unpack_signature
from curation.errors import CurationError
from curation.flow.table import Measurement, read_measurements
from curation.selection.near_duplicates import find_near_duplicates
from curation.selection.signatures import Signatures
from shards.location import Location, for_arrow, list_files
from shards.schema import CLIPS, FLOW, Verdict

_LEAST_PAIRS = 3
_SHOWN = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twins:
    """Two clips that show the same, or nearly."""

    keys: tuple[str, str]
    splits: tuple[str, str]
    distance: float | None
    """Bits of 64 between their frames; None where the frames are the same."""

    @property
    def is_leak(self) -> bool:
        """Whether they stand in two splits."""
        return self.splits[0] != self.splits[1]

    def __str__(self) -> str:
        how = (
            "the same frames"
            if self.distance is None
            else f"{self.distance:g} {'bit' if self.distance == 1 else 'bits'} apart"
        )
        return f"{self.keys[0]} ({self.splits[0]}) and {self.keys[1]} ({self.splits[1]}): {how}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found among the clips that have samples."""

    num_clips: int
    num_left_out: int
    """Rows that the run itself left out as duplicates."""
    exact: tuple[Twins, ...]
    near: tuple[Twins, ...]
    shared_captions: tuple[tuple[str, tuple[str, ...]], ...]
    """Captions that clips of several splits have, and these splits."""
    one_instant: tuple[str, ...]
    """Clips whose kept pairs, three or more, all begin at one frame."""

    @property
    def num_leaks(self) -> int:
        """Pairs of clips that show the same and stand in two splits."""
        return sum(twins.is_leak for twins in (*self.exact, *self.near))

    def __str__(self) -> str:
        lines = [
            f"{self.num_clips:,} clips with samples; {self.num_left_out:,} rows were left out as duplicates before"
        ]
        for name, found in (("exact copies", self.exact), ("near copies", self.near)):
            across = sum(twins.is_leak for twins in found)
            lines.append(f"{name}: {len(found) - across:,} within a split, {across:,} across splits")
            leaks_first = sorted(found, key=lambda twins: (not twins.is_leak, twins.keys))
            lines += _list_some(leaks_first)
        lines.append(f"captions in several splits: {len(self.shared_captions):,}")
        lines += _list_some(f"{caption!r} in {', '.join(splits)}" for caption, splits in self.shared_captions)
        lines.append(f"clips whose pairs all begin at one frame: {len(self.one_instant):,}")
        lines += _list_some(self.one_instant)
        verdict = "nothing leaks" if not self.num_leaks else f"{self.num_leaks:,} leaks"
        return "\n".join([*lines, f"{verdict} between splits"])


def audit_dataset(out: Location, samples: pa.Table, near_distance: int) -> Audit:
    """Look for copies among the clips that have samples; `samples` is the viewer's table of all of them.

    Raises CurationError where the flow table tells no fingerprint of a clip.
    """
    clips = pq.read_table(for_arrow(out / CLIPS), columns=["clip_key", "caption", "split", "verdict"]).to_pylist()
    kept = {row["clip_key"]: row["split"] for row in clips if row["verdict"] == Verdict.KEPT}
    measured = {
        one.clip_key: one
        for path in list_files(out / FLOW, "part-*.parquet")
        for one in read_measurements(path)
        if one.clip_key in kept
    }
    if missing := sorted(kept.keys() - {key for key, one in measured.items() if one.frames_sha256}):
        raise CurationError(
            f"{out / FLOW} tells nothing of how {missing[0]} looks; curate once more with this version to find copies"
        )
    exact, unique = _find_exact(kept, measured)
    signatures = Signatures.join(unpack_signature(measured[key].signature) for key in unique if near_distance)
    near = find_near_duplicates(signatures, near_distance)
    return Audit(
        num_clips=len(kept),
        num_left_out=sum(row["verdict"] == Verdict.DUPLICATE for row in clips),
        exact=exact,
        near=tuple(_twins(kept, unique[one], unique[other], bits) for (one, other), bits in sorted(near.items())),
        shared_captions=_find_shared_captions(clips, kept),
        one_instant=_find_one_instant(samples),
    )


def _find_exact(kept: dict[str, str], measured: dict[str, Measurement]) -> tuple[tuple[Twins, ...], list[str]]:
    """Find exact copies, and list one clip for each set of frames."""
    first: dict[str, str] = {}
    exact = []
    for key in kept:
        original = first.setdefault(measured[key].frames_sha256, key)
        if original != key:
            exact.append(_twins(kept, original, key, None))
    return tuple(exact), list(first.values())


def _twins(kept: dict[str, str], one: str, other: str, distance: float | None) -> Twins:
    return Twins(keys=(one, other), splits=(kept[one], kept[other]), distance=distance)


def _find_shared_captions(
    clips: Iterable[dict[str, str]], kept: dict[str, str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    splits = collections.defaultdict(set)
    for row in clips:
        if row["clip_key"] in kept:
            splits[row["caption"]].add(row["split"])
    return tuple((caption, tuple(sorted(found))) for caption, found in sorted(splits.items()) if len(found) > 1)


def _find_one_instant(samples: pa.Table) -> tuple[str, ...]:
    grouped = samples.group_by("clip_key").aggregate([("source_index", "count_distinct"), ("source_index", "count")])
    rows = grouped.to_pylist()
    return tuple(
        sorted(
            row["clip_key"]
            for row in rows
            if row["source_index_count"] >= _LEAST_PAIRS and row["source_index_count_distinct"] == 1
        )
    )


def _list_some(found: Iterable[object]) -> list[str]:
    shown = [f"  {one}" for one in found]
    return shown[:_SHOWN] + ([f"  and {len(shown) - _SHOWN:,} more"] if len(shown) > _SHOWN else [])
