"""Copy encoded pictures from the data set whose flow table is reused, instead of decoding and encoding them again.

The new data set shows many of the same frames of the same GIFs. With the same encoding parameters and software their
pictures have the same bytes. Only on disk: a request for a picture in an object store takes longer than encoding it.
"""

import collections
import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.config import CurationConfig
from curation.decode.probe import ProbedClip
from curation.errors import CurationError, SourceChangedError
from curation.export.dataset import FinishedDataset, read_finished
from curation.run.context import Run
from curation.run.versions import is_same_software
from shards.errors import DatasetError, describe_error
from shards.members import walk_samples
from shards.schema import MANIFEST
from shards.writer import file_sha256

_INDEX_SCHEMA = pa.schema(
    [
        pa.field("clip_key", pa.dictionary(pa.int32(), pa.string())),
        pa.field("frame", pa.int32()),
        pa.field("shard", pa.dictionary(pa.int32(), pa.binary())),
        pa.field("offset", pa.int64()),
        pa.field("size", pa.int32()),
    ]
)
"""Where the pictures in shards are: the shard's path, offset and size in bytes."""
_ENCODING_FIELDS = ("resolution", "image_format", "quality", "fps")

Picture = tuple[str, int]
"""A clip key and a frame index."""


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """The position of an encoded picture."""

    shard: str
    """Path of the shard."""
    offset: int
    size: int
    """In bytes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexTask:
    """A shard, and the SHA-256 that it must have."""

    path: Path
    sha256: str


class ReusablePictures:
    """Encoded pictures that can be copied."""

    def __init__(self, index: pa.Table) -> None:
        """Take a table of pictures, _INDEX_SCHEMA."""
        self._index = index

    def find(self, clip_keys: Iterable[str]) -> dict[Picture, Span]:
        """Find the pictures of some clips."""
        rows = _filter_clips(self._index, clip_keys)
        return {
            (clip_key, frame): Span(os.fsdecode(shard), offset, size)
            for clip_key, frame, shard, offset, size in zip(*rows.to_pydict().values(), strict=True)
        }


def _filter_clips(index: pa.Table, clip_keys: Iterable[str]) -> pa.Table:
    return index.filter(pc.is_in(index["clip_key"], value_set=pa.array(clip_keys, pa.string())))


def find_reusable_pictures(run: Run, probed: Mapping[str, ProbedClip]) -> ReusablePictures:
    """Index the shards of the data set that --flow belongs to.

    A picture can be reused if its GIF still has the same bytes and its shard has the hash in the manifest.
    """
    out = run.options.flow.parent if isinstance(run.options.flow, Path) else None
    dataset = _read_dataset(out, run.config) if out else None
    if out is None or dataset is None:
        return ReusablePictures(_INDEX_SCHEMA.empty_table())
    tasks = [
        IndexTask(path=out / split / shard.name, sha256=shard.sha256)
        for split, entry in dataset.manifest.splits.items()
        for shard in entry.shards
    ]
    indexes = [_INDEX_SCHEMA.empty_table()]
    with run.progress.stage("reuse", len(tasks), "shards") as bar:
        for index in run.workers.map(index_shard, tasks):
            indexes.append(index)
            bar.update(1)
    rows = dataset.own_clips.select(["clip_key", "sha256"])
    hashes = dict(zip(rows["clip_key"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    unchanged = [key for key in hashes if key in probed and probed[key].sha256 == hashes[key]]
    return ReusablePictures(_filter_clips(pa.concat_tables(indexes), unchanged))


def _read_dataset(out: Path, config: CurationConfig) -> FinishedDataset | None:
    """Read the data set in a folder; None if there is none, or if its pictures differ from those of this run."""
    if not (out / MANIFEST).is_file():
        return None
    try:
        dataset = read_finished(out)
        is_alike = all(getattr(dataset.config({}), name) == getattr(config, name) for name in _ENCODING_FIELDS)
    except (DatasetError, CurationError):
        return None  # The flow table may be intact nevertheless.
    return dataset if is_alike and is_same_software(dataset.manifest.software) else None


def index_shard(task: IndexTask) -> pa.Table:
    """Return the pictures of a shard, _INDEX_SCHEMA; none if the shard is missing or damaged."""
    spans: dict[Picture, Span] = {}
    with contextlib.suppress(OSError):
        if file_sha256(task.path) == task.sha256:
            with task.path.open("rb") as file:
                for sample in walk_samples(file):
                    clip_key, source, target = sample.key.rsplit("_", 2)
                    for frame, member in ((source, sample.source), (target, sample.target)):
                        spans[clip_key, int(frame)] = Span(str(task.path), member.offset, member.size)
    rows = [(*picture, os.fsencode(span.shard), span.offset, span.size) for picture, span in spans.items()]
    columns = zip(*rows, strict=True) if rows else [[] for _ in _INDEX_SCHEMA]
    return pa.table(list(columns), schema=_INDEX_SCHEMA)


def read_spans(spans: Mapping[Picture, Span]) -> dict[Picture, bytes]:
    """Read encoded pictures. Raises SourceChangedError if one can no longer be read."""
    by_shard = collections.defaultdict(list)
    for picture, span in spans.items():
        by_shard[span.shard].append((span.offset, span.size, picture))
    pictures = {}
    for shard, wanted in by_shard.items():
        try:
            with Path(shard).open("rb") as file:
                for offset, size, picture in sorted(wanted):
                    file.seek(offset)
                    pictures[picture] = file.read(size)
                    if len(pictures[picture]) < size:
                        raise EOFError("the file has become shorter")
        except (OSError, EOFError) as error:
            reason = describe_error(error)
            raise SourceChangedError(
                f"cannot copy pictures from {shard}: {reason}; run the same command again to encode them instead"
            ) from error
    return pictures
