"""Verify clips.parquet and the flow table, and hold them against each other and the samples."""

import collections
import dataclasses
import functools

import numpy as np
import pyarrow as pa

from shards.errors import DatasetError
from shards.manifest import Manifest
from shards.schema import CLIPS, CLIPS_SCHEMA, FLOW, MANIFEST, PART_DIGITS, Verdict
from shards.storage.location import Location, list_files, on_disk
from shards.tables import read_rows_by_clip, read_table
from shards.writer import file_sha256

_MEASURED = (Verdict.KEPT, Verdict.NO_PAIR_IN_RANGE)

Pair = tuple[int, int]
"""Frame indices of source and target."""
SamplesOfClip = dict[Pair, tuple[float, int]]
"""Motion in pixels and gap in milliseconds of a clip's samples."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipRow:
    """A clip's row of clips.parquet."""

    uri: str
    verdict: str
    split: str
    num_frames: int
    num_pairs: int
    num_in_range: int
    num_kept: int
    captions: tuple[str, ...]
    """Of all its rows, each once, in the listing's order; empty unless the clip is kept."""


def motion_range_px(manifest: Manifest) -> tuple[float, float]:
    """Return the range of kept motion, both ends included. Raises DatasetError where the config has none."""
    low, high = manifest.config.get("min_motion"), manifest.config.get("max_motion")
    if low is None or high is None:
        raise DatasetError(f"{MANIFEST}: config has no min_motion and max_motion")
    return low, high


def read_clip_rows(out: Location, manifest: Manifest) -> dict[str, ClipRow]:
    """Verify that every listing row has exactly one verdict, and return the clips by key."""
    path = out / CLIPS
    with on_disk(path) as file:
        table = read_table(path, file, CLIPS_SCHEMA)
    if table["row"].to_pylist() != list(range(1, manifest.listing.num_rows + 1)):
        raise DatasetError(f"{path}: rows are not 1 to {manifest.listing.num_rows} in the listing's order")
    counts = collections.Counter(table["verdict"].to_pylist())
    if unknown := counts.keys() - {verdict.value for verdict in Verdict}:
        raise DatasetError(f"{path}: unknown verdict {sorted(unknown)[0]!r}")
    if dict(counts) != {name: count for name, count in manifest.verdicts.items() if count}:
        raise DatasetError(f"{path}: has the verdicts {dict(counts)}, the manifest {manifest.verdicts}")
    captions = _collect_captions(table)
    clips: dict[str, ClipRow] = {}
    for row in table.drop_columns(["caption", "sha256"]).to_pylist():
        if row["verdict"] not in (Verdict.KEPT, Verdict.MERGED) and not row["detail"]:
            raise DatasetError(f"{path}, row {row['row']}: {row['verdict']} without a detail")
        if row["verdict"] == Verdict.MERGED:
            continue
        if row["clip_key"] in clips:
            raise DatasetError(f"{path}, row {row['row']}: a second row of {row['clip_key']} that is not merged")
        fields = {field.name: row[field.name] for field in dataclasses.fields(ClipRow) if field.name != "captions"}
        captions_of_clip = tuple(captions.get(row["clip_key"], ()))
        clips[row["clip_key"]] = ClipRow(
            **{**fields, "num_frames": row["num_frames"] or 0, "captions": captions_of_clip}
        )
    return clips


def _collect_captions(table: pa.Table) -> dict[str, dict[str, None]]:
    """Return the captions of each kept clip, in order and each once, by clip key."""
    rows = list(zip(*(table[name].to_pylist() for name in ("clip_key", "verdict", "caption")), strict=True))
    captions: dict[str, dict[str, None]] = {key: {} for key, verdict, _ in rows if verdict == Verdict.KEPT}
    for key, _, caption in rows:
        if key in captions:
            captions[key][caption] = None
    return captions


