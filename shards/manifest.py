"""The manifest, dataset.json. It is written last, so a folder with a manifest is a finished data set."""

import dataclasses
import hashlib
import json
from typing import Any, TypeVar

from shards.errors import DatasetError
from shards.schema import MANIFEST, SCHEMA_VERSION
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, ReadableLocation

Entry = TypeVar("Entry", "ListingEntry", "ShardEntry")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """A shard and what its file must be."""

    name: str
    num_samples: int
    num_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionHistogram:
    """Number of samples by motion."""

    bin_edges: tuple[int, ...]
    """In pixels, one more than there are counts; the last bin includes its upper edge."""
    counts: tuple[int, ...]


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

    @property
    def config_digest(self) -> str:
        """SHA-256 of `config`, to compare the parameters of two data sets at a glance."""
        return digest(self.config)


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON value, which does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_manifest(out: Location, manifest: Manifest) -> None:
    """Write OUT/dataset.json."""
    fields = dataclasses.asdict(manifest)
    fields["config_digest"] = manifest.config_digest
    with write_atomically(out / MANIFEST) as temporary:
        temporary.write_text(json.dumps(fields, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_manifest(out: ReadableLocation) -> Manifest:
    """Read OUT/dataset.json. Raises DatasetError where it is missing, damaged or of another schema version."""
    path = out / MANIFEST
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        version = fields["schema_version"]
        if version != SCHEMA_VERSION:
            raise DatasetError(
                f"{path}: schema_version {version}, this software reads {SCHEMA_VERSION}; use the one that wrote it"
            )
        manifest = Manifest(
            listing=_parse_entry(ListingEntry, fields["listing"]),
            config=fields["config"],
            software=fields["software"],
            verdicts=fields["verdicts"],
            splits={name: _parse_split(entry) for name, entry in fields["splits"].items()},
        )
        if fields["config_digest"] != manifest.config_digest:
            raise DatasetError(f"{path}: config_digest is not that of config; one of them was edited")
    except FileNotFoundError:
        raise DatasetError(f"{out}: no {MANIFEST}, so no finished data set") from None
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: not a manifest: {error!r}") from error
    return manifest


def _parse_entry(kind: type[Entry], fields: dict[str, Any]) -> Entry:
    """Create an entry from the fields of this version: a later one may have more, an earlier one fewer."""
    known = dataclasses.fields(kind)
    needed = {field.name: fields[field.name] for field in known if field.default is dataclasses.MISSING}
    return kind(**needed, **{field.name: fields[field.name] for field in known if field.name in fields.keys() - needed})


def _parse_split(entry: dict[str, Any]) -> SplitEntry:
    histogram = entry["motion_histogram"]
    return SplitEntry(
        num_samples=entry["num_samples"],
        num_clips=entry["num_clips"],
        motion_histogram=MotionHistogram(bin_edges=tuple(histogram["bin_edges"]), counts=tuple(histogram["counts"])),
        shards=tuple(_parse_entry(ShardEntry, shard) for shard in entry["shards"]),
    )
