"""What is fuzzed: each function takes a folder for its files and a generator; it raises where something is wrong."""

import contextlib
import dataclasses
import functools
import io
import json
import random
import re
import tarfile
from pathlib import Path

import numpy as np

from curation.config import CurationConfig
from curation.errors import ListingError
from curation.listing.catalog import read_catalog
from curation.options import RunOptions
from shards.errors import DatasetError
from shards.manifest import (
    ListingEntry,
    Manifest,
    MotionHistogram,
    SplitEntry,
    check_digest,
    digest_dataset,
    read_manifest,
    write_manifest,
)
from shards.reader import read_shard
from shards.schema import MANIFEST, SPLITS, Sample, SampleRecord
from shards.writer import write_shard
from tests.fuzz.mutate import mutate_bytes, mutate_json
from training.data.errors import DataError
from training.data.latent_format import (
    LATENTS_MANIFEST,
    LatentEntry,
    LatentManifest,
    LatentRow,
    LatentSplit,
    PairLatents,
    read_latent_manifest,
    write_latent_manifest,
    write_latent_shard,
)
from training.data.latent_source import read_latent_shard

_LISTING = b"""a.gif\ta cat runs
sub/b%20c.gif\tzwei H\xc3\xbcnde
https://example.org/c.gif?x=1\tone
https://example.org/c.gif?x=1\ttwo
s3://bucket/d.gif\tthree
file:///tmp/e.gif\tfour
"""


def fuzz_listing(folder: Path, draw: random.Random) -> None:
    """A listing is refused in one sentence, or every row belongs to a clip that can be located."""
    data = mutate_bytes(_LISTING, draw)
    (folder / "gifs").mkdir(exist_ok=True)
    options = RunOptions(
        listing=draw.choice([folder / "listing.tsv", "https://example.org/listing.tsv"]),
        out=folder / "out",
        gifs=draw.choice([None, folder / "gifs"]),
    )
    try:
        catalog = read_catalog(data, options, CurationConfig())
    except ListingError:
        return
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert len(catalog.rows) == sum(bool(line.decode().removesuffix("\r").strip()) for line in lines)
    for key, clip in catalog.clips.items():
        assert re.fullmatch(r"[a-z0-9_-]{1,57}", key)
        assert clip.split in SPLITS
        assert clip.captions
        assert "://" in clip.location or isinstance(options.listing, Path) or options.gifs


def fuzz_manifest(folder: Path, draw: random.Random) -> None:
    """A manifest is refused in one sentence, or its digest can be computed."""
    write_manifest(folder, _make_manifest(folder))
    path = folder / MANIFEST
    path.write_bytes(mutate_json(path.read_text(), draw))
    with contextlib.suppress(DatasetError):
        digest_dataset(read_manifest(folder))
        check_digest(folder)


def fuzz_record(folder: Path, draw: random.Random) -> None:
    """A record is refused in one sentence, or it keeps what the contract promises."""
    samples = _write_samples(folder)
    texts = {f"{samples[0].record.key}.json": mutate_json(_read_record(folder / "00000.tar"), draw)}
    _rewrite(folder / "00000.tar", texts)
    with contextlib.suppress(DatasetError):
        for sample in read_shard(folder / "00000.tar"):
            record = sample.record
            assert record.split in SPLITS
            assert 0 <= record.source_index < record.target_index
            assert re.fullmatch(r"[a-z0-9_-]+", record.clip_key)
            assert np.isfinite(record.motion_px)
            json.dumps(dataclasses.asdict(record), ensure_ascii=False).encode()


def fuzz_shard(folder: Path, draw: random.Random) -> None:
    """A shard is refused in one sentence, or holds samples."""
    _write_samples(folder)
    path = folder / "00000.tar"
    path.write_bytes(mutate_bytes(path.read_bytes(), draw))
    with contextlib.suppress(DatasetError):
        list(read_shard(path))


