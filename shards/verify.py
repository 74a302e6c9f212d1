"""Verify a finished data set from its files alone: hashes, counts, the order of members, and one verdict per row.

Verification stops at the first error, because what follows damage says little.
"""

import collections
import dataclasses
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from shards.errors import DatasetError
from shards.manifest import Manifest, ShardEntry, SplitEntry, read_manifest
from shards.reader import read_shard
from shards.schema import (
    CLIPS,
    CLIPS_SCHEMA,
    FLOW,
    MANIFEST,
    PART_DIGITS,
    REPORT,
    SampleRecord,
    Verdict,
)
from shards.storage.location import Location, list_files, on_disk
from shards.tables import read_rows_by_clip, read_table
from shards.writer import file_sha256, shard_name

_MOTION_TOLERANCE_PX = 1e-3
_MEASURED = (Verdict.KEPT, Verdict.NO_PAIR_IN_RANGE)

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proof:
    """Counts of what was verified."""

    out: Location
    num_rows: int
    num_pairs: int
    num_shards: int
    num_samples: int

    def __str__(self) -> str:
        """Return one line for a terminal."""
        return (
            f"{self.out} is valid: {self.num_rows:,} rows, {self.num_pairs:,} measured pairs, "
            f"{self.num_samples:,} samples in {self.num_shards:,} shards."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Clip:
    """A clip's row of clips.parquet."""

    verdict: str
    split: str
    num_frames: int
    num_pairs: int
    num_in_range: int
    num_kept: int


def verify_dataset(out: Location) -> Proof:
    """Verify a data set against its manifest and itself. Raises DatasetError, which names the first file at fault."""
    manifest = read_manifest(out)
    if not (out / REPORT).is_file():
        raise DatasetError(f"{out}: no {REPORT}")
    folders = [folder for folder in out.iterdir() if folder.name not in manifest.splits and folder.is_dir()]
    if stray := [path for folder in sorted(folders, key=str) for path in list_files(folder, "*.tar")]:
        raise DatasetError(f"{stray[0]}: a shard of a split that the manifest does not name")
    verifier = _Verifier(out, manifest)
    for split, entry in manifest.splits.items():
        verifier.verify_split(split, entry)
    return Proof(
        out=out,
        num_rows=manifest.listing.num_rows,
        num_pairs=verifier.verify_flow(),
        num_shards=sum(len(entry.shards) for entry in manifest.splits.values()),
        num_samples=sum(entry.num_samples for entry in manifest.splits.values()),
    )


class _Verifier:
    """Verifies clips.parquet on construction, then the splits, then the flow table against both."""

    def __init__(self, out: Location, manifest: Manifest) -> None:
        low, high = manifest.config.get("min_motion"), manifest.config.get("max_motion")
        if not isinstance(low, int | float) or not isinstance(high, int | float):
            raise DatasetError(f"{MANIFEST}: config has no min_motion and max_motion")
        self._out = out
        self._motion_range_px = (low, high)
        self._drops_cuts = bool(manifest.config.get("drop_cuts"))
        self._clips = _read_clips(out, manifest)
        self._samples: dict[str, dict[Pair, float]] = collections.defaultdict(dict)
        """Motion of each sample, by clip key and pair."""

    def verify_split(self, split: str, entry: SplitEntry) -> None:
        """Verify the shards of a split and collect their samples."""
        folder = self._out / split
        names = [shard.name for shard in entry.shards]
        if names != [shard_name(number) for number in range(len(names))]:
            raise DatasetError(f"{folder}: the manifest's shards are not numbered from 0 without a gap")
        if stray := sorted({path.name for path in list_files(folder, "*.tar")} - set(names)):
            raise DatasetError(f"{folder / stray[0]}: a shard that the manifest does not name")
        edges, counts = entry.motion_histogram.bin_edges, np.zeros(len(entry.motion_histogram.counts), dtype=np.int64)
        if not len(edges) == len(counts) + 1 >= 2:
            raise DatasetError(f"{folder}: the manifest has {len(edges)} edges for {len(counts)} bins of motion")
        num_samples, keys = 0, set()
        for shard in entry.shards:
            for record in self._verify_shard(folder / shard.name, shard, split):
                keys.add(record.clip_key)
                counts[min(max(int(record.motion_px) - edges[0], 0), len(counts) - 1)] += 1
                num_samples += 1
        stated = (entry.num_samples, entry.num_clips, entry.motion_histogram.counts)
        if stated != (num_samples, len(keys), tuple(counts.tolist())):
            raise DatasetError(f"{folder}: samples, clips or motion histogram differ from the manifest")

    def _verify_shard(self, path: Location, entry: ShardEntry, split: str) -> Iterator[SampleRecord]:
        if not path.is_file():
            raise DatasetError(f"{path}: missing")
        num_samples = 0
        with on_disk(path) as file:
            if file.stat().st_size != entry.num_bytes or file_sha256(file) != entry.sha256:
                raise DatasetError(f"{path}: its SHA-256 or size is not the manifest's ({entry.sha256[:12]}...)")
            for sample in read_shard(path, file):
                self._verify_sample(path, sample.record, split)
                num_samples += 1
                yield sample.record
        if num_samples != entry.num_samples:
            raise DatasetError(f"{path}: {num_samples} samples, not {entry.num_samples} as in the manifest")

    def _verify_sample(self, path: Location, record: SampleRecord, split: str) -> None:
        clip = self._clips.get(record.clip_key)
        if clip is None or clip.verdict != Verdict.KEPT or clip.split != split or record.split != split:
            raise DatasetError(f"{path}: {record.key} is of a clip that {CLIPS} does not keep in {split}")
        low, high = self._motion_range_px
        if not low <= record.motion_px <= high:
            raise DatasetError(f"{path}: {record.key} has motion {record.motion_px:g}, outside [{low:g}, {high:g}]")
        if record.caption not in record.captions:
            raise DatasetError(f"{path}: the caption of {record.key} is none of its captions")
        samples, pair = self._samples[record.clip_key], (record.source_index, record.target_index)
        if pair in samples:
            raise DatasetError(f"{path}: {record.key} occurs twice")
        samples[pair] = record.motion_px

    def verify_flow(self) -> int:
        """Verify that the flow table has every pair of every measured clip once, and return the number of pairs.

        The motion of samples and the counts of clips.parquet must agree with it.
        """
        num_pairs: collections.Counter[str] = collections.Counter()
        num_in_range: collections.Counter[str] = collections.Counter()
        for path in list_files(self._out / FLOW, "part-*.parquet"):
            with on_disk(path) as file:
                rows_by_clip, sha256 = read_rows_by_clip(path, file), file_sha256(file)
            for key, rows in rows_by_clip:
                clip = self._clips.get(key)
                if clip is None or num_pairs[key]:
                    raise DatasetError(f"{path}: {key} is no clip of {CLIPS}, or is in two parts")
                _verify_rows(path, key, clip, rows, self._samples.get(key, {}))
                num_pairs[key] = len(rows)
                # A duplicate is measured like any other clip, but its pairs are not candidates.
                num_in_range[key] = 0 if clip.verdict == Verdict.DUPLICATE else self._count_in_range(rows)
            # Parquet's own checksums cover everything but the footer.
            if path.stem.removeprefix("part-") != sha256[:PART_DIGITS]:
                raise DatasetError(f"{path}: its SHA-256 is not the one in its name")
        for key, clip in self._clips.items():
            expected = clip.num_frames * (clip.num_frames - 1) // 2 if clip.verdict in _MEASURED else clip.num_pairs
            if not expected == clip.num_pairs == num_pairs[key]:
                raise DatasetError(
                    f"{self._out / FLOW}: {key} has {num_pairs[key]} pairs; {clip.num_frames} frames make {expected}"
                )
            if clip.num_in_range != num_in_range[key] or clip.num_kept != len(self._samples.get(key, {})):
                raise DatasetError(f"{self._out / CLIPS}: counts of {key} differ from its pairs and samples")
        return num_pairs.total()

    def _count_in_range(self, rows: pa.Table) -> int:
        low, high = self._motion_range_px
        motion = rows["motion_px"].to_numpy().astype(np.float64)
        is_usable = (low <= motion) & (motion <= high)
        if self._drops_cuts:
            is_usable &= ~rows["across_cut"].to_numpy()
        return int(is_usable.sum())


def _read_clips(out: Location, manifest: Manifest) -> dict[str, _Clip]:
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
    clips = {}
    for row in table.to_pylist():
        if row["verdict"] not in (Verdict.KEPT, Verdict.MERGED) and not row["detail"]:
            raise DatasetError(f"{path}, row {row['row']}: {row['verdict']} without a detail")
        if row["verdict"] == Verdict.MERGED:
            continue
        if row["clip_key"] in clips:
            raise DatasetError(f"{path}, row {row['row']}: a second row of {row['clip_key']} that is not merged")
        fields = {field.name: row[field.name] for field in dataclasses.fields(_Clip)}
        clips[row["clip_key"]] = _Clip(**{**fields, "num_frames": row["num_frames"] or 0})
    return clips


def _verify_rows(path: Location, key: str, clip: _Clip, rows: pa.Table, samples: dict[Pair, float]) -> None:
    """Verify that a clip's pairs are possible and occur once, and that its samples have their motion."""
    sources, targets, motion = (rows[name].to_numpy() for name in ("source_index", "target_index", "motion_px"))
    is_possible = (sources >= 0) & (sources < targets) & (targets < clip.num_frames) & (motion >= 0)
    pair_codes = sources.astype(np.int64) << 32 | targets
    if not is_possible.all() or not np.isfinite(motion).all() or len(np.unique(pair_codes)) != len(rows):
        raise DatasetError(f"{path}: {key} has an impossible pair, or one twice")
    row_numbers = {code: number for number, code in enumerate(pair_codes.tolist())} if samples else {}
    for (source, target), motion_px in samples.items():
        row = row_numbers.get(source << 32 | target)
        if row is None or abs(motion_px - float(motion[row])) > _MOTION_TOLERANCE_PX:
            raise DatasetError(f"{path}: motion of {key} {source} to {target} is not its sample's {motion_px:g}")
