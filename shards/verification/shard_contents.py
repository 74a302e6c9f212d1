"""Verify the shards: their bytes, their samples against clips.parquet, and the order of samples."""

import collections
import hashlib
import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
from PIL import Image

from shards.errors import DatasetError
from shards.manifest import Manifest, ShardEntry, SplitEntry
from shards.members import BLOCK_BYTES, walk_samples
from shards.pictures import DECODE_ERRORS
from shards.reader import read_sample
from shards.sample_order import choose_caption, order_split
from shards.schema import CLIPS, IMAGE_MIME, MANIFEST, Sample, Verdict, sample_key
from shards.storage.location import Location, on_disk
from shards.verification.table_contents import ClipRow, SamplesOfClip, motion_range_px
from shards.writer import file_sha256, shard_name

_BUFFER_BYTES = 2**20
"""Members are read one after the other, so a large buffer saves most of the calls."""


class ShardVerifier:
    """Verifies the splits of a data set, one after the other."""

    def __init__(self, out: Location, manifest: Manifest, clips: dict[str, ClipRow], threads: Executor | None) -> None:
        """Take the clips by key. With `threads`, every picture is decoded."""
        self.samples: dict[str, SamplesOfClip] = collections.defaultdict(dict)
        """The samples of all verified splits, by clip key."""
        self._out = out
        self._clips = clips
        self._motion_range_px = motion_range_px(manifest)
        self._threads = threads
        resolution = manifest.config.get("resolution")
        self._size = (resolution, resolution) if resolution else None
        self._order: tuple[int, int] | None = None
        """Seed and samples per shard; None for an earlier schema version, whose order is not verified."""
        if manifest.has_hashes:
            seed, samples_per_shard = (manifest.config.get(name) for name in ("seed", "samples_per_shard"))
            if seed is None or not samples_per_shard:
                raise DatasetError(f"{out / MANIFEST}: config has no seed and samples_per_shard")
            self._order = seed, samples_per_shard

    def verify_split(self, split: str, entry: SplitEntry) -> None:
        """Verify the shards of a split and collect their samples."""
        folder = self._out / split
        names = [shard.name for shard in entry.shards]
        if names != [shard_name(number) for number in range(len(names))]:
            raise DatasetError(f"{folder}: the manifest's shards are not numbered from 0 without a gap")
        edges, counts = entry.motion_histogram.bin_edges, np.zeros(len(entry.motion_histogram.counts), dtype=np.int64)
        if not len(edges) == len(counts) + 1 >= 2:
            raise DatasetError(f"{folder}: the manifest has {len(edges)} edges for {len(counts)} bins of motion")
        num_samples, clip_keys, orders = 0, set(), []
        for shard in entry.shards:
            keys = []
            for sample in self._verify_shard(folder / shard.name, shard, split):
                record = sample.record
                clip_keys.add(record.clip_key)
                counts[min(max(int(record.motion_px) - edges[0], 0), len(counts) - 1)] += 1
                keys.append(record.key)
            num_samples += len(keys)
            orders.append(_hash_order(keys))
        stated = (entry.num_samples, entry.num_clips, entry.motion_histogram.counts)
        if stated != (num_samples, len(clip_keys), tuple(counts.tolist())):
            raise DatasetError(f"{folder}: samples, clips or motion histogram differ from the manifest")
        if self._order:
            planned = order_split(*self._order, {key: self.samples[key] for key in clip_keys})
            expected = [_hash_order(sample_key(key, *pair) for key, pair in samples) for samples in planned]
            for shard, order, planned_order in zip(entry.shards, orders, expected, strict=False):
                if order != planned_order:
                    raise DatasetError(f"{folder / shard.name}: its samples are not the planned ones in their order")

    def _verify_shard(self, path: Location, entry: ShardEntry, split: str) -> Iterator[Sample]:
        with on_disk(path) as file:
            if file.stat().st_size != entry.num_bytes or file_sha256(file) != entry.sha256:
                raise DatasetError(f"{path}: its SHA-256 or size is not the manifest's ({entry.sha256[:12]}...)")
            num_samples, to_decode = 0, []
            for sample in _read_tar(path, file):
                self._verify_sample(path, sample, split)
                num_samples += 1
                if self._threads:
                    to_decode.append(sample)
                yield sample
        if num_samples != entry.num_samples:
            raise DatasetError(f"{path}: {num_samples} samples, not {entry.num_samples} as in the manifest")
        if self._threads:
            for problem in filter(None, self._threads.map(self._find_broken_picture, to_decode)):
                raise DatasetError(f"{path}: {problem}")

    def _verify_sample(self, path: Location, sample: Sample, split: str) -> None:
        record = sample.record
        clip = self._clips.get(record.clip_key)
        if clip is None or clip.verdict != Verdict.KEPT or clip.split != split or record.split != split:
            raise DatasetError(f"{path}: {record.key} is of a clip that {CLIPS} does not keep in {split}")
        low, high = self._motion_range_px
        if not low <= record.motion_px <= high:
            raise DatasetError(f"{path}: {record.key} has motion {record.motion_px:g}, outside [{low:g}, {high:g}]")
        if record.uri != clip.uri or record.captions != clip.captions:
            raise DatasetError(f"{path}: uri or captions of {record.key} are not those of its clip in {CLIPS}")
        if record.caption not in record.captions:
            raise DatasetError(f"{path}: the caption of {record.key} is none of its captions")
        samples, pair = self.samples[record.clip_key], (record.source_index, record.target_index)
        if self._order and record.caption != choose_caption(self._order[0], record.clip_key, pair, record.captions):
            raise DatasetError(f"{path}: the caption of {record.key} is not the one that the seed draws")
        if pair in samples:
            raise DatasetError(f"{path}: {record.key} occurs twice")
        if not sample.source or not sample.target:
            raise DatasetError(f"{path}: a picture of {record.key} is empty")
        samples[pair] = record.motion_px, record.gap_ms

    def _find_broken_picture(self, sample: Sample) -> str | None:
        """Decode both pictures of a sample; return in words what is wrong, None if they are sound."""
        sizes = []
        for role in ("source", "target"):
            name = f"{sample.record.key}.{role}.{sample.image_format}"
            try:
                with Image.open(io.BytesIO(getattr(sample, role)), formats=_PILLOW_FORMATS) as picture:
                    picture.load()
            except DECODE_ERRORS as error:
                return f"{name} cannot be decoded ({error})"
            if picture.get_format_mimetype() != IMAGE_MIME[sample.image_format] or picture.mode != "RGB":
                return f"{name} is a {picture.format} picture of mode {picture.mode}"
            sizes.append(picture.size)
        if sizes[0] != sizes[1] or (self._size and sizes[0] != self._size):
            return f"pictures of {sample.record.key} have {sizes[0]} and {sizes[1]} pixels"
        return None


_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP")


def _hash_order(keys: Iterator[str] | list[str]) -> bytes:
    return hashlib.sha256("\n".join(keys).encode()).digest()


def _read_tar(path: Location, file: Path) -> Iterator[Sample]:
    """Yield the samples of a shard whose tar has the owner, mode and time of the writer, and nothing after its end."""
    end = 0
    try:
        with file.open("rb", buffering=_BUFFER_BYTES) as data:
            for members in walk_samples(data):
                for member in (members.record, members.source, members.target):
                    if not member.has_fixed_fields:
                        raise DatasetError(f"{path}: owner, mode or time of {member.name} are not those of a shard")
                yield read_sample(members)
                end = members.target.end
            data.seek(end)
            num_bytes = -(-(end + 2 * BLOCK_BYTES) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
            if file.stat().st_size != num_bytes or any(data.read()):
                raise DatasetError(f"{path}: bytes follow the end of the tar, or its padding is not that of a shard")
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: {error}") from error