def verify_flow(out: Location, manifest: Manifest, clips: dict[str, ClipRow], samples: dict[str, SamplesOfClip]) -> int:
    """Verify that the flow table has every pair of every measured clip once, and return the number of pairs.

    The motion and gap of samples and the counts of clips.parquet must agree with it.
    """
    num_pairs: collections.Counter[str] = collections.Counter()
    num_in_range: collections.Counter[str] = collections.Counter()
    count_in_range = functools.partial(
        _count_in_range, range_px=motion_range_px(manifest), drops_cuts=bool(manifest.config.get("drop_cuts"))
    )
    for path in list_files(out / FLOW, "part-*.parquet"):
        with on_disk(path) as file:
            rows_by_clip, sha256 = read_rows_by_clip(path, file), file_sha256(file)
        for key, rows in rows_by_clip:
            clip = clips.get(key)
            if clip is None or num_pairs[key]:
                raise DatasetError(f"{path}: {key} is no clip of {CLIPS}, or is in two parts")
            _verify_rows(path, key, clip, rows, samples.get(key, {}))
            num_pairs[key] = len(rows)
            # A duplicate is measured like any other clip, but its pairs are not candidates.
            num_in_range[key] = 0 if clip.verdict == Verdict.DUPLICATE else count_in_range(rows)
        # Parquet's own checksums cover everything but the footer.
        if path.stem.removeprefix("part-") != sha256[:PART_DIGITS]:
            raise DatasetError(f"{path}: its SHA-256 is not the one in its name")
        if manifest.has_hashes and manifest.files[f"{FLOW}/{path.name}"].sha256 != sha256:
            raise DatasetError(f"{path}: its SHA-256 is not the manifest's ({sha256[:12]}...)")
    for key, clip in clips.items():
        expected = clip.num_frames * (clip.num_frames - 1) // 2 if clip.verdict in _MEASURED else clip.num_pairs
        if not expected == clip.num_pairs == num_pairs[key]:
            raise DatasetError(
                f"{out / FLOW}: {key} has {num_pairs[key]} pairs; {clip.num_frames} frames make {expected}"
            )
        if clip.num_in_range != num_in_range[key] or clip.num_kept != len(samples.get(key, {})):
            raise DatasetError(f"{out / CLIPS}: counts of {key} differ from its pairs and samples")
    return num_pairs.total()


def _count_in_range(rows: pa.Table, range_px: tuple[float, float], drops_cuts: bool) -> int:
    low, high = range_px
    motion = rows["motion_px"].to_numpy().astype(np.float64)
    is_usable = (low <= motion) & (motion <= high)
    if drops_cuts:
        is_usable &= ~rows["across_cut"].to_numpy()
    return int(is_usable.sum())


def _verify_rows(path: Location, key: str, clip: ClipRow, rows: pa.Table, samples: SamplesOfClip) -> None:
    """Verify that a clip's pairs are possible and occur once, and that its samples have their motion and gap."""
    names = ("source_index", "target_index", "motion_px", "gap_ms")
    sources, targets, motion, gaps = (rows[name].to_numpy() for name in names)
    is_possible = (sources >= 0) & (sources < targets) & (targets < clip.num_frames) & (motion >= 0) & (gaps >= 0)
    pair_codes = sources.astype(np.int64) << 32 | targets
    if not is_possible.all() or not np.isfinite(motion).all() or len(np.unique(pair_codes)) != len(rows):
        raise DatasetError(f"{path}: {key} has an impossible pair, or one twice")
    row_numbers = {code: number for number, code in enumerate(pair_codes.tolist())} if samples else {}
    for (source, target), (motion_px, gap_ms) in samples.items():
        row = row_numbers.get(source << 32 | target)
        if row is None or motion_px != float(motion[row]) or gap_ms != int(gaps[row]):
            raise DatasetError(
                f"{path}: {key} {source} to {target} does not have the motion {motion_px:g} and gap {gap_ms:,} ms of "
                "its sample"
            )
