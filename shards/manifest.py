"""The manifest, dataset.json. It is written last, so a folder with a manifest is a finished data set."""

import dataclasses
import hashlib
import json
import re
from typing import Any

from shards.errors import DatasetError
from shards.json_fields import Fields, parse_fields
from shards.schema import CARD, CLIPS, MANIFEST, READABLE_VERSIONS, REPORT, SCHEMA_VERSION, SPLITS
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, ReadableLocation, read_at_most

MAX_MANIFEST_BYTES = 64 * 2**20
"""About 400,000 shards."""
SPLIT_NAME = re.compile("|".join(SPLITS))
"""Matches the name of a split, to be checked before it is joined to a path."""
_TAR_NAME = re.compile(r"(?:[0-9]{5}|[1-9][0-9]{5})\.tar")
_MIN_SAMPLE_BYTES = 300
"""Fewer than a sample takes in a tar, or in a latent cache."""
_FILE_NAME = re.compile(r"(?:flow/)?[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """A shard and what its file must be."""

    name: str
    num_samples: int
    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileEntry:
    """What a file besides the shards must be."""

    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionHistogram:
    """Number of samples by motion."""

    bin_edges: tuple[int, ...]
    """In pixels, one more than there are counts; the last bin includes its upper edge."""
    counts: tuple[int, ...]

    @property
    def whole_range(self) -> tuple[int, int] | None:
        """Lowest and highest motion, cut to whole pixels as training does; None without samples."""
        edges = [edge for edge, count in zip(self.bin_edges, self.counts, strict=False) if count]
        return (edges[0], edges[-1]) if edges else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitEntry:
    """The samples and shards of a split."""

    num_samples: int
    num_clips: int
    motion_histogram: MotionHistogram
    shards: tuple[ShardEntry, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ListingEntry:
    """The listing that the data set was made from."""

    uri: str
    sha256: str
    num_rows: int
    folder: str | None = None
    """Base of its relative URIs: a path relative to the data set's folder, or a URL."""
    gifs: str | None = None
    """Value of --gifs, the folder that holds all GIFs by file name: a path relative to the data set's folder."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of dataset.json."""

    schema_version: int = SCHEMA_VERSION
    listing: ListingEntry
    config: dict[str, Any]
    """Every parameter that can change a byte."""
    software: dict[str, str]
    """Versions that can change a byte."""
    verdicts: dict[str, int]
    """Number of listing rows by verdict; the sum is the number of rows."""
    splits: dict[str, SplitEntry]
    files: dict[str, FileEntry] = dataclasses.field(default_factory=dict)
    """The files besides shards and manifest, by path in the data set; empty in schema version 1."""

    @property
    def config_digest(self) -> str:
        """SHA-256 of `config`, to compare the parameters of two data sets at a glance."""
        return digest(self.config)

    @property
    def has_hashes(self) -> bool:
        """Whether the manifest lists the files besides the shards: schema version 1 does not."""
        return self.schema_version > 1


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON value, which does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_dataset(manifest: Manifest) -> str:
    """Return the SHA-256 of the manifest, and so of every file by its hash, except for the dataset card.

    The card shows the digest, so it cannot be part of it.
    """
    return _digest_fields(_to_json(manifest))


def write_manifest(out: Location, manifest: Manifest) -> None:
    """Write OUT/dataset.json."""
    fields = _to_json(manifest)
    if manifest.has_hashes:
        fields["digest"] = _digest_fields(fields)
    with write_atomically(out / MANIFEST) as temporary:
        temporary.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")


def _to_json(manifest: Manifest) -> dict[str, Any]:
    fields = dataclasses.asdict(manifest)
    fields["config_digest"] = manifest.config_digest
    del fields["files"]
    if manifest.has_hashes:
        fields["files"] = {name: entry.sha256 for name, entry in sorted(manifest.files.items())}
        fields["file_sizes"] = {name: entry.num_bytes for name, entry in sorted(manifest.files.items())}
    return fields


def _digest_fields(fields: dict[str, Any]) -> str:
    covered = {name: value for name, value in fields.items() if name != "digest"}
    for name in ("files", "file_sizes"):
        covered[name] = {path: value for path, value in covered.get(name, {}).items() if path != CARD}
    return digest(covered)


def read_manifest(out: ReadableLocation) -> Manifest:
    """Read OUT/dataset.json. Raises DatasetError where it is missing, damaged or of another schema version."""
    fields = _read_fields(out)
    path = out / MANIFEST
    try:
        version = fields.count("schema_version")
        if version not in READABLE_VERSIONS:
            raise DatasetError(
                f"{path}: schema_version {version}, this software reads {' and '.join(map(str, READABLE_VERSIONS))}; "
                "use the one that wrote it"
            )
        manifest = _parse_manifest(fields, version)
        if fields.sha256("config_digest") != manifest.config_digest:
            raise DatasetError(f"{path}: config_digest is not that of config; one of them was edited")
    except ValueError as error:
        raise DatasetError(f"{path}: not a manifest: {error}") from error
    return manifest


def check_digest(out: ReadableLocation) -> None:
    """Raise DatasetError if the manifest's digest is not that of its fields, for schema version 2 and later."""
    fields = _read_fields(out)
    try:
        is_edited = fields.sha256("digest") != _digest_fields(fields.values)
    except ValueError as error:
        raise DatasetError(f"{out / MANIFEST}: not a manifest: {error}") from error
    if is_edited:
        raise DatasetError(f"{out / MANIFEST}: digest is not that of its fields; the manifest was edited")


def _read_fields(out: ReadableLocation) -> Fields:
    path = out / MANIFEST
    try:
        return parse_fields(read_at_most(path, MAX_MANIFEST_BYTES + 1), MAX_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise DatasetError(f"{out}: no {MANIFEST}, so no finished data set") from None
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DatasetError(f"{path}: not a manifest: {error}") from error


def _parse_manifest(fields: Fields, version: int) -> Manifest:
    splits, config = fields.part("splits"), fields.part("config")
    splits.check_names(SPLIT_NAME, "train, val or test")
    for name in config.values.keys() & {"resolution", "seed", "samples_per_shard"}:
        config.count(name)
    for name in config.values.keys() & {"min_motion", "max_motion"}:
        config.number(name)
    return Manifest(
        schema_version=version,
        listing=_parse_listing(fields.part("listing")),
        config=config.values,
        software=fields.texts_by_name("software"),
        verdicts=fields.counts_by_name("verdicts"),
        splits={name: _parse_split(splits.part(name)) for name in splits.values},
        files=_parse_files(fields) if version > 1 else {},
    )


def _parse_listing(fields: Fields) -> ListingEntry:
    return ListingEntry(
        uri=fields.path("uri"),
        sha256=fields.sha256("sha256"),
        num_rows=fields.count("num_rows"),
        folder=fields.path("folder") if "folder" in fields else None,
        gifs=fields.path("gifs") if "gifs" in fields else None,
    )


def _parse_split(fields: Fields) -> SplitEntry:
    return SplitEntry(
        num_samples=fields.count("num_samples"),
        num_clips=fields.count("num_clips"),
        motion_histogram=parse_motion_histogram(fields.part("motion_histogram")),
        shards=tuple(parse_shard_entry(shard) for shard in fields.parts("shards")),
    )


def parse_motion_histogram(fields: Fields) -> MotionHistogram:
    """Parse a histogram of motion. Raises FieldError."""
    return MotionHistogram(bin_edges=fields.counts("bin_edges"), counts=fields.counts("counts"))


def parse_shard_entry(fields: Fields, names: re.Pattern[str] = _TAR_NAME, example: str = "00000.tar") -> ShardEntry:
    """Parse the entry of a shard, whose name the whole pattern must match. Raises FieldError."""
    num_bytes = fields.count("num_bytes")
    return ShardEntry(
        name=fields.matching("name", names, f"a name such as {example}"),
        # Readers reserve memory for as many.
        num_samples=fields.count("num_samples", most=num_bytes // _MIN_SAMPLE_BYTES),
        num_bytes=num_bytes,
        sha256=fields.sha256("sha256"),
    )


def _parse_files(fields: Fields) -> dict[str, FileEntry]:
    hashes, sizes = fields.part("files"), fields.part("file_sizes")
    hashes.check_names(_FILE_NAME, "a file of the data set")
    for name in (CLIPS, REPORT):
        hashes.sha256(name)
    return {name: FileEntry(num_bytes=sizes.count(name), sha256=hashes.sha256(name)) for name in hashes.values}
