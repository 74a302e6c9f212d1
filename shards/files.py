"""The files of a data set: describe them for the manifest, and compare their sizes with it."""

from concurrent.futures import ThreadPoolExecutor

from shards.manifest import FileEntry, Manifest
from shards.schema import CARD, CARD_MARKER, CLIPS, FLOW
from shards.storage.location import Location, list_files, list_sizes, on_disk, read_at_most
from shards.writer import file_sha256

_MAX_THREADS = 8
_MAX_CARD_BYTES = 2**24


def describe_file(path: Location) -> FileEntry:
    """Return a file's size and SHA-256. Raises OSError."""
    with on_disk(path) as file:
        return FileEntry(num_bytes=file.stat().st_size, sha256=file_sha256(file))


def describe_files(out: Location, *others: str) -> dict[str, FileEntry]:
    """Return the entries of clips.parquet, the flow parts and `others`, by path in OUT."""
    paths = [out / CLIPS, *list_files(out / FLOW, "part-*.parquet"), *(out / name for name in others)]
    names = [f"{FLOW}/{path.name}" if path.parent == out / FLOW else path.name for path in paths]
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        return dict(zip(names, threads.map(describe_file, paths), strict=True))


def expected_sizes(manifest: Manifest) -> dict[str, int]:
    """Return the size of every file that a manifest lists, by path in the data set."""
    shards = {
        f"{split}/{shard.name}": shard.num_bytes for split, entry in manifest.splits.items() for shard in entry.shards
    }
    return {**shards, **{name: entry.num_bytes for name, entry in manifest.files.items()}}


def was_card_edited(out: Location) -> bool:
    """Return whether a person wrote or edited the dataset card: then it has no marker."""
    return CARD_MARKER.encode() not in read_at_most(out / CARD, _MAX_CARD_BYTES)


def find_missing_or_resized(out: Location, manifest: Manifest) -> str | None:
    """Return in words which file of a data set is missing or has another size; None if there is none.

    A card that a person edited may have any size. Reads no other file: one listing for each folder. The manifest of
    schema version 1 lists nothing but shards.
    """
    expected = expected_sizes(manifest)
    folders = {name.rpartition("/")[0] for name in expected}
    sizes = {
        f"{folder}/{name}" if folder else name: size
        for folder in folders
        for name, size in list_sizes(out / folder if folder else out).items()
    }
    for name, size in expected.items():
        if name not in sizes:
            return f"{out / name} is missing"
        if sizes[name] != size and not (name == CARD and was_card_edited(out)):
            return f"{out / name} has {sizes[name]:,} bytes instead of {size:,}"
    return None


def find_changed(out: Location, manifest: Manifest) -> str | None:
    """Return in words which file has another hash, besides shards, flow parts and an edited card; None if none has.

    The hash of a flow part is in its name, so its readers check it. Raises OSError where a file cannot be read.
    """
    for name, entry in manifest.files.items():
        if name.startswith(f"{FLOW}/") or (name == CARD and was_card_edited(out)):
            continue
        if describe_file(out / name) != entry:
            return f"{out / name}: its SHA-256 is not the manifest's ({entry.sha256[:12]}...)"
    return None
