"""Compare the GIFs of a finished data set with the hashes that were recorded when they were measured."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq

from curation.archives.errors import MemberError
from curation.archives.location import describe, find_file, is_member
from curation.archives.read import read_member
from curation.batches import in_batches
from curation.fetch.stage import is_remote
from curation.listing.clips import Clip
from shards.schema import CLIPS, Verdict
from shards.storage.location import Location, for_arrow
from shards.writer import file_sha256

_BATCH_SIZE = 1024


def find_changed_sources(out: Location, clips: Mapping[str, Clip]) -> Iterator[str]:
    """Yield each GIF on disk that is gone, has appeared or has other bytes than when OUT was made.

    Reads every GIF once. GIFs from the web or an object store are not fetched again.
    """
    columns = ["clip_key", "verdict", "sha256"]
    rows = pq.read_table(for_arrow(out / CLIPS), columns=columns).to_pylist()
    # A GIF without a hash was not read; if it could not be found, it may be there by now.
    recorded = {
        row["clip_key"]: row["sha256"]
        for row in rows
        if row["verdict"] != Verdict.MERGED and (row["sha256"] or row["verdict"] == Verdict.FETCH_FAILED)
    }
    local = (clip for key, clip in clips.items() if key in recorded and not _is_elsewhere(clip))
    with ThreadPoolExecutor() as threads:
        for batch in in_batches(local, _BATCH_SIZE):
            for clip, sha256 in zip(batch, threads.map(_hash, batch), strict=True):
                if sha256 != recorded[clip.key]:
                    yield describe(clip.location)


def _is_elsewhere(clip: Clip) -> bool:
    return is_remote(clip) or (is_member(clip.location) and find_file(clip.location) is None)


def _hash(clip: Clip) -> str | None:
    try:
        if is_member(clip.location):
            return hashlib.sha256(read_member(clip.location, sys.maxsize)).hexdigest()
        return file_sha256(Path(clip.location))
    except (OSError, MemberError):
        return None
