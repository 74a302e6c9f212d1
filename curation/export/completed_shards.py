"""OUT/.work/receipts/: a receipt for each shard that was written, so that a resumed run skips completed shards.

On disk a shard is checked by its SHA-256. In an object store that would mean downloading it, so the receipt also has
the object's ETag. The ETag changes with every upload.
"""

import dataclasses
import json

from shards.json_fields import parse_fields
from shards.manifest import ShardEntry, parse_shard_entry
from shards.schema import MAX_RECORD_BYTES
from shards.storage.atomic import write_atomically
from shards.storage.location import Location, ObjectPath
from shards.writer import file_sha256


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Receipt:
    plan: str
    """Digest of everything that decides the shard's bytes."""
    shard: ShardEntry
    etag: str | None
    """None on disk."""


def receipt_path(folder: Location, split: str, number: int) -> Location:
    """Return the path of a shard's receipt."""
    return folder / f"{split}-{number:05d}.json"


def write_receipt(path: Location, plan: str, shard: Location, entry: ShardEntry) -> None:
    """Write the receipt of a shard that was just written."""
    receipt = _Receipt(plan=plan, shard=entry, etag=shard.etag if isinstance(shard, ObjectPath) else None)
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(receipt)))


def find_completed_shard(shard: Location, receipt: Location, plan: str) -> ShardEntry | None:
    """Return the entry of a shard that was written by the same plan and is intact, else None."""
    found = _read_receipt(receipt)
    return found.shard if found and found.plan == plan and _is_intact(shard, found.shard.sha256, found) else None


def is_intact(shard: Location, sha256: str, receipt: Location) -> bool:
    """Return whether a shard has this SHA-256: by its receipt in an object store if it has one, else by its bytes."""
    return _is_intact(shard, sha256, _read_receipt(receipt) if isinstance(shard, ObjectPath) else None)


def _is_intact(shard: Location, sha256: str, receipt: _Receipt | None) -> bool:
    try:
        if isinstance(shard, ObjectPath) and receipt and receipt.etag and receipt.shard.sha256 == sha256:
            return shard.etag == receipt.etag
        return file_sha256(shard) == sha256
    except OSError:
        return False


def _read_receipt(path: Location) -> _Receipt | None:
    """Read a receipt; None if there is none or it is damaged."""
    try:
        fields = parse_fields(path.read_bytes(), MAX_RECORD_BYTES)
        etag = fields.text("etag") if "etag" in fields else None
        return _Receipt(plan=fields.text("plan"), shard=parse_shard_entry(fields.part("shard")), etag=etag)
    except (OSError, ValueError):
        return None
