"""Prove a finished data set, from its files alone: hashes, counts, adjacency, accounts.

Stops at the first thing that does not hold, as what follows a broken thing says little.
"""

import collections
import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shards.errors import DatasetError
from shards.location import Location, list_files, on_disk
from shards.manifest import Manifest, SplitEntry, read_manifest
from shards.reader import read_shard
from shards.schema import (
    CLIPS,
    CLIPS_SCHEMA,
    FLOW,
    FLOW_SCHEMA,
    MANIFEST,
    PART_DIGITS,
    REPORT,
    SampleRecord,
    Verdict,
    add_missing_columns,
)
from shards.writer import file_sha256, shard_name

_MOTION_TOLERANCE_PX = 1e-3
_MEASURED = (Verdict.KEPT, Verdict.NO_PAIR_IN_RANGE)

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proof:
    """What was looked at and held."""

    out: Location
    num_rows: int
    num_pairs: int
    num_shards: int
    num_samples: int

    def __str__(self) -> str:
        """One line for a terminal."""
        return (
            f"{self.out} holds: {self.num_rows:,} rows, {self.num_pairs:,} measured pairs, "
            f"{self.num_samples:,} samples in {self.num_shards:,} shards."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Clip:
    """A clip's own row of clips.parquet."""

    verdict: str
    split: str
    num_frames: int
    num_pairs: int
    num_in_range: int
    num_kept: int


def verify_dataset(out: Location) -> Proof:
    """Hold OUT against its manifest and itself. Raises DatasetError naming the first thing that does not hold."""
    manifest = read_manifest(out)
    clips = _verify_clips(out, manifest)
    if not (out / REPORT).is_file():
        raise DatasetError(f"{out}: no {REPORT}")
    folders = [folder for folder in out.iterdir() if folder.name not in manifest.splits and folder.is_dir()]
    if stray := [path for folder in sorted(folders, key=str) for path in list_files(folder, "*.tar")]:
        raise DatasetError(f"{stray[0]}: a shard of a split that the manifest does not name")
    taken: dict[str, dict[Pair, float]] = collections.defaultdict(dict)
    for split, entry in manifest.splits.items():
        _verify_split(out, split, entry, clips, taken, manifest)
    num_pairs = _verify_flow(out, clips, taken, manifest)
    return Proof(
        out=out,
        num_rows=manifest.listing.num_rows,
        num_pairs=num_pairs,
        num_shards=sum(len(entry.shards) for entry in manifest.splits.values()),
        num_samples=sum(entry.num_samples for entry in manifest.splits.values()),
    )


def _verify_clips(out: Location, manifest: Manifest) -> dict[str, _Clip]:
    """Check the accounts; returns the clips by key."""
    path = out / CLIPS
    with on_disk(path) as file:
        table = _read_table(path, file, CLIPS_SCHEMA)
    if table["row"].to_pylist() != list(range(1, manifest.listing.num_rows + 1)):
        raise DatasetError(f"{path}: rows are not 1 to {manifest.listing.num_rows} in order, as the listing's are")
    counts = collections.Counter(table["verdict"].to_pylist())
    if unknown := counts.keys() - {verdict.value for verdict in Verdict}:
        raise DatasetError(f"{path}: verdict {sorted(unknown)[0]!r} is none of the contract's")
    if dict(counts) != {name: count for name, count in manifest.verdicts.items() if count}:
        raise DatasetError(f"{path}: counts verdicts {dict(counts)}, the manifest {manifest.verdicts}")
    clips = {}
    for row in table.to_pylist():
        if row["verdict"] not in (Verdict.KEPT, Verdict.MERGED) and not row["detail"]:
            raise DatasetError(f"{path}, row {row['row']}: {row['verdict']} without a detail")
        if row["verdict"] == Verdict.MERGED:
            continue
        if row["clip_key"] in clips:
            raise DatasetError(f"{path}, row {row['row']}: a second row stands for {row['clip_key']}")
        fields = {field.name: row[field.name] for field in dataclasses.fields(_Clip)}
        clips[row["clip_key"]] = _Clip(**{**fields, "num_frames": row["num_frames"] or 0})
    return clips


def _verify_split(
    out: Location,
    split: str,
    entry: SplitEntry,
    clips: dict[str, _Clip],
    taken: dict[str, dict[Pair, float]],
    manifest: Manifest,
) -> None:
    """Check a split's shards and enter their samples in `taken`."""
    names = [shard.name for shard in entry.shards]
    if names != [shard_name(number) for number in range(len(names))]:
        raise DatasetError(f"{out / split}: the manifest's shards are not numbered from 0 without a gap")
    if stray := sorted({path.name for path in list_files(out / split, "*.tar")} - set(names)):
        raise DatasetError(f"{out / split / stray[0]}: a shard that the manifest does not name")
    edges, counts = entry.motion_histogram.bin_edges, np.zeros(len(entry.motion_histogram.counts), dtype=np.int64)
    if not len(edges) == len(counts) + 1 >= 2:
        raise DatasetError(f"{out / split}: the motion histogram in the manifest has {len(edges)} edges of its bins")
    num_samples, keys = 0, set()
    for shard in entry.shards:
        path = out / split / shard.name
        if not path.is_file():
            raise DatasetError(f"{path}: missing")
        in_shard = 0
        with on_disk(path) as file:
            if file.stat().st_size != shard.num_bytes or file_sha256(file) != shard.sha256:
                raise DatasetError(f"{path}: not the bytes that the manifest tells (sha256 {shard.sha256[:12]}...)")
            for sample in read_shard(path, file):
                _verify_sample(path, sample.record, split, clips, taken, manifest)
                keys.add(sample.record.clip_key)
                counts[min(max(int(sample.record.motion_px) - edges[0], 0), len(counts) - 1)] += 1
                in_shard += 1
        if in_shard != shard.num_samples:
            raise DatasetError(f"{path}: {in_shard} samples, the manifest tells {shard.num_samples}")
        num_samples += in_shard
    told = (entry.num_samples, entry.num_clips, entry.motion_histogram.counts)
    if told != (num_samples, len(keys), tuple(counts.tolist())):
        raise DatasetError(f"{out / split}: samples, clips or motion histogram are not those that the manifest tells")


def _verify_sample(
    path: Location,
    record: SampleRecord,
    split: str,
    clips: dict[str, _Clip],
    taken: dict[str, dict[Pair, float]],
    manifest: Manifest,
) -> None:
    clip = clips.get(record.clip_key)
    if clip is None or clip.verdict != Verdict.KEPT or clip.split != split or record.split != split:
        raise DatasetError(f"{path}: {record.key} is of a clip that {CLIPS} does not keep in {split}")
    low, high = _motion_range(manifest)
    if not low <= record.motion_px <= high:
        raise DatasetError(f"{path}: {record.key} has motion {record.motion_px:g}, outside [{low:g}, {high:g}]")
    if record.caption not in record.captions:
        raise DatasetError(f"{path}: the caption of {record.key} is none of its captions")
    pair = (record.source_index, record.target_index)
    if pair in taken[record.clip_key]:
        raise DatasetError(f"{path}: {record.key} stands twice")
    taken[record.clip_key][pair] = record.motion_px


def _verify_flow(
    out: Location, clips: dict[str, _Clip], taken: dict[str, dict[Pair, float]], manifest: Manifest
) -> int:
    """Check that every measured clip has all its pairs once, and that samples and counts agree with them."""
    num_pairs: collections.Counter[str] = collections.Counter()
    num_in_range: collections.Counter[str] = collections.Counter()
    for path in list_files(out / FLOW, "part-*.parquet"):
        with on_disk(path) as file:
            rows_by_clip, sha256 = _rows_by_clip(path, file), file_sha256(file)
        for key, rows in rows_by_clip:
            clip = clips.get(key)
            if clip is None or num_pairs[key]:
                raise DatasetError(f"{path}: {key} is no clip of {CLIPS}, or stands in two parts")
            _verify_rows(path, key, clip, rows, taken.get(key, {}))
            num_pairs[key] = len(rows)
            # A copy is measured like any other clip, but nothing of it is for keeping.
            num_in_range[key] = 0 if clip.verdict == Verdict.DUPLICATE else _count_in_range(rows, manifest)
        # Of all that stands there, the footer alone is covered by no checksum of the format's own.
        if path.stem.removeprefix("part-") != sha256[:PART_DIGITS]:
            raise DatasetError(f"{path}: its bytes are not those that it is named by")
    for key, clip in clips.items():
        expected = clip.num_frames * (clip.num_frames - 1) // 2 if clip.verdict in _MEASURED else clip.num_pairs
        if not expected == clip.num_pairs == num_pairs[key]:
            raise DatasetError(
                f"{out / FLOW}: {key} has {num_pairs[key]} pairs; {clip.num_frames} frames make {expected}"
            )
        if clip.num_in_range != num_in_range[key] or clip.num_kept != len(taken.get(key, {})):
            raise DatasetError(f"{out / CLIPS}: {key} tells other counts in range or kept than its pairs and samples")
    return num_pairs.total()


def _verify_rows(path: Location, key: str, clip: _Clip, rows: pa.Table, taken: dict[Pair, float]) -> None:
    """Check the pairs of one clip: each can be, none stands twice, and its samples tell the same motion."""
    sources, targets, motion = (rows[name].to_numpy() for name in ("source_index", "target_index", "motion_px"))
    sound = (sources >= 0) & (sources < targets) & (targets < clip.num_frames) & (motion >= 0)
    pair_codes = sources.astype(np.int64) << 32 | targets
    if not sound.all() or not np.isfinite(motion).all() or len(np.unique(pair_codes)) != len(rows):
        raise DatasetError(f"{path}: {key} has a pair that cannot be, or one twice")
    at = {code: number for number, code in enumerate(pair_codes.tolist())} if taken else {}
    for (source, target), told in taken.items():
        row = at.get(source << 32 | target)
        if row is None or abs(told - float(motion[row])) > _MOTION_TOLERANCE_PX:
            raise DatasetError(f"{path}: motion of {key} {source} to {target} is not its sample's {told:g}")


def _count_in_range(rows: pa.Table, manifest: Manifest) -> int:
    low, high = _motion_range(manifest)
    motion = rows["motion_px"].to_numpy().astype(np.float64)
    fits = (low <= motion) & (motion <= high)
    if manifest.config.get("drop_cuts"):
        fits &= ~rows["across_cut"].to_numpy()
    return int(fits.sum())


def _motion_range(manifest: Manifest) -> tuple[float, float]:
    low, high = manifest.config.get("min_motion"), manifest.config.get("max_motion")
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        raise DatasetError(f"{MANIFEST}: config tells no min_motion and max_motion")
    return low, high


def _rows_by_clip(path: Location, file: Path) -> list[tuple[str, pa.Table]]:
    table = _read_table(path, file, FLOW_SCHEMA).combine_chunks()
    if not table.num_rows:
        return []
    keys = table["clip_key"].chunk(0)
    codes = keys.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    bounds = np.flatnonzero(np.diff(codes[order], prepend=-1))
    table = table.take(pa.array(order))
    return [
        (keys.dictionary[int(codes[order[start]])].as_py(), table.slice(start, end - start))
        for start, end in zip(bounds, [*bounds[1:], len(order)], strict=True)
    ]


def _read_table(path: Location, file: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(file, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: cannot be read as Parquet: {error}") from error
    table = add_missing_columns(table, schema)
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise DatasetError(f"{path}: lacks the column {missing[0]}")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise DatasetError(f"{path}: columns are not of the contract's types: {error}") from error