def fuzz_latents(folder: Path, draw: random.Random) -> None:
    """A changed latent shard is refused in one sentence, or only values of latents differ."""
    entry, rows = _write_latents(folder)
    path = folder / "train" / entry.name
    data = path.read_bytes()
    changed = mutate_bytes(data, draw) if draw.random() < 0.5 else _flip(data, draw)
    path.write_bytes(changed)
    try:
        found = read_latent_shard(path, entry)
    except DataError:
        assert changed != data
        return
    for before, after in zip(rows, found, strict=True):
        assert (before.key, before.caption, before.motion_px) == (after.key, after.caption, after.motion_px)
        np.testing.assert_array_equal(before.token_ids, after.token_ids)


def fuzz_latent_manifest(folder: Path, draw: random.Random) -> None:
    """A manifest of latents is refused in one sentence, or it can be written again."""
    _write_latents(folder)
    path = folder / LATENTS_MANIFEST
    path.write_bytes(mutate_json(path.read_text(), draw))
    with contextlib.suppress(DataError):
        write_latent_manifest(folder, read_latent_manifest(folder))


@functools.cache
def _samples() -> tuple[Sample, ...]:
    records = [
        SampleRecord(
            caption="a cat", captions=("a cat", "b"), motion_px=2.5, source_index=0, target_index=number + 1,
            gap_ms=100, clip_key=f"cat-{number}", split="train", uri="cat.gif",
        )
        for number in range(2)
    ]  # fmt: skip
    return tuple(Sample(record=record, source=b"one", target=b"two", image_format="jpg") for record in records)


def _write_samples(folder: Path) -> tuple[Sample, ...]:
    write_shard(folder / "00000.tar", _samples())
    return _samples()


def _read_record(path: Path) -> str:
    with tarfile.open(path) as tar:
        name = next(name for name in tar.getnames() if name.endswith(".json"))
        file = tar.extractfile(name)
        assert file is not None
        return file.read().decode()


def _rewrite(path: Path, texts: dict[str, bytes]) -> None:
    """Replace members of a tar and keep the others."""
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in members:
            data = texts.get(info.name, data)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _make_manifest(folder: Path) -> Manifest:
    entry = write_shard(folder / "00000.tar", _samples())
    return Manifest(
        schema_version=1,
        listing=ListingEntry(uri="listing.tsv", sha256="0" * 64, num_rows=3, folder="..", gifs=None),
        config={"resolution": 64, "seed": 0, "min_motion": 2.0},
        software={"pix2gif": "1"},
        verdicts={"kept": 2, "unreadable": 1},
        splits={
            "train": SplitEntry(
                num_samples=2,
                num_clips=2,
                motion_histogram=MotionHistogram(bin_edges=(2, 3, 4), counts=(1, 1)),
                shards=(entry,),
            )
        },
    )


@functools.cache
def _latent_rows() -> tuple[LatentRow, ...]:
    latent = np.arange(4 * 2 * 2, dtype=np.float16).reshape(4, 2, 2)
    pair = PairLatents(source_mode=latent, target_mean=latent, target_logvar=latent)
    return tuple(
        LatentRow(
            key=f"cat-{number}", caption="a cat", motion_px=2.5, token_ids=np.arange(7, dtype=np.int32), plain=pair,
            flipped=pair,
        )
        for number in range(3)
    )  # fmt: skip


def _write_latents(folder: Path) -> tuple[LatentEntry, tuple[LatentRow, ...]]:
    entry = write_latent_shard(folder / "train" / "00000.arrow", _latent_rows())
    histogram = MotionHistogram(bin_edges=(2, 3), counts=(3,))
    splits = {"train": LatentSplit(num_samples=3, motion_histogram=histogram, shards=(entry,))}
    write_latent_manifest(
        folder,
        LatentManifest(
            dataset_sha256="0" * 64, vae="tiny", vae_sha256="1" * 64, resolution=16, has_flips=True, splits=splits
        ),
    )  # fmt: skip
    return entry, _latent_rows()


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


FUZZERS = {
    "listing": fuzz_listing,
    "manifest": fuzz_manifest,
    "record": fuzz_record,
    "shard": fuzz_shard,
    "latents": fuzz_latents,
    "latent-manifest": fuzz_latent_manifest,
}
