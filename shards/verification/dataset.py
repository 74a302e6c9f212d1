"""Verify a finished data set from its files alone: hashes, counts, the order of samples, and one verdict per row.

Verification stops at the first error, because what follows damage says little. What is wrong with a file's content is
reported before what is wrong with its hash in the manifest, because it says more.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shards.errors import DatasetError
from shards.files import expected_sizes, find_changed, find_missing_or_resized, was_card_edited
from shards.manifest import Manifest, check_digest, read_manifest
from shards.schema import CARD, CLIPS, FLOW, REPORT, SPLITS
from shards.storage.location import Location, list_files
from shards.verification.shard_contents import ShardVerifier
from shards.verification.table_contents import read_clip_rows, verify_flow


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proof:
    """Counts of what was verified."""

    out: Location
    num_rows: int
    num_pairs: int
    num_shards: int
    num_samples: int
    remarks: tuple[str, ...] = ()
    """What could not be verified, or is allowed and worth a look."""

    def __str__(self) -> str:
        """Return one line for a terminal, and one for each remark."""
        result = (
            f"{self.out} is valid: {self.num_rows:,} rows, {self.num_pairs:,} measured pairs, "
            f"{self.num_samples:,} samples in {self.num_shards:,} shards."
        )
        return "\n".join([result, *(f"  {remark}" for remark in self.remarks)])


def verify_dataset(out: Location, *, full: bool = False) -> Proof:
    """Verify a data set against its manifest and itself; with `full`, also decode every picture.

    Reads every file once. Raises DatasetError, which names the first file at fault.
    """
    manifest = read_manifest(out)
    if problem := find_missing_or_resized(out, manifest):
        raise DatasetError(problem)
    _check_required(out)
    _check_no_strays(out, manifest)
    if problem := find_changed(out, manifest):
        raise DatasetError(problem)
    remarks = _list_links(out, manifest)
    if CARD in manifest.files and was_card_edited(out):
        remarks.append(f"{out / CARD} was edited by a person and was not verified")
    if not manifest.has_hashes:
        remarks.append(
            f"schema version 1 has no hashes of {CLIPS}, {REPORT} and {CARD}: these and the order of samples were not "
            "verified"
        )
    clips = read_clip_rows(out, manifest)
    with ThreadPoolExecutor() as threads:
        shards = ShardVerifier(out, manifest, clips, threads if full else None)
        for split, entry in manifest.splits.items():
            shards.verify_split(split, entry)
    num_pairs = verify_flow(out, manifest, clips, shards.samples)
    if manifest.has_hashes:
        check_digest(out)
    return Proof(
        out=out,
        num_rows=manifest.listing.num_rows,
        num_pairs=num_pairs,
        num_shards=sum(len(entry.shards) for entry in manifest.splits.values()),
        num_samples=sum(entry.num_samples for entry in manifest.splits.values()),
        remarks=tuple(remarks),
    )


def _check_required(out: Location) -> None:
    """Check that the files exist that every data set has; the manifest of schema version 1 does not list them."""
    for name in (CLIPS, REPORT):
        if not (out / name).is_file():
            raise DatasetError(f"{out}: no {name}")


def _check_no_strays(out: Location, manifest: Manifest) -> None:
    """Check that the folders of shards and of the flow table hold what the manifest lists and nothing else."""
    listed = {*expected_sizes(manifest)}
    if not manifest.has_hashes:
        listed |= {f"{FLOW}/{path.name}" for path in list_files(out / FLOW, "part-*.parquet")}
    for folder in (*SPLITS, FLOW):
        entries: list[Location] = [*(out / folder).iterdir()] if (out / folder).exists() else []
        for path in sorted(entries, key=str):
            if path.name and f"{folder}/{path.name}" not in listed:
                raise DatasetError(f"{path}: {_describe_kind(path)} that the manifest does not name")
    for folder_path in sorted((path for path in out.iterdir() if path.is_dir()), key=str):
        if folder_path.name not in (*SPLITS, FLOW) and (stray := list_files(folder_path, "*.tar")):
            raise DatasetError(f"{stray[0]}: a shard of a split that the manifest does not name")


def _describe_kind(path: Location) -> str:
    if isinstance(path, Path) and path.is_symlink():
        return "a link"
    return "a folder" if path.is_dir() else "a file"


def _list_links(out: Location, manifest: Manifest) -> list[str]:
    """Name the first listed file that is a link: its bytes are verified, but they are outside the data set."""
    paths = [out / name for name in sorted(expected_sizes(manifest))] if isinstance(out, Path) else []
    links = [path for path in paths if path.is_symlink()]
    if not links:
        return []
    others = f", as are {len(links) - 1:,} more files" if links[1:] else ""
    return [f"{links[0]} is a link{others}"]
