"""OUT/.work/receipts/: what was written of each finished shard, and to which plan, for a run that resumes.

On a disk a shard is proved by hashing it. In a store that would mean to fetch all of them, so a receipt also tells the
store's own mark of the object, its ETag, as it was when the shard had been uploaded: bytes there do not change but by
another upload, and that gets another mark.
"""

import dataclasses
import json
from typing import Any

from shards.atomic import write_atomically
from shards.location import Location, ObjectPath
from shards.manifest import ShardEntry
from shards.writer import file_sha256


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """What was noted of a shard."""

    plan: str
    """Digest of everything that decides its bytes."""
    shard: ShardEntry
    etag: str | None = None


def receipt_path(folder: Location, split: str, number: int) -> Location:
    """Where the receipt of a shard belongs."""
    return folder / f"{split}-{number:05d}.json"


def write_receipt(path: Location, plan: str, shard: Location, entry: ShardEntry) -> None:
    """Note a shard that was just written."""
    noted: dict[str, Any] = {"plan": plan, "shard": dataclasses.asdict(entry)}
    if isinstance(shard, ObjectPath):
        noted["etag"] = shard.etag
    with write_atomically(path) as temporary:
        temporary.write_text(json.dumps(noted))


def read_receipt(path: Location) -> Receipt | None:
    """Read what was noted; None where nothing is, or nothing that can be understood."""
    try:
        noted = json.loads(path.read_text())
        return Receipt(plan=noted["plan"], shard=ShardEntry(**noted["shard"]), etag=noted.get("etag"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def still_holds(shard: Location, sha256: str, receipt: Receipt | None) -> bool:
    """Tell whether a shard has the bytes of a hash: by its receipt in a store, where one fits, else by hashing it."""
    try:
        if isinstance(shard, ObjectPath) and receipt and receipt.etag and receipt.shard.sha256 == sha256:
            return shard.etag == receipt.etag
        return file_sha256(shard) == sha256
    except OSError:
        return False
